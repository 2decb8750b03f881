"""The roofline: FLOP/s against FLOP a byte (Williams, Waterman and Patterson
2009), for the attend phase of all ranks together."""

import statistics

from plots import style
from plots.samples import count_text, ranks_text
from plots.skip import Skip, need

ELEMENT_BYTES = {"fp32": 4, "bf16": 2}


def intensity(point):
    """Flops a byte that has to be read or written: q and the output once, k
    and v once for each sequence shard; None where a size is not known. A mask
    hides pairs, not rows, so it counts in the flops alone."""
    sizes = (point.length, point.kv_length, point.batch, point.heads,
             point.kv_heads, point.key_dim, point.value_dim,
             point.mesh_heads, point.mesh_sequence)
    if None in sizes or point.dtype not in ELEMENT_BYTES:
        return None
    element = ELEMENT_BYTES[point.dtype]
    queries = point.length * point.heads
    # More head groups than K/V heads hold some of those more than once.
    keys = (point.kv_length * max(point.kv_heads, point.mesh_heads)
            * point.mesh_sequence)
    moved = point.batch * (
        queries * (element * point.key_dim + 4 * point.value_dim)
        + keys * element * (point.key_dim + point.value_dim))
    return point.median("flops") / moved


def by_machine(points):
    """The points that share a roof."""
    groups = {}
    for point in points:
        groups.setdefault((point.ranks, point.threads or 1, point.dtype,
                           point.kernel), []).append(point)
    return dict(sorted(groups.items(), key=str))


def names_of(keys):
    """What a roof is of, without what is the same for all."""
    threads = len({key[1] for key in keys}) > 1
    kinds = len({key[2:] for key in keys}) > 1
    return [", ".join(filter(None, (
        ranks_text(key[0]) + (f" × {count_text(key[1], 'thread')}"
                              if threads else ""),
        f"{key[2]}" if kinds else "",
        f"{key[3]}" if len({key[3] for key in keys}) > 1 else "")))
        for key in keys]


def roofline(points):
    chosen = [point for point in
              need(points, "flops", "gflops_per_sec", "peak_gflops")
              if intensity(point)]
    if not chosen:
        raise Skip("no sample has all sizes of its tensors")
    groups = by_machine(chosen)
    most = len(style.SERIES)
    if len(groups) > most:
        raise Skip(f"{len(groups)} sets of ranks, threads, dtype and kernel "
                   f"have roofs of their own, {most} can be told apart; plot "
                   "fewer samples")
    labels = names_of(list(groups))
    figure, (axes,) = style.panels(1, [labels + ["roofs"]], 2.8)
    places = [intensity(point) for point in chosen]
    roofs = {}
    for key, members in groups.items():
        reads = [point.median("read_gbytes_per_sec") for point in members
                 if point.median("read_gbytes_per_sec")]
        roofs[key] = (
            statistics.median(point.median("peak_gflops")
                              for point in members),
            statistics.median(reads) if reads else None)
    ridges = [peak / read for peak, read in roofs.values() if read]
    low, high = min(places + ridges) / 2, max(places + ridges) * 2
    for i, (key, members) in enumerate(groups.items()):
        peak, read = roofs[key]
        line = {"color": style.SERIES[i], "linewidth": 0.9, "zorder": 1.5,
                "linestyle": style.IDEAL["linestyle"]}
        if read:
            axes.plot([low, peak / read, high], [low * read, peak, peak],
                      **line)
        else:
            axes.plot([low, high], [peak, peak], **line)
        style.marks(axes, [intensity(point) for point in members],
                    [point.get("gflops_per_sec") for point in members], i,
                    labels[i], joined=False)
    axes.plot([], [], **style.IDEAL, label="roofs")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    style.decade_ticks(axes.xaxis, low, high)
    style.decade_ticks(axes.yaxis, *axes.get_ylim())
    axes.set_xlabel("FLOP per byte of q, k, v and output")
    axes.set_ylabel("GFLOP/s, all ranks, attend phase")
    if not ridges:
        axes.set_title("memory's rate was not measured", color=style.MUTED)
    style.legend(axes)
    return figure
