"""What scripts/plot.py and scripts/report.py make of the samples in tests/data,
and scripts/timeline.py of a trace.

    python3 tests/plots.py

python3 needs matplotlib.
"""

import csv
import html.parser
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

TESTS = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(TESTS, "..", "scripts")
FIXTURES = [os.path.join(TESTS, "data", f"bench_{name}.csv")
            for name in ("strong", "weak", "decode")]
SUMMARY = os.path.join(TESTS, "data", "bench_strong.json")
FIGURES = {"strong", "weak", "efficiency", "phases", "roofline", "predicted",
           "memory"}
PNG = b"\x89PNG\r\n\x1a\n"
SVG = "{http://www.w3.org/2000/svg}"
LANES = ("phases", "thread 0", "receive", "send")  # of a rank in a trace


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def groups_of(*paths):
    """Samples by mode, set and ranks."""
    groups = {}
    for path in paths:
        for row in read(path):
            key = row["mode"], row["set"], int(row["ranks"])
            groups.setdefault(key, []).append(row)
    return groups


def median(rows, column):
    return statistics.median(float(row[column]) for row in rows)


class Page(html.parser.HTMLParser):
    """The tables of a page, and whatever an attribute refers to."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.references, self.ids = [], [], []
        self.depth, self.void = [], {"meta", "link", "img", "br", "hr"}
        self.cell = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag not in self.void:
            self.depth.append(tag)
        for name, value in attributes:
            if name in ("href", "src", "srcset", "data", "action"):
                self.references.append(value)
            if name == "id":
                self.ids.append(value)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.cell = ""

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.void:
            self.handle_endtag(tag)

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        opened = self.depth.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"
        if tag in ("th", "td"):
            self.tables[-1][-1].append(self.cell)
            self.cell = None

    def columns(self, number):
        """Rows of a table as {heading: text}."""
        head, *rows = self.tables[number]
        return [dict(zip(head, row)) for row in rows]


class Plots(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def run_script(self, name, *arguments, expect=0, environment=None):
        done = subprocess.run(
            [sys.executable, os.path.join(SCRIPTS, f"{name}.py"), *arguments],
            text=True, timeout=120, capture_output=True,
            env={**os.environ, **(environment or {})})
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def plot(self, *samples, expect=0, options=()):
        """Lines printed, and the names in the folder of figures."""
        out = self.path("plots")
        done = self.run_script("plot", *samples, "--output", out, *options,
                               expect=expect)
        written = set(os.listdir(out)) if os.path.isdir(out) else set()
        return done, written

    def page(self, *arguments):
        self.run_script("report", *FIXTURES, "--output",
                        self.path("page.html"), *arguments)
        with open(self.path("page.html"), encoding="utf-8") as file:
            return file.read()

    def changed(self, change, source=FIXTURES[0]):
        """The path of samples of which each row went through `change`,
        which returns whether it stays."""
        rows = [row for row in read(source) if change(row) is not False]
        path = self.path(f"changed_{os.path.basename(source)}")
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(read(source)[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    def predictions(self, source=FIXTURES[0]):
        """Samples whose points have predictions of their own: 10 % above
        the median, but for one rank, 50 % above."""
        groups = groups_of(source)

        def predict(row):
            rows = groups[row["mode"], row["set"], int(row["ranks"])]
            more = 1.5 if row["ranks"] == "1" else 1.1
            row["predicted_sec"] = repr(more * median(rows, "total_sec"))

        return self.changed(predict, source)

    # --- plot.py -----------------------------------------------------------

    def test_every_figure_as_png_and_svg(self):
        done, written = self.plot(self.predictions(), *FIXTURES[1:])
        self.assertEqual(written, {f"{name}.{kind}" for name in FIGURES
                                   for kind in ("png", "svg")})
        self.assertNotIn("skipped", done.stdout)
        self.assertNotIn("Warning", done.stderr)
        for name in FIGURES:
            path = os.path.join(self.folder, "plots", name)
            with open(path + ".png", "rb") as file:
                self.assertEqual(file.read(len(PNG)), PNG)
            root = xml.etree.ElementTree.parse(path + ".svg").getroot()
            self.assertEqual(root.tag, f"{SVG}svg")
            self.assertGreater(len(list(root.iter(f"{SVG}path"))), 10, name)

    def test_same_samples_same_svg(self):
        _, written = self.plot(*FIXTURES, options=("--only", "strong"))
        self.assertEqual(written, {"strong.png", "strong.svg"})
        path = self.path("plots/strong.svg")
        with open(path, "rb") as file:
            first = file.read()
        self.plot(*FIXTURES, options=("--only", "strong"))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), first)

    def test_a_figure_without_data_is_skipped_with_the_reason(self):
        def strip(row):
            for name in ("predicted_sec", "attend_sec", "peak_gflops",
                         "memory_bytes_per_token"):
                row[name] = ""
            return row["ranks"] == "1"

        done, written = self.plot(self.changed(strip), expect=1)
        self.assertEqual(written, set())
        for name, reason in (
                ("strong", "no setting of mode strong ran on two or more "
                 "numbers of ranks"),
                ("weak", "no setting of mode weak ran on two"),
                ("efficiency", "no setting of mode strong or weak ran"),
                ("phases", "no sample has attend_sec"),
                ("roofline", "no sample has peak_gflops"),
                ("predicted", "no sample has predicted_sec"),
                ("memory", "no sample has memory_bytes_per_token")):
            self.assertIn(f"skipped: {name}: {reason}", done.stdout)

    def test_a_sweep_of_many_values(self):
        """More series than colours: a panel for each value of an axis."""
        samples = []
        for length in range(1, 10):
            def scale(row, length=length):
                row["set"] = re.sub(r"sequence\.length=\d+",
                                    f"sequence.length={length}000", row["set"])
                row["point"] = f"{length}{row['point']}"

            path = self.path(f"{length}.csv")
            shutil.move(self.changed(scale, FIXTURES[1]), path)
            samples.append(path)
        done, written = self.plot(*samples, options=("--only", "weak"))
        self.assertEqual(written, {"weak.png", "weak.svg"}, done.stdout)
        with open(self.path("plots/weak.svg"), encoding="utf-8") as file:
            self.assertEqual(len(set(re.findall(r'id="(axes_\d+)"',
                                                file.read()))), 9)

    def test_long_names_of_points_leave_room_for_their_bars(self):
        def lengthen(row):
            row["set"] += " attention.mask=" + (
                "none" if row["ranks"] == "1" else
                "{causal: true, window: [16383, 0], documents: documents.npy}")

        done, written = self.plot(self.changed(lengthen),
                                  options=("--only", "phases"))
        self.assertEqual(written, {"phases.png", "phases.svg"}, done.stdout)
        self.assertNotIn("Warning", done.stderr)

    def test_an_axis_has_three_to_seven_ticks_wherever_it_begins(self):
        done = subprocess.run(
            [sys.executable, "-c", """
from plots import style
_, axes = style.plt.subplots()
for power in range(160):
    for factor in (1.1, 1.5, 2, 3, 10, 100, 1e6):
        least = 1e-4 * 1.07 ** power
        style.decade_ticks(axes.yaxis, least, least * factor)
        ticks = axes.yaxis.get_majorticklocs()
        assert 3 <= len(ticks) <= 7, (least, factor, ticks)
        assert least <= min(ticks) and max(ticks) <= least * factor
"""], text=True, timeout=120, capture_output=True, cwd=SCRIPTS)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_wrong_samples_are_refused_at_their_line(self):
        def wrong(row):
            if row["repeat"] == "1":
                row["total_sec"] = "soon"

        line = 2 + [row["repeat"] for row in read(FIXTURES[0])].index("1")
        path = self.changed(wrong)
        done, _ = self.plot(path, expect=2)
        self.assertIn(f"plot: error: {path}:{line}: total_sec: soon is no "
                      "number", done.stderr)
        done, _ = self.plot(SUMMARY, expect=2)
        self.assertIn("has no column mode, set", done.stderr)
        done, _ = self.plot(self.path("nowhere.csv"), expect=2)
        self.assertIn("nowhere.csv", done.stderr)

    def test_without_matplotlib_it_says_what_to_install(self):
        with open(self.path("matplotlib.py"), "w", encoding="utf-8") as file:
            file.write("raise ImportError('not here')\n")
        for script in ("plot", "report"):
            done = self.run_script(script, *FIXTURES, expect=3,
                                   environment={"PYTHONPATH": self.folder})
            self.assertIn("apt-get install python3-matplotlib", done.stderr)

    # --- report.py ---------------------------------------------------------

    def trace(self, change=lambda trace: None):
        """A ring of two ranks, made by hand; in microseconds."""
        events = []
        for rank in (0, 1):
            for lane, name in enumerate(LANES, 2):
                events.append({"ph": "M", "pid": rank, "tid": lane,
                               "name": "thread_name", "args": {"name": name}})

            def slice_of(lane, cat, start, length, rank=rank, **args):
                name = f"K/V {args['shard']}" if "peer" in args else cat
                events.append({"ph": "X", "pid": rank,
                               "tid": 2 + LANES.index(lane),
                               "ts": start, "dur": length, "cat": cat,
                               "name": name, "args": args})
            slice_of("phases", "execute", 0, 100)
            slice_of("phases", "attend", 0, 100)
            slice_of("phases", "wait", 45, 5)
            for step, start in enumerate((0, 50)):
                shard = (rank + step) % 2
                slice_of("thread 0", "step", start, 45, keys_of_shard=shard)
                slice_of("thread 0", "tile", start, 45)
                slice_of("thread 0", "block", start, 40, keys_of_shard=shard)
            slice_of("receive", "receive", 1, 40, peer=1 - rank,
                     shard=1 - rank)
            slice_of("send", "send", 1, 40, peer=1 - rank, shard=rank)
        trace = {"traceEvents": events, "otherData": {
            "mesh": {"heads": 1, "sequence": 2, "circulate": "ring",
                     "layout": "contiguous"},
            "length": 64, "heads": 1, "threads": 1}}
        change(trace)
        with open(self.path("trace.json"), "w", encoding="utf-8") as file:
            json.dump(trace, file)
        return self.path("trace.json")

    def test_a_timeline_has_the_colours_of_what_was_done(self):
        fills = {}
        for name, change in (("all", lambda trace: None),
                             ("no waits", self.without("wait")),
                             ("no blocks", self.without("block"))):
            self.run_script("timeline", self.trace(change),
                            self.path("timeline.svg"))
            with open(self.path("timeline.svg"), encoding="utf-8") as file:
                text = file.read()
            xml.etree.ElementTree.fromstring(text)
            fills[name] = re.findall("fill: (#[0-9a-f]{6})", text)
        for shard in ("#0072b2", "#d55e00"):
            # On each rank a thread and a message; in the legend; and the bar
            # without height that this is of.
            self.assertEqual(fills["all"].count(shard), 2 * 2 + 2)
            self.assertEqual(fills["no blocks"].count(shard), 2 * 2 + 2)
        self.assertEqual(fills["all"].count("#222222"),
                         fills["no waits"].count("#222222") + 2)

    @staticmethod
    def without(cat):
        def change(trace):
            trace["traceEvents"] = [event for event in trace["traceEvents"]
                                    if event.get("cat") != cat]
        return change

    def test_a_timeline_tells_shards_apart_that_are_at_hand_together(self):
        def gather(trace):
            """On rank 0 the second step is of both shards, the own one for a
            quarter of the time, while two messages arrive."""
            events = trace["traceEvents"]
            block = [event for event in events if event["pid"] == 0 and
                     event.get("cat") == "block"][1]
            own = json.loads(json.dumps(block))
            own.update(dur=10, args={"keys_of_shard": 0})
            block.update(ts=60, dur=30)
            events.insert(events.index(block), own)
            for event in events:
                if event.get("cat") == "step" and event["ts"] == 50:
                    event["args"]["keys_of_shard"] = -1
                if event.get("cat") == "receive" and event["pid"] == 0:
                    second = dict(event, name="K/V 0", args={"shard": 0})
            events.append(second)

        self.run_script("timeline", self.trace(gather),
                        self.path("timeline.svg"))
        with open(self.path("timeline.svg"), encoding="utf-8") as file:
            text = file.read()
        heights = {}
        # What is clipped is in the axes; the legend is not.
        for path, colour in re.findall(
                r'<path d="([^"]*)" clip-path="[^"]*" '
                r'style="fill: (#[0-9a-f]{6})', text):
            rows = [float(y) for y in re.findall(r"[ML] \S+ (\S+)", path)]
            heights.setdefault(colour, []).append(max(rows) - min(rows))
        row = max(heights["#0072b2"]) / 0.9
        for colour, wanted in (
                ("#0072b2", [0.9 / 4, 0.6 / 2, 0.6, 0.6, 0.9, 0.9]),
                ("#d55e00", [0.6 / 2, 0.6, 0.9 * 3 / 4, 0.9])):
            self.assertEqual(sorted(round(height / row, 3)
                                    for height in heights[colour] if height),
                             [round(height, 3) for height in wanted])
        self.assertNotIn("#9a9a9a", heights)

    def test_a_timeline_of_something_else_is_refused(self):
        def empty(trace):
            trace["traceEvents"] = []
        for path in (FIXTURES[0], SUMMARY, self.trace(empty)):
            done = self.run_script("timeline", path, self.path("no.png"),
                                   expect=2)
            self.assertIn(f"{path}: is no trace of attnspan run", done.stderr)
        self.run_script("timeline", self.path("missing"), self.path("no.png"),
                        expect=1)
        self.assertFalse(os.path.exists(self.path("no.png")))
        self.run_script("timeline", self.trace(), self.path("yes.png"))
        with open(self.path("yes.png"), "rb") as file:
            self.assertEqual(file.read(len(PNG)), PNG)

    def test_page_needs_nothing_else(self):
        text = self.page("--summary", SUMMARY)
        addresses = re.findall(r"[a-z]+://[^\s\"'<]*", text)
        self.assertEqual(set(addresses), {"http://www.w3.org/2000/svg"})
        self.assertEqual(text.count("http://www.w3.org/2000/svg"),
                         text.count('xmlns="http://www.w3.org/2000/svg"'))
        page = Page(text)
        self.assertEqual(page.depth, [])
        self.assertEqual(len(page.ids), len(set(page.ids)))
        for reference in page.references:
            self.assertTrue(reference.startswith("#"), reference)
            self.assertIn(reference[1:], page.ids)
        for reference in re.findall(r"url\(([^)]*)\)", text):
            self.assertIn(reference[1:], page.ids)
        self.assertNotRegex(text, r"@import|<script|<link|<img")
        for variable in set(re.findall(r"var\((--[a-z0-9-]+)\)", text)):
            self.assertEqual(text.count(f" {variable}: #"), 2, variable)
        self.assertIn("prefers-color-scheme: dark", text)

    def test_page_has_the_figures_that_the_data_give(self):
        text = self.page()
        self.assertEqual(text.count("<svg"), len(FIGURES) - 1)
        self.assertIn("Not drawn: Predicted against measured: no sample has "
                      "predicted_sec: there was no parallel.machine.", text)
        for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
            xml.etree.ElementTree.fromstring(svg)

    def test_page_shows_environment_config_and_refusals(self):
        text = html.unescape(self.page("--summary", SUMMARY, "--title",
                                       "A <b> & c"))
        with open(SUMMARY, encoding="utf-8") as file:
            summary = json.load(file)
        self.assertIn("<title>A <b> & c</title>", text)
        for key in ("version", "cpu", "blas"):
            self.assertIn(f"<dd>{summary[key]}</dd>", text)
        self.assertIn(json.dumps(summary["config"], indent=2), text)
        refused = [point["refused"] for point in summary["points"]
                   if "refused" in point]
        self.assertTrue(refused)
        for reason in refused:
            self.assertIn(reason, text)

    def tabled(self, text, number):
        """Rows of a table beside their samples, found by order: mode,
        settings, ranks."""
        rows = Page(text).columns(number)
        groups = groups_of(*FIXTURES)
        self.assertEqual(len(rows), len(groups))
        for row in rows:
            words = [word.split()[-1].replace(",", "") for word in
                     re.split(r", (?=\D)", row["setting"])]
            found = [key for key in groups if key[0] == words[0]
                     and key[2] == int(row["ranks"])
                     and set(words[1:]) <= set(re.split("[= ]", key[1]))]
            self.assertEqual(len(found), 1, row)
            yield row, groups.pop(found[0]), found[0]

    def close_to(self, text, value, what):
        """As many digits as the table has."""
        number = float(text.replace(",", "").replace(" %", ""))
        self.assertAlmostEqual(number, value, delta=6e-4 * abs(value) + 0.051
                               * text.endswith("%"), msg=what)

    def test_results_are_those_of_the_samples(self):
        every = groups_of(*FIXTURES)

        def work(rows):
            return float(rows[0]["flops"]) + float(rows[0]["projection_flops"]
                                                   or 0)

        def setting(words):
            return [word for word in words.split()
                    if not word.startswith("ranks=")]

        for row, samples, key in self.tabled(self.page(), 0):
            numbers = re.findall(r"[\d.,]+", row["time, s"])
            times = [float(sample["total_sec"]) for sample in samples]
            for text, value in zip(numbers, (statistics.median(times),
                                             min(times), max(times))):
                self.close_to(text, value, row)
            mesh = samples[0]["mesh_heads"], samples[0]["mesh_sequence"]
            self.assertEqual(row["P_h × P_s"], " × ".join(mesh))
            self.close_to(row["GFLOP/s"].split()[0],
                          median(samples, "gflops_per_sec"), row)
            self.close_to(row["of bound"],
                          100 * median(samples, "fraction_of_bound"), row)
            if key[0] == "none":
                self.assertEqual(row["efficiency"], "")
                continue
            base = min((other for other in every if other[0] == key[0]
                        and setting(other[1]) == setting(key[1])),
                       key=lambda other: other[2])
            speedup = (work(samples) / statistics.median(times)
                       / work(every[base]) * median(every[base], "total_sec"))
            self.close_to(row["speed-up"], speedup, row)
            self.close_to(row["efficiency"],
                          100 * speedup * base[2] / key[2], row)

    def test_phases_and_memory_are_those_of_the_samples(self):
        text = self.page()
        for row, samples, _ in self.tabled(text, 1):
            for phase in ("project", "exchange", "attend", "output"):
                self.close_to(row[f"{phase}, ms"],
                              1e3 * median(samples, f"{phase}_sec"), row)
            self.close_to(row["kernels, ms"],
                          1e3 * median(samples, "compute_sec_mean"), row)
        for row, samples, _ in self.tabled(text, 2):
            self.close_to(row["sent by all, bytes"],
                          median(samples, "bytes_sent_total"), row)
            self.close_to(row["a token, bytes"],
                          median(samples, "memory_bytes_per_token"), row)

    def test_predictions_and_their_errors(self):
        self.run_script("report", self.predictions(), "--output",
                        self.path("page.html"))
        with open(self.path("page.html"), encoding="utf-8") as file:
            text = file.read()
        rows = Page(text).columns(0)
        alone = [row for row in rows if row["ranks"] == "1"]
        self.assertEqual({row["error"] for row in alone}, {"+50.0 %"})
        self.assertEqual({row["error"] for row in rows if row not in alone},
                         {"+10.0 %"})
        self.assertIn(f"{len(rows) - len(alone)} of {len(rows)} points within "
                      "15 %", text)
        self.assertIn("error: median 10.0 %, most 50.0 %", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
