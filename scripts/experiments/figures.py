#!/usr/bin/env python3
"""Says what the samples of the experiments on one machine show.

    python3 scripts/experiments/figures.py [FOLDER]       default: out/experiments

Reads the CSVs that scripts/experiments/one_machine.sh left there and prints a line for each
question: medians over the repeats, and in brackets the ratio of the fastest samples. A CSV that is
not there is skipped by name. Exit status: 3 no PyYAML.
"""

import csv
import os
import sys
from statistics import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                ".."))
from lib.interpreter import need_modules  # noqa: E402

need_modules("figures", {"yaml": "PyYAML"},
             "Debian has it: apt-get install python3-yaml")
import yaml  # noqa: E402


def samples(folder, name):
    """Rows of NAME.csv by their set; None and a line when there is no such file."""
    path = os.path.join(folder, name + ".csv")
    if not os.path.exists(path):
        print(f"skipped: {path} is not there")
        return None
    points = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            points.setdefault(row["set"], []).append(row)
    return points


def column(rows, name):
    return [float(row[name]) for row in rows]


def ratio(rows, base, name):
    """Of medians, and of the fastest."""
    mine, others = column(rows, name), column(base, name)
    return median(mine) / median(others), min(mine) / min(others)


def say(what, value, fastest):
    print(f"  {what:<62} {value:7.3f}  ({fastest:.3f})")


def ranks_or_threads(points):
    ring = points["ranks=2 parallel.threads=1"]
    alone = points["ranks=1 parallel.threads=2"]
    say("ring of 2 ranks x 1 thread / 1 rank x 2 threads, attend",
        *ratio(ring, alone, "attend_sec"))


def balance(points):
    for layout in ("contiguous", "zigzag", "striped", "balanced"):
        one = points[f"ranks=1 parallel.layout={layout}"]
        two = points[f"ranks=2 parallel.layout={layout}"]
        say(f"causal, 1 rank / 2 ranks, {layout}", *ratio(one, two, "total_sec"))


def weak(points):
    """Twice the rows on two ranks: work of each in the time of one."""
    for name in points:
        if not name.startswith("ranks=1 "):
            continue
        one, two = points[name], points[name.replace("ranks=1 ", "ranks=2 ")]
        work = float(two[0]["flops"]) / float(one[0]["flops"]) / 2
        mask, circulate = (two[0][key] for key in ("mask", "circulate"))
        say(f"twice the rows on 2 ranks, {mask}, {circulate}: efficiency",
            *(work * value for value in ratio(one, two, "total_sec")))


def window(points):
    causal = points["attention.mask=causal"]
    (name,) = [name for name in points if "window" in name]
    share = float(points[name][0]["flops"]) / float(causal[0]["flops"])
    say("window 4096 of 131072: time / (causal time x share of pairs)",
        *(value / share for value in ratio(points[name], causal, "attend_sec")))


def rate(folder, dims):
    """Seconds of a score at d_k + d_v = dims and of its part of a block of 512 keys, of a thread, as
    calibrated."""
    with open(os.path.join(folder, "machine.yaml"), encoding="utf-8") as file:
        of_fp32 = yaml.safe_load(file)["attention"]["fp32"]
    return ((of_fp32["score_ns"] + of_fp32["block_ns"] / 512) * 1e-9
            + 2 * dims / (of_fp32["gflops"] * 1e9))


def documents(points, folder):
    ((_, rows),) = points.items()
    dims = int(rows[0]["key_dim"]) + int(rows[0]["value_dim"])
    threads = int(rows[0]["threads"]) * int(rows[0]["ranks"])
    ideal = float(rows[0]["flops"]) / (2 * dims) * rate(folder, dims) / threads
    times = column(rows, "attend_sec")
    say("64 documents: attend / (unmasked pairs at the kernel's rate)",
        median(times) / ideal, min(times) / ideal)


def predicted(sweep, points):
    ratios = sorted(float(rows[0]["predicted_sec"]) / median(column(rows, "total_sec"))
                    for rows in points if rows[0]["predicted_sec"])
    if not ratios:
        print(f"skipped: {sweep} has no predicted_sec")
        return
    near = sum(abs(value - 1) <= 0.15 for value in ratios)
    print(f"  predicted / measured, {sweep}, {len(ratios)} points: {ratios[0]:.3f} to "
          f"{ratios[-1]:.3f}, median {median(ratios):.3f}; {near} within 15 %")


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join("out", "experiments")
    everything = []
    for name, of_points in (("ranks_or_threads", ranks_or_threads), ("balance", balance),
                            ("weak", weak), ("window", window),
                            ("documents", lambda points: documents(points, folder)),
                            ("predict", lambda points: predicted("predict", points.values()))):
        points = samples(folder, name)
        if points is not None:
            everything += points.values()
            of_points(points)
    predicted("all of these", everything)


if __name__ == "__main__":
    main()
