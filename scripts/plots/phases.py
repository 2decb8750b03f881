"""What an execution spends its time on, a bar for each point."""

import textwrap

from plots import style
from plots.samples import label, ranks_text, varying
from plots.skip import Skip

MOST = 60  # bars
BAR = 0.2  # inches
NAME_LINE = 0.14  # of a name that stands above its bar
LONGEST_BESIDE, LONGEST_LINE = 22, 55  # characters of a name
VISIBLE = 0.002  # of a bar: what is shorter everywhere has no line in the legend

# The kernels' time, with merging, is known where the bench measured it: busy
# threads' mean, mean over ranks. The rest of the slowest rank's attending is
# packing and waiting, and what it has more than the mean to do.
PHASES = (("project", 0), ("exchange", 3), ("attend: kernels", 2),
          ("attend: rest", 5), ("attend", 2), ("output", 4))


def durations(point):
    """Seconds by phase, in the order of PHASES."""
    of = {name: point.median(f"{name}_sec") or 0.0
          for name in ("project", "exchange", "attend", "output")}
    compute = point.median("compute_sec_mean")
    if compute is not None and of["attend"] > 0:
        attend = of.pop("attend")
        of["attend: kernels"] = min(compute, attend)
        of["attend: rest"] = attend - of["attend: kernels"]
    return of


def time_text(sec):
    """At least three digits with a unit."""
    for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if sec * scale >= 1 or unit == "µs":
            value = sec * scale
            places = 0 if value >= 100 else 1 if value >= 10 else 2
            return f"{value:,.{places}f} {unit}"
    return ""


def breakdown(points):
    if all(point.median("attend_sec") is None for point in points):
        raise Skip("no sample has attend_sec")
    chosen = [point for point in points
              if point.median("attend_sec") is not None
              and point.median("exchange_sec") is not None]
    if not chosen:
        raise Skip("no sample has a phase besides attend_sec")
    left_out = len(chosen) - MOST
    if left_out > 0:
        chosen = sorted(chosen, key=lambda point: -point.median("total_sec"))
        kept = set(map(id, chosen[:MOST]))
        chosen = [point for point in points if id(point) in kept]
    return draw(chosen, left_out)


def names_of(points):
    """What tells the points apart; the number of ranks for a single one."""
    names = varying([point.settings for point in points])
    modes = len({point.mode for point in points}) > 1
    ranks = len({point.ranks for point in points}) > 1 or not names
    return [", ".join(filter(None, (
        point.mode if modes else "", label(point.settings, names),
        ranks_text(point.ranks) if ranks else ""))) for point in points]


class Rows:
    """Where a point's bar and name stand: side by side or, where there is no
    room for that, the name above, on as many lines as the longest takes."""

    def __init__(self, names):
        self.names, self.above = names, max(map(len, names)) > LONGEST_BESIDE
        if self.above:
            self.names = [textwrap.fill(name, LONGEST_LINE) for name in names]
        lines = max(name.count("\n") + 1 for name in self.names)
        self.inches = BAR + self.above * lines * NAME_LINE
        self.thickness = 0.72 * BAR / self.inches
        self.shift = (1 - BAR / self.inches) / 2  # of a bar, downwards

    def write(self, axes):
        if not self.above:
            axes.set_yticks(range(len(self.names)), self.names, fontsize=7)
            axes.tick_params(axis="y", length=0)
            return
        axes.set_yticks([])
        for row, name in enumerate(self.names):
            axes.text(0, row + self.shift - 0.55 * self.thickness, name,
                      va="bottom", fontsize=7)


def draw(points, left_out):
    used = [(name, colour) for name, colour in PHASES
            if any(durations(point).get(name, 0)
                   > VISIBLE * sum(durations(point).values())
                   for point in points)]
    labels, rows = [name for name, _ in used], Rows(names_of(points))
    figure, (axes,) = style.panels(1, [labels],
                                   0.75 + rows.inches * len(points))
    for row, point in enumerate(points):
        of, start = durations(point), 0.0
        whole = sum(of.values())
        for name, colour in used:
            share = 100 * of.get(name, 0.0) / whole
            axes.barh(row + rows.shift, share, left=start,
                      height=rows.thickness, color=style.SERIES[colour],
                      edgecolor=style.SURFACE, linewidth=0.4)
            start += share
        axes.text(101.5, row + rows.shift, time_text(point.median("total_sec")),
                  va="center", fontsize=7)
    for name, colour in used:
        axes.bar(0, 0, color=style.SERIES[colour], label=name)
    axes.set_xlim(0, 100)
    axes.set_ylim(len(points) - 0.4, -0.6)
    rows.write(axes)
    axes.grid(False, axis="y")
    axes.set_xlabel("share of the phases' sum, %")
    if left_out > 0:
        axes.set_title(f"the {MOST} longest; {left_out} more are not drawn")
    style.legend(axes)
    return figure
