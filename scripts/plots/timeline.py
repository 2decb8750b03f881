"""A trace of attnspan run as a picture: scripts/timeline.py says what it has.

Only the execution is drawn, neither loading nor writing. Slices of one colour
that are closer than a fraction of a pixel become one.
"""

import bisect
import json

from matplotlib.colors import to_rgb
from matplotlib.patheffects import withStroke

import matplotlib.pyplot as plt

from plots import style

WIDTH = 7.2  # inches; a page
ROW, GAP = 0.15, 0.12  # inches; of a rank, and between ranks
HEIGHT, MESSAGES = 0.9, 0.6  # of a row: its bars, those of messages
ENDS = 1.05  # inches; what is above and below
PIXELS = 4000  # across the picture; what is closer is joined

WAIT = style.INK
PHASES = {"project": "#d9d9d9", "exchange": "#b8b8b8", "attend": "#ececec",
          "output": "#d9d9d9", "pack": "#a3a3a3"}
OTHER = "#9a9a9a"  # keys of several shards, not told apart, or no keys
FINEST = ("block", "tile", "step")  # of a thread: the first of these it has
TINT = 0.72  # share of white in what lies behind
SHORTEST_NAMED = 0.04  # of the width: a phase with its name on it


class TraceError(Exception):
    """What is wrong with the trace."""


class Rank:
    """Slices of the lanes, each lane in the order of their starts."""

    def __init__(self, number):
        self.number = number
        self.lanes = {}  # name: slices

    def of(self, name):
        """Slices of all lanes of that name."""
        return self.lanes.get(name, [])

    def threads(self):
        return sorted((lane for lane in self.lanes if
                       lane.startswith("thread ")),
                      key=lambda lane: int(lane.split()[1]))


def read(path):
    """The ranks of a trace, in their order, and a line that says what ran."""
    try:
        with open(path, encoding="utf-8") as file:
            trace = json.load(file)
        ranks, names = {}, {}
        for event in trace["traceEvents"]:
            if event["ph"] == "M" and event["name"] == "thread_name":
                names[event["pid"], event["tid"]] = event["args"]["name"]
            elif event["ph"] == "X":
                rank = ranks.setdefault(event["pid"], Rank(event["pid"]))
                lane = names[event["pid"], event["tid"]]
                rank.lanes.setdefault(lane, []).append(event)
        found = [ranks[number] for number in sorted(ranks)]
        run = trace["otherData"]
        head = (f"{run['mesh']['heads']} × {run['mesh']['sequence']} ranks, "
                f"{run['mesh']['circulate']}, {run['mesh']['layout']}, "
                f"N = {run['length']:,}, {run['heads']} heads, "
                f"{run['threads']} thread" + "s" * (run["threads"] > 1))
        if not all(execution(rank) for rank in found) or not found:
            raise KeyError("execute")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TraceError(f"{path}: is no trace of attnspan run: {error!r}"
                         ) from error
    return found, head


def tinted(colour):
    return tuple(TINT + (1 - TINT) * part for part in to_rgb(colour))


def execution(rank):
    return next((piece for piece in rank.lanes.get("phases", ())
                 if piece["name"] == "execute"), None)


def colour_of(shard):
    if shard is None or shard < 0:
        return OTHER
    return style.SERIES[shard % len(style.SERIES)]


def of_kind(pieces, cat):
    return [piece for piece in pieces if piece["cat"] == cat]


def finest(pieces):
    """What a thread's computing is drawn by, and the slices of that."""
    cat = next((cat for cat in FINEST if of_kind(pieces, cat)), FINEST[-1])
    return cat, of_kind(pieces, cat)


def bands(step, pieces):
    """(colour, top, height) of what `pieces` of a step computed with, within
    a row of height 1: one for each shard, as high as its share of the time.
    """
    shard = step["args"]["keys_of_shard"]
    if shard >= 0:
        return [(colour_of(shard), 0, 1)]
    spent = {}
    for piece in pieces:
        shard = piece["args"].get("keys_of_shard", -1)
        spent[shard] = spent.get(shard, 0) + piece["dur"]
    found, top, total = [], 0, sum(spent.values())
    for shard in sorted(spent):
        share = spent[shard] / total if total > 0 else 1 / len(spent)
        found.append((colour_of(shard), top, share))
        top += share
    return found


def beside(pieces):
    """Slices in as few lists as there are at a time; none of a list overlap."""
    lists = []
    for piece in sorted(pieces, key=lambda piece: piece["ts"]):
        free = (of for of in lists
                if of[-1]["ts"] + of[-1]["dur"] <= piece["ts"])
        of = next(free, None)
        if of is None:
            lists.append([piece])
        else:
            of.append(piece)
    return lists


def joined(pieces, nearest):
    """(start, length) of slices, in order; those closer than `nearest` as
    one."""
    bars = []
    for start, length in sorted(pieces):
        if bars and start - sum(bars[-1]) < nearest:
            bars[-1] = (bars[-1][0],
                        max(sum(bars[-1]), start + length) - bars[-1][0])
        else:
            bars.append((start, length))
    return bars


class Picture:
    def __init__(self, axes, begin, end):
        self.axes = axes
        self.begin = begin
        self.width = end - begin
        self.nearest = self.width / PIXELS * 1e-3

    def bar(self, pieces, top, height, colour):
        self.axes.broken_barh(
            joined([((piece["ts"] - self.begin) * 1e-3, piece["dur"] * 1e-3)
                    for piece in pieces], self.nearest),
            (top, height), facecolor=colour, linewidth=0)

    def bars(self, pieces, place, colours, height=HEIGHT):
        """Slices as bars; `colours` gives that of a slice, None: none."""
        by_colour = {}
        for piece in pieces:
            colour = colours(piece)
            if colour is not None:
                by_colour.setdefault(colour, []).append(piece)
        for colour, of in by_colour.items():
            self.bar(of, place - height / 2, height, colour)

    def name(self, phases, place):
        """The names of long phases, at their ends, readable over waits."""
        for piece in phases:
            if (piece["cat"] in PHASES and piece["cat"] != "pack" and
                    piece["dur"] > SHORTEST_NAMED * self.width):
                end = piece["ts"] + piece["dur"] - self.begin
                self.axes.annotate(
                    piece["name"], (end * 1e-3, place), xytext=(-2, 0),
                    textcoords="offset points", fontsize=5.5, ha="right",
                    va="center", color=style.MUTED, path_effects=[
                        withStroke(linewidth=1.5,
                                   foreground=PHASES[piece["cat"]])])

    def thread(self, pieces, place):
        """What it computes: blocks, or tiles or steps where blocks were left
        out, by the shards of the step they are in."""
        steps = of_kind(pieces, "step")
        starts = [piece["ts"] for piece in steps]
        in_step = {}
        for piece in finest(pieces)[1]:
            number = bisect.bisect_right(starts, piece["ts"]) - 1
            in_step.setdefault(number, []).append(piece)
        alike = {}  # those of equal bands, of all steps
        for number, of in in_step.items():
            for band in bands(steps[number], of):
                alike.setdefault(band, []).extend(of)

        self.bars(steps, place, lambda piece: tinted(
            colour_of(piece["args"]["keys_of_shard"])))
        for (colour, top, height), of in alike.items():
            self.bar(of, place + (top - 0.5) * HEIGHT, height * HEIGHT,
                     colour)

    def messages(self, pieces, place):
        """Those that are under way together have a stripe each."""
        stripes = beside(pieces)
        for number, of in enumerate(stripes):
            self.bars(of, place + ((number + 0.5) / len(stripes) - 0.5)
                      * MESSAGES, lambda piece: colour_of(
                          piece["args"]["shard"]
                          if piece["name"].startswith("K/V") else None),
                      MESSAGES / len(stripes))

    def rank(self, rank, place, ways):
        """Draws its rows down from `place`, those of messages for each of
        `ways`; their names."""
        rows = ["phases", *rank.threads(), *ways]
        phases = rank.lanes["phases"]
        self.bars(phases, place, lambda piece: PHASES.get(piece["cat"]))
        self.bars(phases, place, lambda piece: WAIT
                  if piece["cat"] in ("wait", "wait_node") else None)
        self.name(phases, place)
        for row, lane in enumerate(rank.threads(), 1):
            self.thread(rank.lanes[lane], place + row)
        for row, way in enumerate(ways, len(rows) - len(ways)):
            self.messages(rank.of(way), place + row)
        return rows


def draw(trace, most):
    """The first `most` ranks of a trace, as a Figure."""
    ranks, head = trace
    drawn = ranks[:max(most, 1)]
    begin = min(execution(rank)["ts"] for rank in drawn)
    end = max(execution(rank)["ts"] + execution(rank)["dur"] for rank in drawn)
    ways = [way for way in ("receive", "send")
            if any(rank.of(way) for rank in drawn)]
    count = sum(1 + len(ways) + len(rank.threads()) for rank in drawn)
    figure, axes = plt.subplots(
        figsize=(WIDTH, ENDS + ROW * count + GAP * len(drawn)),
        constrained_layout=True)
    picture = Picture(axes, begin, end)
    places, names, place = [], [], 0.0
    for rank in drawn:
        rows = picture.rank(rank, place, ways)
        places += [place + row for row in range(len(rows))]
        names += [f"rank {rank.number}  {rows[0]}", *rows[1:]]
        place += len(rows) + GAP / ROW
    legend(axes, drawn)
    axes.set_ylim(place - GAP / ROW - 0.4, -0.6)
    axes.set_yticks(places, names, fontsize=6)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.set_xlim(0, (end - begin) * 1e-3)
    axes.set_xlabel("ms since the execution began")
    if len(drawn) < len(ranks):
        head += f"; the first {len(drawn)} ranks"
    figure.suptitle(head, fontsize=7.5, x=0.01, ha="left")
    return figure


def legend(axes, ranks):
    """Colours that are there: shards, of which those of one colour share a
    line, and waiting."""
    shards = sorted({piece["args"].get("keys_of_shard", -1) for rank in ranks
                     for lane in rank.threads() for piece in rank.lanes[lane]
                     } - {-1})
    entries = {}
    for shard in shards:
        entries.setdefault(colour_of(shard), []).append(shard)
    for colour, of in entries.items():
        named = ", ".join(map(str, of[:3])) + (" …" if len(of) > 3 else "")
        axes.bar(0, 0, color=colour, label=f"keys of shard {named}")
    if has_others(ranks):
        axes.bar(0, 0, color=OTHER, label="several, or no keys")
    axes.bar(0, 0, color=tinted(style.INK), label="in a step, not computing")
    axes.bar(0, 0, color=WAIT, label="waits")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=4,
                fontsize=6.5, handlelength=1.2, columnspacing=1.2,
                borderaxespad=0.2)


def has_others(ranks):
    """Whether something is drawn as of several shards, or of none."""
    for rank in ranks:
        for lane in rank.threads():
            pieces = rank.lanes[lane]
            if finest(pieces)[0] != "block" and any(
                    step["args"]["keys_of_shard"] < 0
                    for step in of_kind(pieces, "step")):
                return True
        if any(not piece["name"].startswith("K/V")
               for piece in rank.of("send") + rank.of("receive")):
            return True
    return False
