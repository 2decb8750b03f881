#!/usr/bin/env python3
"""Golden attention with terms of its scores, by PyTorch in fp64:

    python3 tests/golden/terms.py tests/golden

writes terms.safetensors: q, k, v, a bias, slopes and sinks, and expected outputs and lse, stored as
fp32. Each step is written out as its paper or model has it: the cap of Gemma 2, the slopes of
Press et al. 2022, the sinks of gpt-oss, one more column of logits that is dropped after the softmax.
"""
import json
import math
import struct
import sys

import torch

HEADS, KV_HEADS, N, N_KV, DIM = 6, 2, 21, 26, 16


def published_slopes(heads):
    def of_power(power):
        start = 2 ** (-(2 ** -(math.log2(power) - 3)))
        return [start * start**i for i in range(power)]

    if math.log2(heads).is_integer():
        return of_power(heads)
    power = 2 ** math.floor(math.log2(heads))
    return of_power(power) + published_slopes(2 * power)[0::2][: heads - power]


def attend(q, k, v, causal=False, softcap=None, slopes=None, bias=None, sinks=None):
    k, v = (t.repeat_interleave(HEADS // KV_HEADS, 0) for t in (k, v))
    scores = q @ k.transpose(1, 2) / DIM**0.5
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    beside = torch.arange(N)[:, None] + N_KV - N
    distance = (torch.arange(N_KV)[None, :] - beside).abs()
    if slopes is not None:
        scores = scores - slopes[:, None, None] * distance
    if bias is not None:
        scores = scores + bias
    if causal:
        scores = scores.masked_fill(torch.arange(N_KV)[None, :] > beside, -math.inf)
    if sinks is not None:
        scores = torch.cat((scores, sinks[:, None, None].expand(HEADS, N, 1)), -1)
    weights = torch.softmax(scores, -1)[..., :N_KV]
    return weights @ v, torch.logsumexp(scores, -1)


def save(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        floats = tensor.float().flatten().tolist()
        packed = struct.pack(f"<{len(floats)}f", *floats)
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(packed)],
        }
        data += packed
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def random_tensor(*shape, scale=1.0):
    return (torch.randn(*shape, dtype=torch.float64) * scale).float().double()


def main():
    torch.manual_seed(5)
    q, k = random_tensor(HEADS, N, DIM, scale=2), random_tensor(KV_HEADS, N_KV, DIM, scale=2)
    v = random_tensor(KV_HEADS, N_KV, DIM)
    bias = random_tensor(HEADS, N, N_KV)
    bias[:, :, ::5] = -math.inf
    slopes, sinks = random_tensor(HEADS, scale=0.2), random_tensor(HEADS, scale=2)
    tensors = {"q": q, "k": k, "v": v, "bias": bias, "one_bias": bias[2:3]}
    tensors |= {"slopes": slopes, "sinks": sinks}
    published = torch.tensor(published_slopes(HEADS), dtype=torch.float64).float().double()
    for name, terms in (
        ("softcap", dict(softcap=5.0)),
        ("published", dict(slopes=published, causal=True)),
        ("sloped", dict(slopes=slopes)),
        ("biased", dict(bias=bias)),
        ("one_biased", dict(bias=bias[2:3], causal=True)),
        ("sunk", dict(sinks=sinks, causal=True)),
        ("all", dict(softcap=3.0, slopes=published, bias=bias, sinks=sinks, causal=True)),
    ):
        tensors[name], tensors[f"{name}_lse"] = attend(q, k, v, **terms)
    save(f"{sys.argv[1]}/terms.safetensors", tensors)


main()
