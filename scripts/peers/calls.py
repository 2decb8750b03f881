"""How each peer computes attention, and the process that times it.

    python3 -m peers.calls PEER THREADS    (started by processes.py)

Every peer lives in a process of its own, so that no two thread pools share
one. It answers each line of JSON on its standard input by one on its standard
output:

    {"do": "open", "case": C}               prepare the case, compute once
    {"do": "time", "case": C}               one call, timed, right after one
                                            that is not; answered by {"sec": S}
    {"do": "save", "case": C, "path": P}    the output as .npy, [H, N, d] fp32

C is {"name", "q", "k", "v" (paths), "causal", "dtype"}. The first line out
describes the peer; {"missing": M} instead says what is not installed. What
goes wrong later is {"failed": reason}.

A peer gets its tensors in the layout and dtype that its call takes, made
before the clock starts. What it allocates or rearranges itself is a part of
the call.
"""

import ctypes
import itertools
import json
import os
import re
import signal
import sys
import time

import numpy as np

NUMPY_ROWS = 256  # query rows of a block of scores: the fastest of 64 to 4096


class NumpyPeer:
    """Blocks of query rows against all keys that they see."""

    label = "NumPy"
    dtypes = ("fp32",)

    def __init__(self, threads):
        np.ones((64, 64)) @ np.ones((64, 64))  # loads the BLAS
        self.version = np.__version__
        self.detail = blas_in_use()

    def prepare(self, q, k, v, causal, dtype):
        heads, length, dim = q.shape
        group = heads // k.shape[0]
        scale = np.float32(dim**-0.5)
        rows = min(NUMPY_ROWS, length)
        future = np.triu(np.full((rows, rows), -np.inf, np.float32), 1)

        def call():
            out = np.empty_like(q)
            for head in range(heads):
                keys, values = k[head // group], v[head // group]
                for first in range(0, length, rows):
                    end = min(first + rows, length)
                    seen, own = end if causal else length, end - first
                    scores = (q[head, first:end] * scale) @ keys[:seen].T
                    if causal:
                        scores[:, first:] += future[:own, :own]
                    scores -= scores.max(axis=1, keepdims=True)
                    np.exp(scores, out=scores)
                    sums = scores.sum(axis=1, keepdims=True)
                    out[head, first:end] = scores @ values[:seen] / sums
            return out

        return call, lambda out: out


class TorchPeer:
    """torch.nn.functional.scaled_dot_product_attention on [1, H, N, d]."""

    label = "PyTorch"
    dtypes = ("fp32", "bf16")

    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.torch = torch
        self.version = torch.__version__
        self.detail = torch.backends.cpu.get_cpu_capability()

    def prepare(self, q, k, v, causal, dtype):
        torch = self.torch
        attention = torch.nn.functional.scaled_dot_product_attention
        kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
        q, k, v = (torch.from_numpy(x[None]).to(kind) for x in (q, k, v))
        # Older versions know no enable_gqa; they need not for ordinary heads.
        grouped = {"enable_gqa": True} if q.shape[1] != k.shape[1] else {}

        def call():
            with torch.inference_mode():
                return attention(q, k, v, is_causal=causal, **grouped)

        return call, lambda out: out[0].float().numpy()


class OnnxruntimePeer:
    """com.microsoft.MultiHeadAttention on [1, N, H d]; no grouped heads."""

    label = "ONNX Runtime"
    dtypes = ("fp32",)

    def __init__(self, threads):
        import onnx
        import onnxruntime

        self.onnx, self.runtime, self.threads = onnx, onnxruntime, threads
        self.version = onnxruntime.__version__
        self.detail = "MultiHeadAttention"

    def model(self, heads, shape, causal):
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        node = helper.make_node(
            "MultiHeadAttention", list("qkv"), ["y"], domain="com.microsoft",
            num_heads=heads, unidirectional=int(causal))
        q, k, v, y = (helper.make_tensor_value_info(name, kind, shape)
                      for name in "qkvy")
        graph = helper.make_graph([node], "attention", [q, k, v], [y])
        # Versions as old as they can be: onnx may be newer than the runtime.
        return helper.make_model(
            graph, ir_version=8,
            opset_imports=[helper.make_opsetid("", 17),
                           helper.make_opsetid("com.microsoft", 1)])

    def prepare(self, q, k, v, causal, dtype):
        heads, length, dim = q.shape
        if k.shape[0] != heads:
            raise ValueError("MultiHeadAttention wants as many key/value "
                             "heads as query heads")
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        shape = [1, length, heads * dim]
        session = self.runtime.InferenceSession(
            self.model(heads, shape, causal).SerializeToString(), options,
            providers=["CPUExecutionProvider"])
        feed = {name: np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(shape)
                for name, x in zip("qkv", (q, k, v))}

        def heads_first(out):
            return out.reshape(length, heads, dim).transpose(1, 0, 2)

        return lambda: session.run(["y"], feed)[0], heads_first


PEERS = {"torch": TorchPeer, "onnxruntime": OnnxruntimePeer,
         "numpy": NumpyPeer}


def blas_in_use():
    """The BLAS that NumPy has loaded; of OpenBLAS, version and core type."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = sorted({line.split()[-1] for line in maps if ".so" in line})
    paths = [path for path in paths
             if re.search("blas|blis|mkl_rt", os.path.basename(path))]
    for path in paths:
        name = openblas_name(ctypes.CDLL(path))
        if name is not None:
            return name
    return os.path.basename(paths[0]) if paths else "unknown BLAS"


def openblas_name(library):
    """"OpenBLAS 0.3.21 (SkylakeX)", whatever its build adds to its symbols."""
    for name in itertools.product(("", "scipy_"), ("", "64_", "_64")):
        config, core = (
            getattr(library, f"{name[0]}openblas_get_{what}{name[1]}", None)
            for what in ("config", "corename"))
        if config is not None and core is not None:
            config.restype = core.restype = ctypes.c_char_p
            version = " ".join(config().decode().split()[:2])
            return f"{version} ({core().decode()})"
    return None


class Cases:
    """The open cases: the call of each, and what makes [H, N, d] of its
    result."""

    def __init__(self, peer):
        self.peer = peer
        self.calls = {}

    def open(self, case):
        q, k, v = (np.load(case[name]) for name in "qkv")
        call, heads_first = self.peer.prepare(
            q, k, v, case["causal"], case["dtype"])
        call()
        self.calls[case["name"]] = (call, heads_first)
        return {}

    def time(self, case):
        call, _ = self.calls[case["name"]]
        call()
        start = time.perf_counter()
        call()
        return {"sec": time.perf_counter() - start}

    def save(self, case, path):
        call, heads_first = self.calls[case["name"]]
        np.save(path, heads_first(call()))
        return {}


def serve(name, threads, answer):
    try:
        peer = PEERS[name](threads)
    except ImportError as error:
        answer({"missing": str(error)})
        return
    answer({"label": peer.label, "version": peer.version,
            "detail": peer.detail, "dtypes": peer.dtypes})
    cases = Cases(peer)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(cases, request.pop("do"))(**request)
        except Exception as error:  # whatever a library raises is its answer
            reason = " ".join(str(error).split())
            reply = {"failed": reason or type(error).__name__}
        answer(reply)


def main():
    # Answers alone go to standard output; what a library prints does not.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Ctrl-C ends the parent, and that closes our standard input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def answer(message):
        print(json.dumps(message), file=out, flush=True)

    try:
        serve(sys.argv[1], int(sys.argv[2]), answer)
    except BrokenPipeError:  # the parent has ended
        os._exit(1)  # without flushing the pipe again


if __name__ == "__main__":
    main()
