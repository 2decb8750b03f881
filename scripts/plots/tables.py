"""The tables of the page: (headings, rows of text), in the order of points."""

from plots.phases import durations
from plots.samples import label, make_series, varying

PHASES = ("project", "exchange", "attend", "output")


def significant(value, digits=4):
    """Not fewer digits than that, no exponent, thousands set off."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    places = 0
    while places < 9 and abs(value) * 10 ** places < 10 ** (digits - 1):
        places += 1
    return f"{value:,.{places}f}"


def spread_text(spread):
    """Median and, of several samples, (least–most)."""
    if spread is None:
        return ""
    text = significant(spread.median)
    if spread.least == spread.most:
        return text
    return f"{text} ({significant(spread.least)}–{significant(spread.most)})"


def milliseconds(sec):
    return "" if sec is None else significant(1e3 * sec)


def percent(value):
    return "" if value is None else f"{100 * value:.1f} %"


def mesh(point):
    if point.mesh_heads is None or point.mesh_sequence is None:
        return ""
    return f"{point.mesh_heads} × {point.mesh_sequence}"


def baselines(points):
    """The baseline of each point of a series, by the point's id."""
    return {id(point): series.base
            for mode in ("strong", "weak")
            for series in make_series(
                [point for point in points if point.mode == mode], "ranks",
                lambda point: point.ranks)
            for point in series.points}


def without_empty(headings, rows, constant=()):
    """Without the columns that no row has, and without those of `constant`
    that are the same in all rows."""
    kept = [i for i, name in enumerate(headings)
            if any(row[i] for row in rows)
            and (name not in constant or len({row[i] for row in rows}) > 1)]
    return ([headings[i] for i in kept],
            [[row[i] for i in kept] for row in rows])


def first_column(points):
    """What a point is, as short as tells it from the others."""
    names = varying([point.settings for point in points])
    modes = len({point.mode for point in points}) > 1
    return [", ".join(filter(None, (point.mode if modes else "",
                                    label(point.settings, names)))) or "all"
            for point in points]


def results(points):
    bases, rows = baselines(points), []
    for name, point in zip(first_column(points), points):
        base = bases.get(id(point))
        speedup = base and point.scaled(base)
        efficiency = base and point.efficiency(base)
        predicted = point.median("predicted_sec")
        error = None if predicted is None else \
            predicted / point.median("total_sec") - 1
        rows.append([
            name, f"{point.ranks:,}", spread_text(point.get("total_sec")),
            significant(speedup and speedup.median),
            percent(efficiency and efficiency.median),
            spread_text(point.get("gflops_per_sec")),
            percent(point.median("fraction_of_bound")), point.bound or "",
            significant(predicted),
            "" if error is None else f"{100 * error:+.1f} %",
            mesh(point), f"{point.threads or ''}", f"{point.length or ''}",
            f"{point.repeats}"])
    return without_empty(
        ["setting", "ranks", "time, s", "speed-up", "efficiency", "GFLOP/s",
         "of bound", "bound", "predicted, s", "error", "P_h × P_s", "threads",
         "N", "samples"], rows, ("threads", "samples", "bound"))


def phases(points):
    rows = []
    for name, point in zip(first_column(points), points):
        split = durations(point)
        rows.append([
            name, f"{point.ranks:,}",
            *(milliseconds(point.median(f"{phase}_sec")) for phase in PHASES),
            milliseconds(point.median("compute_sec_mean")),
            milliseconds(split.get("attend: rest")),
            milliseconds(point.median("wait_sec_mean")),
            percent(point.median("overlap")),
            significant(point.median("imbalance"))])
    return without_empty(
        ["setting", "ranks", "project, ms", "exchange, ms", "attend, ms",
         "output, ms", "kernels, ms", "rest of attend, ms", "waiting, ms",
         "overlap", "imbalance"], rows)


def memory(points):
    rows = []
    for name, point in zip(first_column(points), points):
        rows.append([
            name, f"{point.ranks:,}",
            *(whole(point.median(column)) for column in
              ("bytes_sent_max", "bytes_sent_total", "bytes_predicted",
               "memory_bytes_max")),
            significant(point.median("memory_bytes_per_token"))])
    return without_empty(
        ["setting", "ranks", "sent by a rank, bytes", "sent by all, bytes",
         "predicted, bytes", "memory of a rank, bytes", "a token, bytes"],
        rows)


def whole(value):
    return "" if value is None else f"{value:,.0f}"
