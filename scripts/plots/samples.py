"""The samples of `attnspan bench` (bench.samples, CSV), by point and by series.

A point is one setting on one number of ranks; its figures are the median,
minimum and maximum over its repeats. A series is one setting on several
numbers of ranks, whose fewest is its baseline.
"""

import collections
import csv
import math
import re
import statistics

# What all samples of a point share.
TEXTS = ("mode", "set", "circulate", "layout", "dtype", "kernel", "mask")
WHOLES = ("ranks", "nodes", "threads", "mesh_heads", "mesh_sequence", "length",
          "kv_length", "batch", "heads", "kv_heads", "key_dim", "value_dim",
          "model_dim")
FACTS = TEXTS + WHOLES
NEEDED = ("mode", "set", "ranks", "total_sec")

Spread = collections.namedtuple("Spread", "least median most")


class InputError(Exception):
    """What is wrong with the samples."""


class Point:
    """Facts as attributes (None: unknown), figures by get()."""

    def __init__(self, facts, rows):
        for name in FACTS:
            setattr(self, name, facts[name])
        self.settings = parse_set(self.set)
        self.repeats = len(rows)
        self.figures = {}
        for name in rows[0]:
            values = [row[name] for row in rows if row[name] is not None]
            if values:
                self.figures[name] = Spread(
                    min(values), statistics.median(values), max(values))

    def get(self, name):
        """A Spread, or None where no sample has the figure."""
        return self.figures.get(name)

    def median(self, name):
        spread = self.figures.get(name)
        return None if spread is None else spread.median

    def work(self):
        """Flops of the attention and of the projections, where there are
        any. Samples without a column of these: Q and the output of N rows, K
        and V of N_kv, as wide as x."""
        flops = self.median("flops")
        if flops is None:
            return None
        if self.median("projection_flops") is not None:
            flops += self.median("projection_flops")
        elif self.model_dim:
            queries = self.length * self.heads * (self.key_dim + self.value_dim)
            keys = self.kv_length * self.kv_heads * (self.key_dim
                                                     + self.value_dim)
            flops += 2.0 * self.batch * self.model_dim * (queries + keys)
        return flops

    def scaled(self, base):
        """Spread of the speed-up: flops a second over those of `base`, which
        is T0 / T where the work is the same."""
        more = 1.0
        if self.work() and base.work():
            more = self.work() / base.work()
        elif self.mode == "weak":
            return None
        time, first = self.get("total_sec"), base.median("total_sec")
        return Spread(*(more * first / sec for sec in reversed(time)))

    def efficiency(self, base):
        """Spread of the speed-up over that of the ranks."""
        speedup = self.scaled(base)
        if speedup is None:
            return None
        return Spread(*(value * base.ranks / self.ranks for value in speedup))


class Series:
    """Points by rising ranks; `settings` are those of all of them."""

    def __init__(self, mode, settings, points):
        self.mode, self.settings, self.points = mode, settings, points
        self.base = points[0]
        self.label = ""


def parse_set(text):
    """{"a.b": "1"} of "a.b=1 c.d={e: f}"."""
    starts = list(re.finditer(r"(?:^| )([a-z_]+(?:\.[a-z_]+)*)=", text or ""))
    ends = [match.start() for match in starts[1:]] + [len(text or "")]
    return {match.group(1): text[match.end():end]
            for match, end in zip(starts, ends)}


def number(text, path, line, name):
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}:{line}: {name}: {text} is no number")
    return value


def read_rows(path):
    """(facts, figures) of each line."""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in NEEDED
                   if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{path}: has no column {', '.join(missing)}; "
                             "is this the CSV of attnspan bench?")
        for row in reader:
            line = reader.line_num
            if None in row or None in row.values():
                raise InputError(f"{path}:{line}: has not as many fields as "
                                 "the header")
            facts = {name: row.get(name) or None for name in FACTS}
            for name in WHOLES:
                value = number(facts[name], path, line, name)
                facts[name] = None if value is None else int(value)
            figures = {name: number(text, path, line, name)
                       for name, text in row.items()
                       if name not in FACTS + ("bound", "point", "repeat")}
            if not facts["ranks"] or not figures["total_sec"]:
                raise InputError(f"{path}:{line}: has no ranks or no total_sec")
            facts["set"] = facts["set"] or ""
            facts["bound"] = row.get("bound") or None
            yield facts, figures


def by_value(text):
    """A key to sort by: numbers as numbers, before words."""
    try:
        return (0, float(text), "")
    except (TypeError, ValueError):
        return (1, 0.0, str(text))


def read_points(paths):
    """The points of all files, by mode, settings and ranks."""
    rows = {}
    for path in paths:
        try:
            for facts, figures in read_rows(path):
                key = tuple(facts[name] for name in FACTS)
                rows.setdefault(key, (facts, []))[1].append(figures)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path}: {error}") from error
    if not rows:
        raise InputError(f"{', '.join(paths)}: no samples")
    points = []
    for facts, figures in rows.values():
        points.append(Point(facts, figures))
        points[-1].bound = facts["bound"]
    points.sort(key=lambda point: (
        point.mode or "", [(name, by_value(value))
                           for name, value in point.settings.items()
                           if name != "ranks"], point.ranks))
    return points


# --- labels -------------------------------------------------------------------

SHORT = {"sequence.length": "N", "sequence.kv_length": "N_kv",
         "parallel.heads": "P_h", "parallel.sequence": "P_s",
         "attention.heads": "H", "attention.kv_heads": "H_kv",
         "attention.head_dim": "d", "parallel.threads": "threads"}


def setting_text(name, value):
    if name == "attention.mask" and value.startswith("{"):
        return re.sub(r": true|[{}:]", "", value)  # causal, window [1023, 0]
    if re.fullmatch(r"\d{5,}", value):
        value = f"{int(value):,}"
    if name in SHORT:
        return f"{SHORT[name]} {value}"
    if re.fullmatch(r"[a-z_]*[a-z][a-z_0-9]*", value) and value not in (
            "auto", "true", "false"):
        return value  # a word says what it is: ring, causal, bf16
    return f"{name.split('.')[-1]} {value}"


def varying(all_settings, apart=("ranks",)):
    """The names whose values differ."""
    names = dict.fromkeys(name for settings in all_settings
                          for name in settings if name not in apart)
    return [name for name in names
            if len({settings.get(name) for settings in all_settings}) > 1]


def label(settings, names):
    return ", ".join(setting_text(name, settings[name]) for name in names
                     if name in settings)


def count_text(count, noun):
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def ranks_text(ranks):
    return count_text(ranks, "rank")


# --- series -------------------------------------------------------------------

def make_series(points, key, order):
    """Series of points that differ in `order` alone, at least two of them,
    labelled by what tells them apart; `key` is the setting behind `order`."""
    groups = {}
    for point in points:
        rest = {name: value for name, value in point.settings.items()
                if name != key}
        groups.setdefault((point.mode, tuple(rest.items())), []).append(point)
    result = []
    for (mode, rest), members in groups.items():
        members.sort(key=order)
        places = [order(point) for point in members]
        if len(set(places)) != len(places):
            raise InputError(
                f"several points of one setting ({dict(rest) or 'no sweep'}, "
                f"mode {mode}) at the same place; plot their files apart")
        if len(members) > 1:
            result.append(Series(mode, dict(rest), members))
    names = varying([series.settings for series in result], ())
    for series in result:
        series.label = label(series.settings, names)
    if len({series.mode for series in result}) > 1:
        for series in result:
            series.label = ", ".join(filter(None, (series.mode, series.label)))
    return result


def scaling(points, mode):
    """The series of a mode over ranks."""
    return make_series([point for point in points if point.mode == mode],
                       "ranks", lambda point: point.ranks)
