#!/usr/bin/env python3
"""Golden frequencies of scaled rotary embeddings:

    python3 tests/golden/rope.py | clang-format > tests/golden/rope.h

Written from the papers and from what Hugging Face's transformers does, in NumPy, and kept apart
from kernels/rope.c: `yarn` by wavelengths and `ntk` by its base, both over whole vectors.
"""
import numpy as np

CASES = [
    # scaling, theta, dim, factor, original_length
    ("LINEAR", 10000.0, 16, 2.5, 0),
    ("NTK", 10000.0, 64, 4.0, 0),
    ("NTK", 500000.0, 20, 8.0, 0),
    ("YARN", 10000.0, 64, 4.0, 8192),
    ("YARN", 10000.0, 128, 40.0, 4096),
    ("YARN", 500000.0, 128, 8.0, 8192),
    ("YARN", 1000000.0, 20, 32.0, 32768),
    ("YARN", 10000.0, 32, 16.0, 8),
    ("YARN", 10000.0, 2, 16.0, 100),
]


def frequencies(scaling, theta, dim, factor, length):
    exponents = np.arange(0, dim, 2, dtype=np.float64) / dim
    if scaling == "LINEAR":
        return 1.0 / (factor * theta**exponents)
    if scaling == "NTK":
        return 1.0 / (theta * factor ** (dim / (dim - 2))) ** exponents
    bounds = [dim * np.log(length / (turns * 2 * np.pi)) / (2 * np.log(theta)) for turns in (32, 1)]
    low, high = max(np.floor(bounds[0]), 0), min(np.ceil(bounds[1]), dim - 1)
    if low == high:
        high += 0.001
    interpolated = np.clip((np.arange(dim // 2) - low) / (high - low), 0, 1)
    wavelengths = 2 * np.pi * theta**exponents
    return 2 * np.pi * (interpolated / (factor * wavelengths) + (1 - interpolated) / wavelengths)


def main():
    print("/* Made by tests/golden/rope.py. */")
    print("static const struct {")
    print("    attn_rope rope;")
    print("    double magnitude;")
    print("    double frequencies[64]; /* [dim / 2] */")
    print("} golden[] = {")
    for scaling, theta, dim, factor, length in CASES:
        magnitude = 0.1 * np.log(factor) + 1 if scaling == "YARN" else 1.0
        numbers = [f"{f:.17g}" for f in frequencies(scaling, theta, dim, factor, length)]
        print(f"    {{{{{dim}, {theta!r}, ATTN_ROPE_HALF, ATTN_ROPE_{scaling}, {factor!r}, {length}}},")
        print(f"     {magnitude:.17g},")
        lines = [", ".join(numbers[i : i + 4]) for i in range(0, len(numbers), 4)]
        print("     {" + ",\n      ".join(lines) + "}},")
    print("};")


main()
