"""What scripts/simulate.sh simulates, against what can be known of it beforehand.

    python3 tests/simulate.py

Needs smpicc, smpirun (libsimgrid-dev) and a python3 with PyYAML.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
SIMULATE = os.path.join(ROOT, "scripts", "simulate.sh")
PLATFORM = os.path.join(ROOT, "scripts", "simulate", "platform.py")
CLUSTERS = os.path.join(ROOT, "configs", "clusters")

CORES, GFLOPS, COPY, LENGTH, HEADS, DIM = 4, 50, 4e9, 65536, 4, 64
CLUSTER = {"nodes": 16, "cores": CORES, "gflops": GFLOPS, "topology": "switch",
           "link": {"gbit_per_sec": 100, "latency_us": 1}}
CONFIG = {"attention": {"heads": HEADS, "head_dim": DIM},
          "sequence": {"length": LENGTH},
          "input": {"synthetic": {"seed": 1, "tensors": "qkv"}},
          "bench": {"repeats": 1, "warmup": 0, "samples": "samples.csv"}}
TOPOLOGIES = {
    "switch": "switch",
    "fat_tree": {"fat_tree": {"down": [4, 4], "up": [1, 2]}},
    "dragonfly": {"dragonfly": {"groups": 2, "chassis": 2, "routers": 2,
                                "nodes": 2}}}


TIMES = ("total_sec", "project_sec", "output_sec", "predicted_sec")


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, name, content):
        """JSON is YAML."""
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str)
                       else json.dumps(content))
        return path

    def describe(self, content):
        """What becomes of a description."""
        path = self.write("cluster.yaml", content)
        return subprocess.run(
            [sys.executable, PLATFORM, path, os.path.join(self.folder, "made")],
            capture_output=True, text=True, check=False)


class Description(Folder):
    def check_refused(self, key, content):
        done = self.describe(content)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(f"cluster.yaml: {key}", done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "made")))

    def test_wrong_ones_are_refused_with_file_and_key(self):
        link = CLUSTER["link"]
        dragonfly = TOPOLOGIES["dragonfly"]["dragonfly"]
        for key, change in (
                ("nodes:", {"nodes": 0}), ("nodes:", {"nodes": True}),
                ("nodes:", {"nodes": 1 << 21}), ("cores:", {"cores": 1.5}),
                ("gflops:", {"gflops": float("inf")}),
                ("gflops:", {"gflops": "fast"}), ("colour:", {"colour": 1}),
                ("ranks_per_node:", {"ranks_per_node": 3}),
                ("link:", {"link": 100}),
                ("link.latency_us:", {"link": {"gbit_per_sec": 1}}),
                ("link.gbit_per_sec:", {"link": {**link, "gbit_per_sec": 0}}),
                ("link.latency_us:", {"link": {**link, "latency_us": -1}}),
                ("topology:", {"topology": "torus"}),
                ("topology.switch:", {"topology": {"switch": 3}}),
                ("topology.fat_tree.down:",
                 {"topology": {"fat_tree": {"down": [4, 5], "up": [1, 1]}}}),
                ("topology.fat_tree.up:",
                 {"topology": {"fat_tree": {"down": [4, 4], "up": [1]}}}),
                ("topology.dragonfly:", {"nodes": 8, "topology": {"dragonfly": dragonfly}}),
                ("topology.dragonfly.groups:",
                 {"nodes": 16, "topology": {"dragonfly": {
                     "groups": 16, "chassis": 1, "routers": 1, "nodes": 1}}})):
            with self.subTest(key=key, change=change):
                self.check_refused(key, {**CLUSTER, **change})

    def test_missing_and_repeated_keys_and_other_files_are_refused(self):
        rest = {key: CLUSTER[key] for key in CLUSTER if key != "cores"}
        self.check_refused("cores: is missing", rest)
        self.check_refused("nodes: is given twice",
                           json.dumps(CLUSTER)[:-1] + ', "nodes": 8}')
        self.check_refused("the file:", "[1, 2]")
        self.check_refused("is no YAML", "nodes: [")

    def test_shipped_ones_have_as_many_hosts_as_nodes(self):
        for name in sorted(os.listdir(CLUSTERS)):
            nodes = 4096 if name.startswith("large_") else 1024
            made = os.path.join(self.folder, name)
            subprocess.run([sys.executable, PLATFORM,
                            os.path.join(CLUSTERS, name), made], check=True)
            with open(os.path.join(made, "hosts"), encoding="utf-8") as file:
                self.assertEqual(file.read().split(),
                                 [f"n{i}" for i in range(nodes)])


class Simulation(Folder):
    def run_it(self, cluster=None, options=(), **sections):
        config = {**CONFIG, **sections}
        done = subprocess.run(
            [SIMULATE, self.write("cluster.yaml", {**CLUSTER, **(cluster or {})}),
             self.write("config.yaml", config), self.folder, *options],
            capture_output=True, text=True, check=False)
        return done

    def samples(self, *arguments, **sections):
        done = self.run_it(*arguments, **sections)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(os.path.join(self.folder, "samples.csv"), encoding="utf-8",
                  newline="") as file:
            return [{name: float(value) if name in TIMES else value
                     for name, value in row.items()}
                    for row in csv.DictReader(file)]

    def sweep(self, **axes):
        return {**CONFIG["bench"], "sweep": {
            name.replace("__", "."): values for name, values in axes.items()}}

    def assert_close(self, value, wanted, relative):
        self.assertLessEqual(abs(value / wanted - 1), relative,
                             f"{value} for {wanted}")

    def test_a_ring_without_mask_takes_what_can_be_written_down(self):
        ranks, rate = 16, CORES * GFLOPS * 1e9
        shard = 2 * HEADS * LENGTH // ranks * DIM * 4  # bytes of K and V
        for gbit, is_hidden in ((100, True), (0.1, False)):
            bandwidth = gbit * 1e9 / 8
            row, = self.samples({"link": {"gbit_per_sec": gbit,
                                          "latency_us": 1}},
                                parallel={"heads": 1, "circulate": "ring"})
            compute = 4 * LENGTH ** 2 * DIM * HEADS / ranks / rate
            hop = 2e-6 + shard / bandwidth
            copies = 2 * shard / (CORES * COPY)  # q and out, packed k and v
            rows = HEADS * LENGTH // ranks
            keep = 2 * rows * (DIM + 2) * 4 / (CORES * COPY)  # of a step
            self.assertEqual(int(row["bytes_sent_total"]),
                             ranks * (ranks - 1) * shard)
            for which in ("min", "mean", "max"):
                self.assert_close(float(row[f"compute_sec_{which}"]),
                                  compute + (ranks - 1) * keep, 1e-7)
            self.assertEqual(hop < compute / ranks, is_hidden)
            total = copies + compute / ranks + (ranks - 1) * (
                compute / ranks + keep if is_hidden else hop)
            self.assert_close(row["total_sec"], total, 1e-3)
            self.assert_close(row["predicted_sec"], total, 1e-3)
            os.remove(os.path.join(self.folder, "samples.csv"))

    def test_bytes_and_times_are_as_predicted_on_all_topologies(self):
        sweep = self.sweep(attention__mask=["none", "causal"],
                           parallel__circulate=["ring", "gather", "reduce"],
                           parallel__heads=[1, 2])
        for name, topology in TOPOLOGIES.items():
            rows = self.samples({"topology": topology},
                                bench={**sweep, "samples": "samples.csv"})
            self.assertEqual(len(rows), 12)
            for row in rows:
                with self.subTest(topology=name, set=row["set"]):
                    self.assertEqual(row["bytes_sent_total"],
                                     row["bytes_predicted"])
                    self.assertGreater(int(row["bytes_sent_total"]), 0)
                    self.assert_close(row["predicted_sec"], row["total_sec"],
                                      0.1)
            os.remove(os.path.join(self.folder, "samples.csv"))

    def test_predictions_hold_on_more_ranks(self):
        ranks = 64
        fat_tree = {"fat_tree": {"down": [16, 4], "up": [1, 2]}}
        for topology, circulations in (("switch", ["ring", "reduce"]),
                                       (fat_tree, ["ring", "reduce"])):
            rows = self.samples(
                {"nodes": ranks, "topology": topology},
                attention={**CONFIG["attention"], "mask": "causal"},
                sequence={"length": 4096 * ranks}, parallel={"heads": 1},
                bench=self.sweep(parallel__circulate=circulations))
            self.assertEqual(len(rows), len(circulations))
            for row in rows:
                with self.subTest(topology=topology, set=row["set"]):
                    self.assertEqual(row["ranks"], str(ranks))
                    self.assertEqual(row["bytes_sent_total"],
                                     row["bytes_predicted"])
                    self.assert_close(row["predicted_sec"], row["total_sec"],
                                      0.1)
            os.remove(os.path.join(self.folder, "samples.csv"))

    def test_nothing_is_measured_of_a_machine_that_is_not_there(self):
        row, = self.samples()
        for column in ("fraction_of_bound", "bound", "peak_gflops",
                       "read_gbytes_per_sec", "sgemm_gflops"):
            self.assertEqual(row[column], "")
        self.assertEqual(row["threads"], str(CORES))

    def test_projections_take_their_flops(self):
        dims, ranks = 4 * 64, 16
        row, = self.samples({"gemm_gflops": 100}, attention={"heads": 4},
                            input={"synthetic": {"seed": 1, "d_model": dims}},
                            parallel={"heads": 1, "circulate": "ring"})
        one = 2 * LENGTH / ranks * dims ** 2 / (CORES * 100e9)
        self.assert_close(row["project_sec"], 3 * one, 0.01)
        self.assert_close(row["output_sec"], one, 0.01)

    def test_options_come_as_they_are_given(self):
        rows = self.samples(options=(
            "--set", "attention.mask={causal: true, window: [100, 0]}",
            "--set", "bench.sweep={ranks: [4, 16]}"))
        self.assertEqual([row["ranks"] for row in sorted(
            rows, key=lambda row: int(row["ranks"]))], ["4", "16"])
        self.assertEqual({row["mask"] for row in rows},
                         {"causal, window [100, 0]"})

    def test_there_is_no_result_to_verify(self):
        done = self.run_it(verify={"rows": 8})
        self.assertIn("cannot run: ", done.stdout)
        self.assertIn("verify.rows: has nothing to verify", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=1)
