"""Rounds in which every peer has its turn at every case, and their report."""

import os
import platform
import statistics
import sys

from peers.cases import choose_rows, errors, flops_of, make_cases, oracle
from peers.processes import Attnspan, Peer, PeerError

PEERS = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "numpy": "NumPy"}


def start_peers(options, folder, skipped):
    peers = {}
    for name in ("attnspan", *PEERS):
        try:
            peers[name] = (Attnspan(options, folder) if name == "attnspan"
                           else Peer(name, options, folder))
        except PeerError as error:
            skip(skipped, PEERS.get(name, name), error)
    return peers


def skip(skipped, who, error, case=None):
    """Notes why; once for all cases that have the same reason."""
    for item in skipped:
        if (item["who"], item["reason"]) == (who, str(error)):
            item["cases"].append(case["name"])
            return
    skipped.append({"who": who, "reason": str(error),
                    "cases": [] if case is None else [case["name"]]})


def measure(options, peers, cases, skipped):
    """{case: {peer: [what each round said]}}; who fails leaves that case."""
    rounds = {case["name"]: {} for case in cases}

    def attempt(case, name, what):
        try:
            return getattr(peers[name], what)(case)
        except PeerError as error:
            skip(skipped, peers[name].label, error, case)
            rounds[case["name"]].pop(name, None)
            return None

    for case in cases:
        for name in peers:
            rounds[case["name"]][name] = []
            attempt(case, name, "open")
    for number in range(options.repeats):
        if sys.stderr.isatty():
            print(f"\rround {number + 1} of {options.repeats} ", end="",
                  file=sys.stderr, flush=True)
        for case in cases:
            for name in list(rounds[case["name"]]):
                said = attempt(case, name, "time")
                if said is not None:
                    rounds[case["name"]][name].append(said)
    if sys.stderr.isatty():
        print("\r" + " " * 30 + "\r", end="", file=sys.stderr)
    return rounds


def spread(values):
    return {"min": min(values), "median": statistics.median(values),
            "max": max(values)}


def summarise(case, options, rounds, peers):
    """Medians, and ratios of the times within a round."""
    results = {}
    base = rounds.get("attnspan")
    for name, samples in rounds.items():
        seconds = [sample["sec"] for sample in samples]
        results[name] = {
            "label": peers[name].label, "dtype": peers[name].dtype,
            "sec": spread(seconds), "samples": samples,
            "gflops_per_sec":
                flops_of(case, options) / statistics.median(seconds) * 1e-9}
        if base is not None:
            results[name]["time_over_attnspan"] = spread(
                [sec / of["sec"] for sec, of in zip(seconds, base)])
    return results


def compare(options, folder):
    skipped, reports = [], []
    peers = start_peers(options, folder, skipped)
    cases = make_cases(options, folder)
    rows = choose_rows(options)
    rounds = measure(options, peers, cases, skipped)
    for case in cases:
        results = summarise(case, options, rounds[case["name"]], peers)
        exact = oracle(case, rows)
        for name in list(results):
            try:
                path = peers[name].save(case)
                results[name].update(errors(path, rows, exact))
            except PeerError as error:
                skip(skipped, peers[name].label, error, case)
                del results[name]
        reports.append({"name": case["name"], "head_dim": case["dim"],
                        "mask": case["mask"], "rows_checked": len(rows),
                        "flops": flops_of(case, options), "peers": results})
    for peer in peers.values():
        peer.close()
    return {
        "machine": machine(options), "problem": problem(options),
        "peers": {name: {"version": peer.version, "detail": peer.detail,
                         "dtype": peer.dtype}
                  for name, peer in peers.items()},
        "skipped": skipped, "cases": reports}


def problem(options):
    return {name: getattr(options, name) for name in
            ("length", "heads", "kv_heads", "dtype", "threads", "repeats",
             "seed")}


def machine(options):
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file
                     if line.startswith("model name")]
            cpu = names[0] if names else cpu
    except OSError:
        pass
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE")}
