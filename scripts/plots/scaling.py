"""Strong and weak scaling and the efficiency of both."""

from plots import style
from plots.samples import label, scaling, varying
from plots.skip import Skip

MOST = len(style.SERIES)  # series of a panel
IDEAL_STRONG = "ideal"
IDEAL_WEAK = "ideal (dashed)"


def split(series):
    """[(title, series)]: of at most MOST series each, by the setting that
    needs the fewest panels where there are more."""
    if len(series) <= MOST:
        return [("", series)]
    choices = []
    for name in varying([one.settings for one in series], ()):
        groups = {}
        for one in series:
            groups.setdefault(one.settings.get(name), []).append(one)
        if max(len(group) for group in groups.values()) <= MOST:
            choices.append((len(groups), name, groups))
    if not choices:
        return [("", series[i:i + MOST]) for i in range(0, len(series), MOST)]
    _, name, groups = min(choices, key=lambda choice: choice[0])
    return [(label(group[0].settings, [name]), group)
            for group in groups.values()]


def series_of(points, mode):
    found = scaling(points, mode)
    if not found:
        raise Skip(f"no setting of mode {mode} ran on two or more numbers "
                   "of ranks")
    return found


def all_ranks(series):
    return [point.ranks for one in series for point in one.points]


def draw_lines(axes, series, spread_of):
    """A line for each series; spread_of(point, base) -> Spread."""
    for i, one in enumerate(series):
        places = [style.apart(point.ranks, i, len(series))
                  for point in one.points]
        spreads = [spread_of(point, one.base) for point in one.points]
        if any(spread is None for spread in spreads):
            raise Skip(f"the flops of {one.label or 'a point'} are not known")
        style.marks(axes, places, spreads, i, one.label or "measured")


def draw_panels(parts, extra, draw):
    """`parts` as of split(); draw(axes, series) fills the axes of one."""
    labels = [[one.label or "measured" for one in series] + extra
              for _, series in parts]
    figure, axes = style.panels(len(parts), labels)
    for one, (title, series) in zip(axes, parts):
        draw(one, series)
        style.logarithmic_ranks(one, all_ranks(series))
        one.set_title(title)
        style.legend(one)
    return figure


def strong(points):
    def draw(axes, series):
        starts = {}
        for one in series:
            most = max(point.ranks for point in one.points)
            first = one.base.ranks
            starts[first] = max(most, starts.get(first, 0))
        for i, (first, most) in enumerate(sorted(starts.items())):
            axes.plot([first, most], [1, most / first], **style.IDEAL,
                      label=IDEAL_STRONG if i == 0 else None)
        draw_lines(axes, series, lambda point, base: point.scaled(base))
        axes.set_yscale("log", base=2)
        low, high = axes.get_ylim()
        style.ticks(axes.yaxis, [2.0 ** power for power in range(-6, 21)
                                 if low <= 2.0 ** power <= high])
        axes.set_ylabel("speed-up")

    return draw_panels(split(series_of(points, "strong")), [IDEAL_STRONG],
                       draw)


def weak(points):
    def draw(axes, series):
        for i, one in enumerate(series):
            places = [style.apart(point.ranks, i, len(series))
                      for point in one.points]
            ideal = [one.base.median("total_sec") * point.work()
                     / one.base.work() * one.base.ranks / point.ranks
                     for point in one.points if point.work()]
            if len(ideal) != len(places):
                raise Skip("the flops of a point are not known")
            axes.plot(places, ideal,
                      **{**style.IDEAL, "color": style.SERIES[i]})
        axes.plot([], [], **style.IDEAL, label=IDEAL_WEAK)
        draw_lines(axes, series, lambda point, _: point.get("total_sec"))
        axes.set_yscale("log")
        style.decade_ticks(axes.yaxis, *axes.get_ylim())
        axes.set_ylabel("time, s")

    return draw_panels(split(series_of(points, "weak")), [IDEAL_WEAK], draw)


def efficiency(points):
    parts = []
    for mode in ("strong", "weak"):
        chosen = scaling(points, mode)
        parts += [(f"{mode} scaling" + (f", {title}" if title else ""), series)
                  for title, series in split(chosen)] if chosen else []
    if not parts:
        raise Skip("no setting of mode strong or weak ran on two or more "
                   "numbers of ranks")

    def draw(axes, series):
        axes.axhline(1, **style.IDEAL, label="ideal")
        draw_lines(axes, series, lambda point, base: point.efficiency(base))
        axes.set_ylim(0, max(1.1, axes.get_ylim()[1]))
        axes.set_ylabel("efficiency")

    return draw_panels(parts, ["ideal"], draw)
