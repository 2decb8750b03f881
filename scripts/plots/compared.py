"""Predictions beside measurements, and memory."""

import statistics

from matplotlib.ticker import PercentFormatter

from plots import style
from plots.samples import make_series, ranks_text
from plots.scaling import MOST, split
from plots.skip import Skip, need

ALLOWED = 0.15  # the shaded band


def by_ranks(points):
    """[(label, points)] by ranks, or all at once where these are many."""
    ranks = sorted({point.ranks for point in points})
    if len(ranks) > MOST:
        return [("points", points)]
    return [(ranks_text(number),
             [point for point in points if point.ranks == number])
            for number in ranks]


def ratio(point):
    """Of predicted over measured time."""
    return point.median("predicted_sec") / point.median("total_sec")


def predicted(points):
    if all(point.median("predicted_sec") is None for point in points):
        raise Skip("no sample has predicted_sec: there was no parallel.machine")
    chosen = need(points, "predicted_sec", "total_sec")
    groups = by_ranks(chosen)
    errors = [abs(ratio(point) - 1) for point in chosen]
    labels = [name for name, _ in groups] + ["equal"]
    figure, (above, below) = style.panels(2, [[], labels])
    times = [spread for point in chosen for spread in
             (*point.get("total_sec"), point.median("predicted_sec"))]
    low, high = min(times) / 1.3, max(times) * 1.3
    band = {"color": style.MUTED, "alpha": 0.15, "linewidth": 0}
    above.fill_between(
        [low, high], [low * (1 - ALLOWED), high * (1 - ALLOWED)],
        [low * (1 + ALLOWED), high * (1 + ALLOWED)], **band)
    above.plot([low, high], [low, high], **style.IDEAL)
    below.axhspan(-100 * ALLOWED, 100 * ALLOWED, **band)
    below.axhline(0, **style.IDEAL, label="equal")
    for i, (name, members) in enumerate(groups):
        measured = [point.get("total_sec") for point in members]
        forecast = [point.median("predicted_sec") for point in members]
        above.errorbar(
            [spread.median for spread in measured], forecast,
            xerr=[[spread.median - spread.least for spread in measured],
                  [spread.most - spread.median for spread in measured]],
            color=style.SERIES[i], marker=style.MARKERS[i], linestyle="none",
            elinewidth=0.8, capthick=0.8)
        below.plot([spread.median for spread in measured],
                   [100 * (ratio(point) - 1) for point in members],
                   color=style.SERIES[i], marker=style.MARKERS[i],
                   linestyle="none", label=name)
    for axes in (above, below):
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        style.decade_ticks(axes.xaxis, low, high)
    bottom, top = below.get_ylim()
    below.set_ylim(min(bottom, -200 * ALLOWED), max(top, 200 * ALLOWED))
    above.set_yscale("log")
    above.set_ylim(low, high)
    style.decade_ticks(above.yaxis, low, high)
    above.set_ylabel("predicted time, s")
    below.set_ylabel("error of the prediction")
    below.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    below.set_xlabel("measured time, s")
    within = sum(error <= ALLOWED for error in errors)
    above.set_title(f"{within} of {len(chosen)} points within "
                    f"{100 * ALLOWED:.0f} %\nerror: median "
                    f"{100 * statistics.median(errors):.1f} %, "
                    f"most {100 * max(errors):.1f} %")
    style.legend(below)
    return figure


def memory(points):
    """Over ranks where settings ran on several, else over the length."""
    chosen = need(points, "memory_bytes_per_token")
    series = make_series(chosen, "ranks", lambda point: point.ranks)
    over_ranks = bool(series)
    if not series:
        with_length = [point for point in chosen if point.length]
        series = make_series(with_length, "sequence.length",
                             lambda point: point.length)
    if not series:
        raise Skip("no setting ran on two or more numbers of ranks or lengths")
    parts = split(series)
    figure, panels = style.panels(
        len(parts), [[one.label or "planned" for one in group]
                     for _, group in parts])
    for axes, (title, group) in zip(panels, parts):
        for i, one in enumerate(group):
            places = [point.ranks if over_ranks else point.length
                      for point in one.points]
            axes.plot([style.apart(place, i, len(group)) for place in places],
                      [point.median("memory_bytes_per_token") / 1024
                       for point in one.points], color=style.SERIES[i],
                      marker=style.MARKERS[i], label=one.label or "planned")
        axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
        style.logarithmic_ranks(
            axes, [point.ranks if over_ranks else point.length
                   for one in group for point in one.points],
            "ranks" if over_ranks else "length, tokens")
        axes.set_ylabel("KiB per token, all ranks")
        axes.set_title(title)
        style.legend(axes)
    return figure
