#!/usr/bin/env python3
"""Draws a trace of attnspan run (output.trace): ranks above each other, over time.

    python3 scripts/timeline.py TRACE.json PICTURE.png

Each rank has a row for its phases, one for each of its threads, and one each
for what it receives and sends. Kernels and messages have the colour of the
sequence shard whose keys they are of, so that the picture shows whether a
shard travels while the one before is computed with. A step with the keys of
several has a stripe for each, as high as its share of the time; messages under
way together have one each. Pale is a step in which a thread does not compute:
it polls MPI, or has no core. Black is a rank that waits for messages, or for
the ranks that it shares memory with. A PICTURE.svg is written as SVG.

Exit status: 0 the picture was written; 1 it could not be; 2 the request is
wrong; 3 no matplotlib.
"""

import argparse
import sys

from lib.interpreter import MATPLOTLIB_ADVICE, need_modules

def parse_options():
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("trace", metavar="TRACE.json", help="output.trace of attnspan run")
    add("picture", metavar="PICTURE.png", help="where the picture goes")
    add("--ranks", metavar="N", type=int, default=16,
        help="how many ranks are drawn at most, the first ones (default: 16)")
    return parser.parse_args()


def main():
    options = parse_options()
    need_modules("timeline", {"matplotlib": "matplotlib"}, MATPLOTLIB_ADVICE)
    from plots import style, timeline
    try:
        trace = timeline.read(options.trace)
        style.save(timeline.draw(trace, options.ranks), options.picture)
    except (timeline.TraceError, OSError, ValueError) as error:
        print(f"timeline: error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, timeline.TraceError) else 1)
    print("wrote", options.picture)


if __name__ == "__main__":
    main()
