"""What scripts/compare_peers.py says and writes, on tiny problems.

    python3 tests/compare_peers.py ATTNSPAN

python3 needs NumPy; other peers take part where they are installed.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                      "scripts", "compare_peers.py")
PROGRAM = "build/attnspan"
TINY = ("--length", "256", "--heads", "2", "--head-dim", "32",
        "--repeats", "2")
PNG = b"\x89PNG\r\n\x1a\n"


class ComparePeers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_script(self, *arguments, program=None, environment=None):
        output = os.path.join(self.folder, "out")
        return subprocess.run(
            [sys.executable, SCRIPT, "--attnspan", program or PROGRAM,
             "--output", output, *arguments], text=True, timeout=120,
            capture_output=True, env={**os.environ, **(environment or {})})

    def compare(self, *arguments, **more):
        """The table's lines and the report of a run that succeeds."""
        done = self.run_script(*arguments, **more)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = done.stdout.splitlines()
        return lines, self.report()

    def report(self):
        with open(self.written("peers.json"), encoding="utf-8") as file:
            return json.load(file)

    def written(self, name):
        return os.path.join(self.folder, "out", name)

    def hide(self, *modules):
        """An environment in which these modules are not installed."""
        for module in modules:
            path = os.path.join(self.folder, f"{module}.py")
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"raise ImportError('no {module} here')\n")
        return {"PYTHONPATH": self.folder}

    def stand_in(self, body):
        """A command in attnspan's place."""
        path = os.path.join(self.folder, "stand_in")
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + body)
        os.chmod(path, 0o755)
        return path

    def test_table_has_every_peer_in_every_case(self):
        lines, report = self.compare(*TINY)
        self.assertEqual([case["name"] for case in report["cases"]],
                         ["d 32, mask none", "d 32, mask causal"])
        for label in ("attnspan ", "NumPy "):
            rows = [line for line in lines if line.startswith(label)]
            self.assertEqual(len(rows), 2, lines)
        for line in lines:
            if not line.startswith("wrote "):
                self.assertLessEqual(len(line), 80, line)
        with open(self.written("table.txt"), encoding="utf-8") as file:
            table = file.read().splitlines()
        self.assertEqual(lines[:len(table)], table)

    def test_report_has_small_errors_and_paired_ratios(self):
        _, report = self.compare(*TINY)
        for case in report["cases"]:
            self.assertEqual(case["rows_checked"], 256)
            base = case["peers"]["attnspan"]["samples"]
            for name, peer in case["peers"].items():
                self.assertGreater(peer["rms_error_over_rms"], 0, name)
                self.assertLess(peer["rms_error_over_rms"], 1e-6, name)
                self.assertLess(peer["max_error_over_rms"], 2e-5, name)
                ratios = sorted(
                    mine["sec"] / other["sec"]
                    for mine, other in zip(peer["samples"], base))
                self.assertEqual(len(ratios), 2)
                self.assertAlmostEqual(peer["time_over_attnspan"]["min"],
                                       ratios[0])
                self.assertAlmostEqual(peer["time_over_attnspan"]["max"],
                                       ratios[1])

    def test_grouped_heads_on_two_threads(self):
        _, report = self.compare(*TINY, "--kv-heads", "1", "--threads", "2",
                                 "--causal")
        [case] = report["cases"]
        for name in ("attnspan", "numpy"):
            self.assertLess(case["peers"][name]["rms_error_over_rms"], 1e-6)

    def test_bf16_rounds_the_tensors_for_all(self):
        _, report = self.compare(*TINY, "--dtype", "bf16")
        for case in report["cases"]:
            mine, numpy = case["peers"]["attnspan"], case["peers"]["numpy"]
            self.assertEqual((mine["dtype"], numpy["dtype"]),
                             ("bf16", "fp32"))
            self.assertLess(mine["rms_error_over_rms"], 1e-2)
            # Against fp64 on tensors that are not rounded it would be 1e-3.
            self.assertLess(numpy["rms_error_over_rms"], 1e-6)

    def test_what_is_not_installed_is_skipped_by_name(self):
        lines, report = self.compare(
            *TINY, "--no-causal",
            environment=self.hide("torch", "onnxruntime", "matplotlib"))
        text = " ".join(" ".join(lines).split())
        self.assertIn("skipped: PyTorch: not installed (no torch here); to "
                      "install: pip install torch", text)
        self.assertIn("skipped: ONNX Runtime: not installed", text)
        self.assertIn("skipped: the chart: no matplotlib", text)
        self.assertEqual(list(report["peers"]), ["attnspan", "numpy"])
        self.assertFalse(os.path.exists(self.written("peers.png")))

    def test_chart_is_a_png(self):
        lines, _ = self.compare(*TINY)
        if any("the chart: no matplotlib" in line for line in lines):
            self.skipTest("matplotlib is not installed")
        with open(self.written("peers.png"), "rb") as file:
            self.assertEqual(file.read(len(PNG)), PNG)

    def test_refusal_is_printed_and_fails(self):
        program = self.stand_in(
            '[ "$1" != --version ] || { echo attnspan 9; exit; }\n'
            'echo "attnspan: error: $2:1:2: compute.dtype: no" >&2\nexit 2\n')
        done = self.run_script(*TINY, program=program)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("skipped: attnspan 9: attnspan: error: compute.dtype: "
                      "no\n", done.stdout)
        for case in self.report()["cases"]:
            self.assertNotIn("attnspan", case["peers"])
            self.assertIn("numpy", case["peers"])

    def test_wrong_output_shows_as_an_error(self):
        # The truth but for one number in the y of `run`.
        program = self.stand_in(
            f'{os.path.abspath(PROGRAM)} "$@" || exit\n'
            '[ "$1" = run ] || exit 0\n'
            f'{sys.executable} - "${{2%yaml}}npy" <<END\n'
            "import sys\nimport numpy as np\ny = np.load(sys.argv[1])\n"
            "y[1, 99, 3] += 0.5\nnp.save(sys.argv[1], y)\nEND\n")
        _, report = self.compare(*TINY, "--causal", program=program)
        peers = report["cases"][0]["peers"]
        self.assertGreater(peers["attnspan"]["max_error_over_rms"], 0.5)
        self.assertLess(peers["numpy"]["max_error_over_rms"], 2e-5)

    def test_requests_that_make_no_sense(self):
        for arguments, message in (
                (("--heads", "3", "--kv-heads", "2"), "does not divide"),
                (("--length", "0"), "not 1 or more"),
                (("--attnspan", "/nowhere/attnspan"), "no command at")):
            done = self.run_script(*arguments)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(message, done.stderr)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
