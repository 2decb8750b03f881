#!/usr/bin/env python3
"""Collects reports of attnspan run into one CSV: a line for each number of ranks.

    scripts/collect.py [--out FILE.csv] REPORT...

Reports of the same number of ranks are repeats; every figure is the median over them. A phase is
the time of the slowest rank. execute_sec is the mean over ranks of what is not reading or writing:
total - load - write. Against the smallest number of ranks, P0:

    speedup     (flops / execute_sec) / (the same on P0)
    efficiency  speedup * P0 / ranks

With one problem for all that is the usual T0 / T; with more rows for more ranks, flops grow with
the pairs of queries and keys that are computed.
"""
import argparse
import csv
import json
import statistics
import sys


def fields(report):
    """The figures of one report, by column."""
    phases, mesh, config = report["phases"], report["mesh"], report["config"]
    row = {
        "ranks": report["ranks"],
        "nodes": report["nodes"],
        "threads": report["threads"],
        "kernel": report["kernel"],
        "length": config["sequence"]["length"],
        "heads": config["attention"]["heads"],
        "mesh_heads": mesh["heads"],
        "mesh_sequence": mesh["sequence"],
        "circulate": mesh["circulate"],
        "layout": mesh["layout"],
    }
    row.update({f"{name}_sec": spread["max"] for name, spread in phases.items()})
    row["execute_sec"] = (
        phases["total"]["mean"] - phases["load"]["mean"] - phases["write"]["mean"]
    )
    row["gflops_per_sec"] = report["attention"]["flops"] / row["execute_sec"] / 1e9
    row["bytes_sent_total"] = report["traffic"]["bytes_sent_total"]
    row["peak_rss_bytes_max"] = report["memory"]["peak_rss_bytes_max"]
    return row


# What must agree among the repeats of one number of ranks.
SAME = ("nodes", "threads", "kernel", "length", "heads", "mesh_heads", "mesh_sequence",
        "circulate", "layout", "bytes_sent_total")


def merge(rows):
    """One row of several repeats."""
    first = rows[0]
    for row in rows:
        for column in SAME:
            if row[column] != first[column]:
                raise ValueError(f"{first['ranks']} ranks: {column} is {first[column]} in one report "
                                 f"and {row[column]} in another")
    merged = {}
    for column, value in first.items():
        if column.endswith("_sec") or column == "peak_rss_bytes_max":
            value = statistics.median(row[column] for row in rows)
        merged[column] = value
        if column == "layout":
            merged["repeats"] = len(rows)
    return merged


def collect(reports):
    """Rows by rising number of ranks, with speed-up and efficiency."""
    groups = {}
    for report in reports:
        row = fields(report)
        groups.setdefault(row["ranks"], []).append(row)
    rows = [merge(groups[ranks]) for ranks in sorted(groups)]
    least = rows[0]
    for row in rows:
        row["speedup"] = row["gflops_per_sec"] / least["gflops_per_sec"]
        row["efficiency"] = row["speedup"] * least["ranks"] / row["ranks"]
    return rows


def text(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def print_table(rows):
    columns = ("ranks", "nodes", "threads", "length", "mesh_heads", "mesh_sequence", "execute_sec",
               "gflops_per_sec", "speedup", "efficiency")
    lines = [columns] + [tuple(text(row[column]) for column in columns) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths)))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="JSON of output.report")
    parser.add_argument("--out", metavar="FILE.csv", help="write the CSV there; default: a table only")
    arguments = parser.parse_args()

    reports = []
    for name in arguments.reports:
        try:
            with open(name, encoding="utf-8") as file:
                reports.append(json.load(file))
        except (OSError, ValueError) as error:
            sys.exit(f"collect: error: {name}: {error}")
    try:
        rows = collect(reports)
    except KeyError as error:
        sys.exit(f"collect: error: {error} is missing; is this a report of attnspan run?")
    except ValueError as error:
        sys.exit(f"collect: error: {error}")

    if arguments.out:
        with open(arguments.out, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({column: text(value) for column, value in row.items()} for row in rows)
    print_table(rows)


if __name__ == "__main__":
    main()
