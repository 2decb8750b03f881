#!/usr/bin/env python3
"""Makes one HTML page of the samples of attnspan bench.

    python3 scripts/report.py [OPTION]... SAMPLES.csv...

The page has the environment, the figures of scripts/plot.py, and all figures
in tables. It is one file that needs no other and no network; it is light or
dark as the reader's system is, and can be read on a phone. The samples are the
CSV that bench.samples names; --summary takes the JSON that output.report
names: version, CPU, BLAS, config and the points that could not run are there
alone.

Exit status: 0 the page was written; 1 it could not be; 2 the request is wrong;
3 no matplotlib.
"""

import argparse
import json
import os
import sys

from lib.interpreter import MATPLOTLIB_ADVICE, need_modules
from plots.samples import InputError, read_points

def parse_options():
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("samples", nargs="+", metavar="SAMPLES.csv",
        help="samples of attnspan bench")
    add("--summary", action="append", default=[], metavar="REPORT.json",
        help="output.report of the bench; once for each")
    add("--title", default="attnspan bench", help="of the page (default: "
        "attnspan bench)")
    add("--output", metavar="FILE.html",
        default=os.path.join("out", "report.html"),
        help="the page (default: out/report.html)")
    return parser.parse_args()


def read_summary(path):
    try:
        with open(path, encoding="utf-8") as file:
            summary = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from error
    if not isinstance(summary, dict) or "points" not in summary:
        raise InputError(f"{path}: has no points; is this the output.report "
                         "of attnspan bench?")
    return summary


def write(text, path):
    """As a whole or not at all."""
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".part", path)


def main():
    options = parse_options()
    need_modules("report", {"matplotlib": "matplotlib"}, MATPLOTLIB_ADVICE)
    from plots.page import page
    try:
        text, skipped = page(
            options.title, read_points(options.samples),
            [read_summary(path) for path in options.summary])
        write(text, options.output)
    except (InputError, OSError) as error:
        print(f"report: error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)
    for name, reason in skipped:
        print(f"skipped: {name}: {reason}")
    print("wrote", options.output)


if __name__ == "__main__":
    main()
