"""The report as a bar chart: rates above, errors below."""

import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

# Okabe and Ito's palette: told apart by colour-blind eyes, too.
COLOURS = {"attnspan": "#D55E00", "torch": "#0072B2",
           "onnxruntime": "#56B4E9", "numpy": "#999999"}


def bars(axes, report, value, text):
    """A group for each case, a bar for each peer, its value on top."""
    names = [name for name in report["peers"]
             if any(name in case["peers"] for case in report["cases"])]
    width = 0.8 / max(1, len(names))
    for i, name in enumerate(names):
        places, heights, label = [], [], None
        for group, case in enumerate(report["cases"]):
            if name in case["peers"]:
                result = case["peers"][name]
                places.append(group + (i - (len(names) - 1) / 2) * width)
                heights.append(value(result))
                label = result["label"]
                if result["dtype"] != report["problem"]["dtype"]:
                    label += f", {result['dtype']}"
        drawn = axes.bar(places, heights, width * 0.94, label=label,
                         color=COLOURS[name])
        axes.bar_label(drawn, [text(height) for height in heights],
                       padding=2, fontsize=8)
    axes.set_xticks(range(len(report["cases"])),
                    [case["name"] for case in report["cases"]])
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def short(value):
    return f"{value:.1e}".replace("e-0", "e-")


def scale_errors(axes, values):
    """Linear from 0, or logarithmic by whole decades where they are far
    apart (fp32 beside bf16)."""
    positive = [value for value in values if value > 0]
    if positive and max(positive) > 20 * min(positive):
        axes.set_yscale("log")
        axes.set_ylim(10 ** (math.floor(math.log10(min(positive))) - 0.5),
                      10 ** (math.log10(max(positive)) + 0.7))
    else:
        axes.yaxis.set_major_formatter(
            lambda value, _: "0" if value == 0 else short(value))
        axes.margins(y=0.15)


def draw(report, path):
    """Writes a PNG."""
    of = report["problem"]
    figure, (rate, error) = plt.subplots(
        2, 1, figsize=(max(7.0, 2.6 * len(report["cases"])), 7.5),
        gridspec_kw={"height_ratios": [3, 2]}, constrained_layout=True)
    bars(rate, report, lambda result: result["gflops_per_sec"],
         lambda value: f"{value:.0f}")
    rate.set_ylabel("GFLOP/s of the whole call, unmasked pairs only")
    rate.margins(y=0.12)
    bars(error, report, lambda result: result["rms_error_over_rms"], short)
    error.set_ylabel("RMS error against fp64,\nover RMS of the output")
    scale_errors(error, [result["rms_error_over_rms"]
                         for case in report["cases"]
                         for result in case["peers"].values()])
    plural = "" if of["threads"] == 1 else "s"
    figure.suptitle(
        f"Exact attention: N {of['length']}, H {of['heads']}, "
        f"H_kv {of['kv_heads']}, {of['dtype']}, {of['threads']} "
        f"thread{plural}\n{report['machine']['cpu']}", fontsize=12)
    rate.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=2
                if len(report["cases"]) < 3 else 4, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
