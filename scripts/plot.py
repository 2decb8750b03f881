#!/usr/bin/env python3
"""Draws the samples of attnspan bench: one figure a file, as PNG and as SVG.

    python3 scripts/plot.py [OPTION]... SAMPLES.csv...

The samples are the CSV that bench.samples names; of several files all points
are drawn together. Medians over the repeats, bars from minimum to maximum.
A figure that the samples cannot give is skipped by name, with the reason.

Exit status: 0 figures were written; 1 none could be; 2 the request is wrong;
3 no matplotlib.
"""

import argparse
import os
import sys

from lib.interpreter import MATPLOTLIB_ADVICE, need_modules
from plots.samples import InputError, read_points

NAMES = ("strong", "weak", "efficiency", "phases", "roofline", "predicted",
         "memory")


def parse_options():
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("samples", nargs="+", metavar="SAMPLES.csv",
        help="samples of attnspan bench")
    add("--only", nargs="+", choices=NAMES, default=NAMES, metavar="FIGURE",
        help=f"of {', '.join(NAMES)} (default: all)")
    add("--output", metavar="FOLDER", default=os.path.join("out", "plots"),
        help="where the files go (default: out/plots)")
    return parser.parse_args()


def draw(points, names, folder):
    """Writes what can be made; whether anything was."""
    from plots.figures import Skip, make
    from plots.style import close, save
    written = []
    for name in names:
        try:
            figure = make(name, points)
        except Skip as reason:
            print(f"skipped: {name}: {reason}")
            continue
        os.makedirs(folder, exist_ok=True)
        for kind in ("png", "svg"):
            written.append(os.path.join(folder, f"{name}.{kind}"))
            save(figure, written[-1])
        close(figure)
        print("wrote", *written[-2:])
    return bool(written)


def main():
    options = parse_options()
    need_modules("plot", {"matplotlib": "matplotlib"}, MATPLOTLIB_ADVICE)
    try:
        written = draw(read_points(options.samples), options.only,
                       options.output)
    except (InputError, OSError) as error:
        print(f"plot: error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)
    sys.exit(0 if written else 1)


if __name__ == "__main__":
    main()
