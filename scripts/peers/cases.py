"""The problems that are compared, and their exact solution in fp64."""

import os

import numpy as np

ORACLE_SCORES = 2**28  # rows are sampled where all of them have more
BLOCK_SCORES = 2**22  # in fp64, at a time


def round_to_bf16(x):
    """The nearest bf16 of finite fp32, ties to even, as fp32."""
    bits = x.view(np.uint32)
    bits = bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32)


def make_cases(options, folder):
    """Writes q, k and v of each width; a case is a width and a mask."""
    masks = [False, True] if options.causal is None else [options.causal]
    cases = []
    for dim in options.head_dim:
        paths = {}
        random = np.random.default_rng([options.seed, dim])
        for name in "qkv":
            heads = options.heads if name == "q" else options.kv_heads
            x = random.standard_normal((heads, options.length, dim),
                                       dtype=np.float32)
            if options.dtype == "bf16":
                x = round_to_bf16(x)
            paths[name] = os.path.join(folder, f"{name}{dim}.npy")
            np.save(paths[name], x)
        for causal in masks:
            mask = "causal" if causal else "none"
            cases.append({"name": f"d {dim}, mask {mask}", "dim": dim,
                          "mask": mask, "causal": causal, **paths})
    return cases


def flops_of(case, options):
    """Two products over the unmasked pairs, two operations each."""
    pairs = options.length * options.length
    if case["causal"]:
        pairs = options.length * (options.length + 1) // 2
    return 4 * case["dim"] * options.heads * pairs


def choose_rows(options):
    """All rows, or as many as ORACLE_SCORES allows, chosen by the seed."""
    count = max(64, ORACLE_SCORES // (options.heads * options.length))
    if count >= options.length:
        return np.arange(options.length)
    random = np.random.default_rng([options.seed, 1])
    return np.sort(random.choice(options.length, count, replace=False))


def oracle(case, rows):
    """Attention of some rows in fp64, [H, rows, d]: two passes, as defined."""
    q, k, v = (np.load(case[name]).astype(np.float64) for name in "qkv")
    group = q.shape[0] // k.shape[0]
    out = np.empty((q.shape[0], len(rows), q.shape[2]))
    keys = np.arange(k.shape[1])
    step = max(1, BLOCK_SCORES // len(keys))
    for head in range(q.shape[0]):
        for first in range(0, len(rows), step):
            block = rows[first:first + step]
            scores = q[head, block] @ k[head // group].T / case["dim"]**0.5
            if case["causal"]:
                scores[keys > block[:, None]] = -np.inf
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
            out[head, first:first + step] = scores @ v[head // group]
    return out


def errors(path, rows, exact):
    """Largest and RMS error over these rows, over the RMS of the exact."""
    error = np.load(path)[:, rows].astype(np.float64) - exact
    scale = np.sqrt(np.mean(exact**2))
    return {"max_error_over_rms": float(np.abs(error).max() / scale),
            "rms_error_over_rms": float(np.sqrt(np.mean(error**2)) / scale)}
