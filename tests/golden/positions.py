#!/usr/bin/env python3
"""Golden layers with positions, by PyTorch in fp64:

    python3 tests/golden/positions.py tests/golden

writes positions_self.safetensors (RoPE and QK-norm) and positions_cross.safetensors
(cross-attention): input, weights and expected outputs, stored as fp32. Rotations are written as
Hugging Face's transformers does it: rotate_half and rotate_every_two on cos and sin of all elements.
"""
import json
import math
import struct
import sys

import torch
import torch.nn.functional as F

N, N_MEMORY, D_MODEL, D_MEMORY, HEADS, KV_HEADS, DIM, EPS = 24, 17, 32, 20, 4, 2, 16, 1e-5


def inverse_frequencies(theta, dim, scaling, factor, original):
    powers = theta ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    if scaling == "linear":
        return 1 / (factor * powers), 1.0
    if scaling == "ntk":
        theta = theta * factor ** (dim / (dim - 2))
        return 1 / theta ** (torch.arange(0, dim, 2, dtype=torch.float64) / dim), 1.0
    if scaling == "yarn":

        def correction_dim(rotations):
            return dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

        low = max(math.floor(correction_dim(32)), 0)
        high = min(math.ceil(correction_dim(1)), dim - 1)
        ramp = ((torch.arange(dim // 2, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
        extrapolated = 1 - ramp
        inverse = (1 / (factor * powers)) * (1 - extrapolated) + (1 / powers) * extrapolated
        return inverse, 0.1 * math.log(factor) + 1
    return 1 / powers, 1.0


def rotate(tensor, pairing="half", theta=10000.0, dim=DIM, scaling=None, factor=1.0, original=0):
    inverse, magnitude = inverse_frequencies(theta, dim, scaling, factor, original)
    angles = torch.arange(tensor.shape[-2], dtype=torch.float64)[:, None] * inverse
    turned, kept = tensor[..., :dim], tensor[..., dim:]
    if pairing == "half":
        angles = torch.cat((angles, angles), -1)
        a, b = turned.chunk(2, -1)
        other = torch.cat((-b, a), -1)
    else:
        angles = angles.repeat_interleave(2, -1)
        other = torch.stack((-turned[..., 1::2], turned[..., ::2]), -1).flatten(-2)
    turned = turned * (angles.cos() * magnitude) + other * (angles.sin() * magnitude)
    return torch.cat((turned, kept), -1)


def random_tensor(*shape, scale=1.0):
    return (torch.randn(*shape, dtype=torch.float64) * scale).float().double()


def make_layer(kv_width):
    layer = {}
    for name, rows, columns in (
        ("W_Q", HEADS * DIM, D_MODEL),
        ("W_K", KV_HEADS * DIM, kv_width),
        ("W_V", KV_HEADS * DIM, kv_width),
        ("W_O", D_MODEL, HEADS * DIM),
    ):
        layer[f"{name}.weight"] = random_tensor(rows, columns, scale=columns**-0.5)
        layer[f"{name}.bias"] = random_tensor(rows, scale=0.2)
    return layer


def attend(layer, x, memory, causal, rope):
    def heads_of(name, rows, heads):
        projected = F.linear(rows, layer[f"{name}.weight"], layer[f"{name}.bias"])
        return projected.view(-1, heads, DIM).transpose(0, 1)

    q, k = heads_of("W_Q", x, HEADS), heads_of("W_K", memory, KV_HEADS)
    v = heads_of("W_V", memory, KV_HEADS)
    if "q_norm.weight" in layer:
        q = F.rms_norm(q, (DIM,), layer["q_norm.weight"], EPS)
        k = F.rms_norm(k, (DIM,), layer["k_norm.weight"], EPS)
    if rope is not None:
        q, k = rotate(q, **rope), rotate(k, **rope)
    k, v = (t.repeat_interleave(HEADS // KV_HEADS, 0) for t in (k, v))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return F.linear(out.transpose(0, 1).flatten(1), layer["W_O.weight"], layer["W_O.bias"])


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


def main():
    torch.manual_seed(4)
    x, memory = random_tensor(N, D_MODEL), random_tensor(N_MEMORY, D_MEMORY)

    layer = make_layer(D_MODEL)
    layer["q_norm.weight"] = 2 + random_tensor(DIM, scale=0.3)
    layer["k_norm.weight"] = 1 + random_tensor(DIM, scale=0.3)
    layer = {name: tensor.float().double() for name, tensor in layer.items()}
    tensors = {"x": x, **layer}
    for name, rope in (
        ("normed", None),
        ("half", {}),
        ("linear", dict(dim=12, scaling="linear", factor=2.5)),
        ("ntk", dict(pairing="interleaved", dim=8, scaling="ntk", factor=4.0)),
        ("yarn", dict(theta=30.0, scaling="yarn", factor=4.0, original=40)),
    ):
        tensors[name] = attend(layer, x, x, True, rope)
    save(f"{sys.argv[1]}/positions_self.safetensors", tensors)

    layer = make_layer(D_MEMORY)
    tensors = {"x": x, "memory": memory, **layer}
    tensors["plain"] = attend(layer, x, memory, False, None)
    tensors["turned"] = attend(layer, x, memory, False, dict(pairing="interleaved"))
    save(f"{sys.argv[1]}/positions_cross.safetensors", tensors)


main()
