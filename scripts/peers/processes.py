"""Those who are compared: attnspan's command, and a process for each peer.

Each opens a case, times one call of it and saves its output; PeerError says
why it cannot.
"""

import json
import os
import re
import subprocess
import sys

SCRIPTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGES = {"torch": "torch", "onnxruntime": "onnxruntime onnx",
            "numpy": "numpy"}  # as pip calls them
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                    "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


class PeerError(Exception):
    """Why a peer cannot take part."""


def in_config(message):
    """A message of the command without its place in a made-up config."""
    return re.sub(r"\S+\.yaml:\d+:\d+: ", "", message)


class Attnspan:
    """The command, started anew for each call; it times itself."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.dtype, self.detail = options.dtype, None
        self.command = os.path.abspath(options.attnspan)
        self.version = self.start("--version").split()[-1]
        self.label = f"attnspan {self.version}"

    def start(self, *arguments):
        done = subprocess.run([self.command, *arguments], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0:
            said = in_config(done.stderr.strip())
            raise PeerError(said or f"exit status {done.returncode}")
        return done.stdout

    def path(self, case, suffix):
        return os.path.join(self.folder, f"{case['dim']}-{case['mask']}-"
                            f"attnspan.{suffix}")

    def open(self, case):
        config = {
            "attention": {"heads": self.options.heads,
                          "kv_heads": self.options.kv_heads,
                          "mask": case["mask"]},
            "parallel": {"threads": self.options.threads},
            "compute": {"dtype": self.dtype},
            "input": {name: case[name] for name in "qkv"},
            "output": {"y": self.path(case, "npy"),
                       "report": self.path(case, "json")},
            "bench": {"repeats": 1, "warmup": 1}}
        with open(self.path(case, "yaml"), "w", encoding="utf-8") as file:
            json.dump(config, file)  # which is YAML
        self.start("check", self.path(case, "yaml"))

    def time(self, case):
        self.start("bench", self.path(case, "yaml"))
        with open(self.path(case, "json"), encoding="utf-8") as file:
            report = json.load(file)
        point = report["points"][0]
        if "refused" in point:
            raise PeerError(in_config(point["refused"]))
        self.detail = f"{point['kernel']} kernel"
        sample = point["samples"][0]
        return {"sec": sample["total_sec"],
                "attend_sec": sample["attend_sec"],
                "fraction_of_peak":
                    sample["gflops_per_sec"] / sample["peak_gflops"]}

    def save(self, case):
        self.start("run", self.path(case, "yaml"))
        return self.path(case, "npy")

    def close(self):
        pass


class Peer:
    """A library in a process of its own (calls.py)."""

    def __init__(self, name, options, folder):
        environment = {**os.environ,
                       **dict.fromkeys(THREAD_VARIABLES, str(options.threads))}
        self.name, self.folder = name, folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "peers.calls", name, str(options.threads)],
            cwd=SCRIPTS, env=environment, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)
        about = self.answer()
        if "missing" in about:
            self.close()
            raise PeerError(f"not installed ({about['missing']}); to install: "
                            f"pip install {PACKAGES[name]}")
        self.version, self.detail = about["version"], about["detail"]
        self.label = f"{about['label']} {self.version.partition('+')[0]}"
        self.dtype = (options.dtype if options.dtype in about["dtypes"]
                      else "fp32")

    def answer(self):
        line = self.process.stdout.readline()
        if line == "":
            raise PeerError(f"ended with status {self.process.wait()}")
        answer = json.loads(line)
        if "failed" in answer:
            raise PeerError(answer["failed"])
        return answer

    def ask(self, do, case, **more):
        wanted = {name: case[name] for name in ("name", *"qkv", "causal")}
        request = {"do": do, "case": {**wanted, "dtype": self.dtype}, **more}
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # the answer says how it ended
        return self.answer()

    def open(self, case):
        self.ask("open", case)

    def time(self, case):
        return self.ask("time", case)

    def save(self, case):
        path = os.path.join(self.folder, f"{self.name}.npy")
        self.ask("save", case, path=path)
        return path

    def close(self):
        with self.process:  # closes its input, then waits for its end
            pass
