#!/usr/bin/env python3
"""Times attnspan beside other libraries' attention, on the same tensors.

    python3 scripts/compare_peers.py [OPTION]...

The peers are PyTorch (scaled_dot_product_attention), ONNX Runtime (the
operator com.microsoft.MultiHeadAttention) and plain NumPy. One that is not
installed is skipped by name. In each round every peer has its turn at every
case: one untimed call and one timed; ratios are taken within a round, so that
a drift of the machine's speed cancels. Errors are against fp64 on NumPy.

What is timed is the whole call, from q, k and v in memory, in the layout that
the library takes, to the output. For attnspan that is total_sec of `attnspan
bench`: rearrangement, packing, kernels, rearrangement back.

It prints a table and writes it to FOLDER/table.txt, all figures to
FOLDER/peers.json and, with matplotlib, a chart to FOLDER/peers.png. Exit
status: 0 attnspan was measured in all cases; 1 it was not; 2 the request is
wrong; 3 no NumPy.
"""

import argparse
import json
import os
import sys
import tempfile

from lib.interpreter import need_modules

COMMAND = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                       "build", "attnspan")
ADVICE = """\
Debian has it:
    apt-get install python3-numpy python3-matplotlib
An environment with all peers:
    python3 -m venv build-peers
    build-peers/bin/pip install numpy matplotlib torch onnxruntime onnx
    build-peers/bin/python scripts/compare_peers.py"""


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def parse_options():
    summary, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--length", type=positive, default=4096, metavar="N",
        help="rows of q, k and v (default: 4096)")
    add("--heads", type=positive, default=8, metavar="H",
        help="query heads (default: 8)")
    add("--kv-heads", type=positive, metavar="H_KV",
        help="key/value heads, a divisor of the heads (default: as many)")
    add("--head-dim", type=positive, nargs="+", default=[64, 128],
        metavar="D", help="widths of a head, a case each (default: 64 128)")
    add("--causal", action=argparse.BooleanOptionalAction,
        help="only the causal mask, or only none (default: both, a case each)")
    add("--dtype", choices=("fp32", "bf16"), default="fp32",
        help="bf16: q, k and v are rounded to bf16 first; a peer that cannot "
        "compute on bf16 takes them as fp32 (default: fp32)")
    add("--threads", type=positive, default=1, metavar="T",
        help="threads of each peer (default: 1)")
    add("--repeats", type=positive, default=5, metavar="R",
        help="rounds (default: 5)")
    add("--seed", type=int, default=0,
        help="of q, k and v, normally distributed, and of the rows whose "
        "error is measured (default: 0)")
    add("--attnspan", metavar="PATH",
        default=COMMAND, help="the command (default: build/attnspan)")
    add("--output", metavar="FOLDER", default=os.path.join("out", "peers"),
        help="where the results go (default: out/peers)")
    options = parser.parse_args()
    options.kv_heads = options.kv_heads or options.heads
    if options.heads % options.kv_heads != 0:
        parser.error(f"--kv-heads {options.kv_heads} does not divide "
                     f"--heads {options.heads}")
    if not os.access(options.attnspan, os.X_OK):
        parser.error(f"no command at {options.attnspan}; build it "
                     "(scripts/quickstart.sh) or name one by --attnspan")
    return options


def write(report, text, folder):
    os.makedirs(folder, exist_ok=True)
    written = [os.path.join(folder, name)
               for name in ("table.txt", "peers.json", "peers.png")]
    with open(written[0], "w", encoding="utf-8") as file:
        file.write(text + "\n")
    with open(written[1], "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2, allow_nan=False)
        file.write("\n")
    try:
        from peers.chart import draw
        draw(report, written[2])
    except ImportError as error:
        print(f"skipped: the chart: no matplotlib ({error});\n"
              "  to install: pip install matplotlib")
        written.pop()
    print("wrote", *written)


def main():
    options = parse_options()
    need_modules("compare_peers", {"numpy": "NumPy"}, ADVICE)
    from peers.measure import compare
    from peers.table import table
    with tempfile.TemporaryDirectory(prefix="compare_peers.") as folder:
        report = compare(options, folder)
    text = table(report)
    print(text)
    write(report, text, options.output)
    complete = all("attnspan" in case["peers"] for case in report["cases"])
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
