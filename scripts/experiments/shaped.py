#!/usr/bin/env python3
"""A ring of four hosts on this machine, behind links that a transfer fills.

    sudo python3 scripts/experiments/shaped.py [--share 0.7] [--length 32768] [--repeats 5]

Builds the laboratory (scripts/lab/), takes the time of the attend phase over links without a rate,
and sets the rate with which the transfer of a ring's step takes `share` of its compute. Then both
in turn: without a rate and with it. Prints the attend phases, their ratio, and what of the
transfers was hidden. Exit status: 0 it ran; 2 the request is wrong; 3 the machine cannot.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from statistics import median

CONFIG = "configs/experiments/shaped.yaml"
HOSTS, HEADS, WIDTHS, FLOAT = 4, 4, 128, 4
NAME = "shaped"
# As many ranks on each core, and not three on one of two.
PINNED = 'exec taskset -c $((OMPI_COMM_WORLD_RANK % $(getconf _NPROCESSORS_ONLN))) "$0" "$@"'


def lab(script, *arguments):
    return subprocess.run([os.path.join("scripts", "lab", script), *arguments], check=True,
                          env={**os.environ, "ATTNSPAN_LAB": NAME}, stdout=subprocess.PIPE,
                          text=True).stdout


def bench(folder, length):
    """The samples' only line of one execution: (attend, compute, transfer, overlap)."""
    path = os.path.join(folder, "shaped.csv")
    lab("run.sh", "-n", str(HOSTS), "sh", "-c", PINNED, "build/attnspan", "bench", CONFIG, "--set",
        f"sequence.length={length}", "--set", "bench.repeats=1", "--set",
        f"bench.samples={path}", "--set", "bench.resume=false")
    with open(path) as file:
        names, values = (line.strip().split(",") for line in file)
    row = dict(zip(names, values))
    return {name: float(row[name] or "nan") for name in
            ("attend_sec", "compute_sec_max", "transfer_sec_max", "overlap")}


def show(what, samples, base):
    attend = [sample["attend_sec"] for sample in samples]
    first = [sample["attend_sec"] for sample in base]
    print(f"  {what:<22} {min(attend):8.4f} {median(attend):8.4f}"
          f" {median(s['compute_sec_max'] for s in samples):8.4f}"
          f" {median(s['transfer_sec_max'] for s in samples):9.4f}"
          f" {median(s['overlap'] for s in samples):7.3f}"
          f" {min(attend) / min(first):7.3f} {median(attend) / median(first):7.3f}")


def measure(share, length, repeats, folder):
    shard_bytes = length // HOSTS * HEADS * WIDTHS * FLOAT
    step_sec = min(bench(folder, length)["attend_sec"] for _ in range(3)) / HOSTS
    rate = int(shard_bytes * 8 / (share * step_sec) / 1e6)
    free, shaped = [], []
    for _ in range(repeats):
        lab("shape.sh", "all", "rate", "none")
        free.append(bench(folder, length))
        lab("shape.sh", "all", "rate", f"{rate}mbit")
        shaped.append(bench(folder, length))
    print(f"{HOSTS} hosts, N {length}, {HEADS} heads, a shard of {shard_bytes / 1e6:.1f} MB; a step"
          f" computes {step_sec * 1e3:.1f} ms,\nand {rate} Mbit/s take {share:g} of that\n")
    print(f"  {'attend, seconds':<22} {'fastest':>8} {'median':>8} {'compute':>8}"
          f" {'transfer':>9} {'hidden':>7} {'ratio':>7} {'median':>7}")
    show("links without a rate", free, free)
    show(f"at {rate} Mbit/s", shaped, free)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--length", type=int, default=32768)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if not 0 < options.share <= 10 or options.repeats < 1 or options.length < HOSTS:
        parser.error("--share is above 0 and at most 10, --repeats at least 1, "
                     f"--length at least {HOSTS}")
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    try:
        lab("up.sh", "--hosts", str(HOSTS))
    except subprocess.CalledProcessError as failure:
        return failure.returncode
    try:
        os.makedirs("out", exist_ok=True)
        with tempfile.TemporaryDirectory(dir="out") as folder:  # hosts have a /tmp of their own
            measure(options.share, options.length, options.repeats, folder)
    finally:
        lab("down.sh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
