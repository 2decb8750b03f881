"""How all figures look: sizes, colours, axes, legends, files.

A figure is as wide as a column of a paper and has text of 8 points, so that it
needs no scaling; the page shows it on a phone nearly as large as that. Colours
are those of Okabe and Ito, which colour-blind eyes tell apart, each with a
marker of its own. Every colour has one name, by which the page replaces it.
"""

import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator  # noqa: E402
from matplotlib.transforms import offset_copy  # noqa: E402

INK, MUTED, GRID, SURFACE = "#222222", "#6b6b6b", "#dcdcdc", "#ffffff"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
          "#7f7f7f")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
NAMED = {INK: "ink", MUTED: "muted", GRID: "grid", SURFACE: "surface",
         **{colour: f"series-{i}" for i, colour in enumerate(SERIES)}}

WIDTH = 3.5  # inches; a column
PANEL = 2.3  # inches; the axes of a panel with what belongs to them
LINE = 0.16  # inches; a line of a legend
BELOW = -30  # points; the legend under the axes, past ticks and label

matplotlib.rcParams.update({
    "font.family": "DejaVu Sans", "font.size": 8, "axes.titlesize": 8,
    "axes.labelsize": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5, "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.linewidth": 0.7,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": GRID, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "lines.linewidth": 1.2, "lines.markersize": 4.5, "legend.frameon": False,
    "figure.facecolor": SURFACE, "axes.facecolor": "none",
    "legend.handlelength": 2.2, "errorbar.capsize": 2,
    "svg.hashsalt": "attnspan", "figure.dpi": 100, "savefig.dpi": 300})

IDEAL = {"color": MUTED, "linestyle": (0, (4, 2)), "linewidth": 0.9,
         "zorder": 1.5}


def legend_columns(labels):
    longest = max((len(label) for label in labels), default=0)
    return 3 if longest <= 13 else 2 if longest <= 24 else 1


def legend_lines(labels):
    return math.ceil(len(labels) / legend_columns(labels))


def panels(count, labels, height=PANEL):
    """A figure of panels above each other and its axes; `labels`: those of
    each panel's legend, which stand below it."""
    heights = [height + LINE * legend_lines(of) for of in labels]
    figure, axes = plt.subplots(
        count, 1, figsize=(WIDTH, sum(heights)), constrained_layout=True,
        squeeze=False, gridspec_kw={"height_ratios": heights})
    return figure, [row[0] for row in axes]


def legend(axes):
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    below = offset_copy(axes.transAxes, axes.figure, y=BELOW, units="points")
    axes.legend(handles, labels, loc="upper center",
                ncol=legend_columns(labels), columnspacing=1.2,
                bbox_to_anchor=(0.5, 0), bbox_transform=below, borderaxespad=0)


def marks(axes, places, spreads, index, label, joined=True):
    """Medians with bars from minimum to maximum."""
    medians = [spread.median for spread in spreads]
    axes.errorbar(
        places, medians, label=label,
        yerr=[[spread.median - spread.least for spread in spreads],
              [spread.most - spread.median for spread in spreads]],
        color=SERIES[index % len(SERIES)],
        marker=MARKERS[index % len(MARKERS)],
        linestyle="-" if joined else "none", elinewidth=0.8, capthick=0.8,
        zorder=3)


def apart(place, index, count):
    """The place on a logarithmic axis, moved so that the bars of several
    series stand beside each other."""
    return place * 2 ** (0.05 * (index - (count - 1) / 2))


def short_number(value):
    """1, 0.25, 4,096, 64 Ki, 1 Mi."""
    for unit, name in ((2 ** 20, "Mi"), (2 ** 10, "Ki")):
        if value >= 16 * 1024 and value % unit == 0:
            return f"{int(value) // unit:,} {name}"
    return f"{value:,.6g}" if value < 1e5 else f"{int(value):,}"


def ticks(axis, places, most=8):
    """Ticks at these places alone, or at every second, third … of them."""
    places = sorted(set(places))
    if len(places) > most:
        places = places[::math.ceil(len(places) / most)]
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FuncFormatter(lambda x, _: short_number(x)))
    axis.set_minor_locator(NullLocator())


def logarithmic_ranks(axes, ranks, label="ranks"):
    axes.set_xscale("log", base=2)
    ticks(axes.xaxis, ranks)
    axes.set_xlim(min(ranks) / 2 ** 0.4, max(ranks) * 2 ** 0.4)
    axes.set_xlabel(label)


# Of each decade, from close to apart.
DIGITS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), (1, 1.5, 2, 3, 5, 7),
          (1, 2, 5), (1, 3), (1,))


def steps(least, most, count):
    """At most `count` multiples of a round step."""
    power = math.floor(math.log10((most - least) / count))
    for step in (digit * 10.0 ** (power + more) for more in range(3)
                 for digit in (1, 2, 2.5, 5)):
        first, last = math.ceil(least / step), math.floor(most / step)
        if last - first < count:
            return [number * step for number in range(first, last + 1)]
    return []


def decade_ticks(axis, least, most, count=7):
    """A logarithmic axis: as many ticks as there can be up to `count`, on round
    numbers; on decades alone, or every second, third … where there are many."""
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    places = steps(least, most, count) if most < 4 * least else []
    for digits in () if places else DIGITS:
        places = [digit * 10.0 ** power for power in range(low, high + 1)
                  for digit in digits
                  if least <= digit * 10.0 ** power <= most]
        if len(places) <= count:
            break
    places = places[::max(1, math.ceil(len(places) / count))]
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
    axis.set_minor_locator(NullLocator())


def save(figure, path, **options):
    """Bytes that depend on the figure alone, for SVG and PNG."""
    if str(path).endswith(".svg"):
        options["metadata"] = {"Date": None}
    figure.savefig(path, **options)


def close(figure):
    plt.close(figure)
