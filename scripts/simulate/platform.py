#!/usr/bin/env python3
"""Makes of a cluster's description what a simulated run needs.

    python3 scripts/simulate/platform.py CLUSTER.yaml FOLDER

Writes into FOLDER

    platform.xml   hosts and links for SimGrid
    hosts          a line for each rank, node by node
    machine.yaml   the same rates for parallel.machine, so that plans and
                   predictions are made of what the simulation charges
    environment    NAME=VALUE lines for the simulated command, and RANKS

configs/clusters/ has descriptions, with all keys explained in switch.yaml.
Exit status: 2 the description is wrong, with its file and key; 3 no PyYAML.
"""

import math
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                ".."))
from lib.interpreter import need_modules  # noqa: E402

need_modules("platform", {"yaml": "PyYAML"},
             "Debian has it: apt-get install python3-yaml")
import yaml  # noqa: E402

HOST_FLOPS = 1e9  # any: work is charged as time (runtime/simulate.c)
MOST = 1 << 20    # nodes, and ranks: more are a slip of the pen


class DescriptionError(Exception):
    """What is wrong, behind the key."""


class UniqueLoader(yaml.SafeLoader):
    """SafeLoader takes the last of two equal keys."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise DescriptionError(f"{key}: is given twice; keep one")
        return super().construct_mapping(node, deep)


# --- values -------------------------------------------------------------------

def integer(key, value, least=1):
    if isinstance(value, bool) or not isinstance(value, int) or not (
            least <= value <= MOST):
        raise DescriptionError(
            f"{key}: is {value!r}; must be an integer from {least} to {MOST}")
    return value


def number(key, value, or_zero=False):
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < 0 or (
            value == 0 and not or_zero):
        raise DescriptionError(f"{key}: is {value!r}; must be a number "
                               f"{'of 0 or more' if or_zero else 'above 0'}")
    return float(value)


def mapping(key, value, required, optional=()):
    """The mapping, of which no key is unknown and none that it needs is
    missing."""
    at = f"{key}." if key else ""
    if not isinstance(value, dict):
        raise DescriptionError(f"{key or 'the file'}: is {value!r}; must be a "
                               f"mapping of {', '.join(required)}")
    for name in value:
        if name not in required and name not in optional:
            raise DescriptionError(
                f"{at}{name}: is not a key; they are "
                f"{', '.join((*required, *optional))}")
    for name in required:
        if name not in value:
            raise DescriptionError(f"{at}{name}: is missing")
    return value


def integers(key, value, count):
    if not isinstance(value, list) or len(value) != count:
        raise DescriptionError(f"{key}: is {value!r}; must be a list of "
                               f"{count} integers")
    return [integer(f"{key}[{i}]", one) for i, one in enumerate(value)]


# --- topologies ---------------------------------------------------------------
# Each returns attributes of SimGrid's <cluster>, and the links of the longest
# way between two nodes.

def switch(_key, value, _nodes):
    if value is not None:
        raise DescriptionError("topology.switch: takes no value")
    return "", 2


def fat_tree(key, value, nodes):
    mapping(key, value, ("down", "up"), ("parallel",))
    levels = len(value["down"]) if isinstance(value["down"], list) else 0
    if levels == 0:
        raise DescriptionError(f"{key}.down: is {value['down']!r}; must be a "
                               "list of integers, one for each level")
    down = integers(f"{key}.down", value["down"], levels)
    up = integers(f"{key}.up", value["up"], levels)
    parallel = integers(f"{key}.parallel",
                        value.get("parallel", [1] * levels), levels)
    if math.prod(down) != nodes:
        raise DescriptionError(f"{key}.down: makes {math.prod(down)} nodes, "
                               f"but nodes is {nodes}")
    parts = [",".join(map(str, part)) for part in (down, up, parallel)]
    return (f' topology="FAT_TREE" topo_parameters="{levels};'
            f'{";".join(parts)}"'), 2 * levels


def dragonfly(key, value, nodes):
    names = ("groups", "chassis", "routers", "nodes")
    mapping(key, value, names, ("parallel",))
    sizes = [integer(f"{key}.{name}", value[name]) for name in names]
    parallel = integers(f"{key}.parallel", value.get("parallel", [1] * 3), 3)
    if math.prod(sizes) != nodes:
        raise DescriptionError(f"{key}: makes {math.prod(sizes)} nodes "
                               f"({' x '.join(names)}), but nodes is {nodes}")
    if sizes[0] > sizes[1] * sizes[2]:
        raise DescriptionError(
            f"{key}.groups: is {sizes[0]}; a group of {sizes[1] * sizes[2]} "
            "routers has links to as many other groups at most")
    # Up, chassis and router to the one with the link, the link, and the same
    # at the other end.
    return (' topology="DRAGONFLY" topo_parameters="'
            + ";".join(f"{size},{links}" for size, links in
                       zip(sizes, parallel)) + f';{sizes[3]}"'), 7


TOPOLOGIES = {"switch": switch, "fat_tree": fat_tree, "dragonfly": dragonfly}


def topology_of(value, nodes):
    if isinstance(value, str):
        value = {value: None}
    if not isinstance(value, dict) or len(value) != 1 or (
            next(iter(value)) not in TOPOLOGIES):
        raise DescriptionError(f"topology: is {value!r}; must be one of "
                               f"{', '.join(TOPOLOGIES)}")
    name, shape = next(iter(value.items()))
    return (name, *TOPOLOGIES[name](f"topology.{name}", shape, nodes))


# --- the description ----------------------------------------------------------

class Cluster:
    """A description, read and found right."""

    def __init__(self, given):
        mapping("", given, ("nodes", "cores", "gflops", "link", "topology"),
                ("ranks_per_node", "gemm_gflops", "copy_gbytes_per_sec",
                 "memory_gib", "inside"))
        self.nodes = integer("nodes", given["nodes"])
        self.cores = integer("cores", given["cores"])
        self.ranks_per_node = integer("ranks_per_node",
                                      given.get("ranks_per_node", 1))
        if self.cores % self.ranks_per_node != 0:
            raise DescriptionError(
                f"ranks_per_node: is {self.ranks_per_node}; must divide the "
                f"{self.cores} cores of a node")
        self.ranks = self.nodes * self.ranks_per_node
        integer("ranks (nodes x ranks_per_node)", self.ranks)
        self.gflops = number("gflops", given["gflops"])
        self.gemm_gflops = number("gemm_gflops",
                                  given.get("gemm_gflops", self.gflops))
        self.copy_gbytes = number("copy_gbytes_per_sec",
                                  given.get("copy_gbytes_per_sec", 4))
        self.memory_gib = number("memory_gib", given.get("memory_gib", 256))
        link = mapping("link", given["link"], ("gbit_per_sec", "latency_us"))
        self.link_gbytes = number("link.gbit_per_sec",
                                  link["gbit_per_sec"]) / 8
        self.link_us = number("link.latency_us", link["latency_us"], True)
        inside = mapping("inside", given.get("inside", {}), (),
                         ("gbytes_per_sec", "latency_us"))
        self.inside_gbytes = number("inside.gbytes_per_sec",
                                    inside.get("gbytes_per_sec", 10))
        self.inside_us = number("inside.latency_us",
                                inside.get("latency_us", 1), True)
        self.topology, self.shape, self.hops = topology_of(given["topology"],
                                                           self.nodes)

    def platform(self):
        """Hosts with a core for each rank."""
        return f"""<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <cluster id="cluster" prefix="n" suffix="" radical="0-{self.nodes - 1}"
           speed="{HOST_FLOPS:.0f}f" core="{self.ranks_per_node}"
           bw="{self.link_gbytes!r}GBps" lat="{self.link_us!r}us"
           loopback_bw="{self.inside_gbytes!r}GBps"
           loopback_lat="{self.inside_us!r}us"{self.shape}/>
</platform>
"""

    def hosts(self):
        return "".join(f"n{node}\n" * self.ranks_per_node
                       for node in range(self.nodes))

    def machine(self, source):
        rate = f"{{gflops: {self.gflops!r}, score_ns: 0}}"
        return f"""# Of {source}, for parallel.machine. The network's latency is that of the longest way,
# of {self.hops} links.
version: 1
attention:
  fp32: {rate}
  bf16: {rate}
gemm_gflops: {self.gemm_gflops!r}
copy_gbytes_per_sec: {self.copy_gbytes!r}
read_gbytes_per_sec: 1.0e+6  # nothing is charged for it
memory_gib: {self.memory_gib!r}
cores: {self.cores}
node: {{latency_us: {self.inside_us!r}, gbytes_per_sec: {self.inside_gbytes!r}}}
network: {{latency_us: {self.hops * self.link_us!r}, gbytes_per_sec: {self.link_gbytes!r}}}
"""

    def environment(self):
        text = (f"simulated: {self.nodes} nodes of {self.cores} cores of "
                f"{self.gflops:g} GFLOP/s, {8 * self.link_gbytes:g} Gbit/s, "
                f"{self.topology}")
        return (f"RANKS={self.ranks}\n"
                f"ATTNSPAN_SIMULATE_THREADS={self.cores // self.ranks_per_node}\n"
                f"ATTNSPAN_SIMULATE_MEMORY={int(self.memory_gib * 2 ** 30)}\n"
                f"ATTNSPAN_SIMULATE_CLUSTER={text}\n")


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return Cluster(yaml.load(file, UniqueLoader))
    except yaml.YAMLError as error:
        raise DescriptionError("is no YAML: "
                               + " ".join(str(error).split())) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DescriptionError(f"cannot be read: {error}") from error


def main():
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        wants_help = sys.argv[1:] in (["--help"], ["-h"])
        print(__doc__.strip(), file=sys.stdout if wants_help else sys.stderr)
        return 0 if wants_help else 2
    path, folder = sys.argv[1:]
    try:
        cluster = read(path)
    except DescriptionError as error:
        print(f"simulate: error: {path}: {error}", file=sys.stderr)
        return 2
    texts = {"platform.xml": cluster.platform(), "hosts": cluster.hosts(),
             "machine.yaml": cluster.machine(os.path.basename(path)),
             "environment": cluster.environment()}
    os.makedirs(folder, exist_ok=True)
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
