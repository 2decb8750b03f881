#!/usr/bin/env bash
# Runs a bench on a cluster that is not there: on SimGrid's simulated MPI (runtime/simulate.h).
#
#     scripts/simulate.sh CLUSTER.yaml CONFIG.yaml [OUT_DIR] [OPTION...]
#
#   CLUSTER.yaml  one of configs/clusters/, or of your own
#   CONFIG.yaml   as for attnspan bench; synthetic input, without verify. A ranks axis of the sweep
#                 may go up to all ranks of the cluster
#   OUT_DIR       what the bench writes and what is made of CLUSTER.yaml. Default: .
#   OPTION        further options of attnspan bench, such as --set a.b=value
#
# Builds build-simulate/ with smpicc (Debian: libsimgrid-dev). All ranks are one process, so that
# the largest cluster is limited by this machine's memory and patience: a ring of RANKS takes RANKS²
# messages a sample, of some 30 microseconds each.
# Exit status: the bench's; 2 CLUSTER.yaml is wrong; 3 something is missing here.
set -euo pipefail

fail() {
    echo "simulate: error: $2" >&2
    exit "$1"
}

(($# >= 2)) || fail 2 "usage: scripts/simulate.sh CLUSTER.yaml CONFIG.yaml [OUT_DIR] [OPTION...]"
cluster=$1
config=$2
shift 2
out=.
if (($# > 0)) && [[ $1 != -* ]]; then
    out=$1
    shift
fi
[[ $(realpath -m "$out") != *" "* ]] || fail 2 "$out: SimGrid reads no files in a path with a space"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for tool in smpicc smpirun; do
    command -v "$tool" >/dev/null || fail 3 "$tool is missing; Debian has it in libsimgrid-dev"
done

build=${ATTNSPAN_SIMULATE_BUILD:-$here/build-simulate}
start=$(mktemp) # and the build's log, before
trap 'rm -f "$start"' EXIT
if ! { cmake -S "$here" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=smpicc \
    -DATTN_TESTS=OFF -DATTN_SIMULATE=ON && cmake --build "$build"; } >"$start" 2>&1; then
    cat "$start" >&2
    fail 3 "the simulated build failed"
fi

mkdir -p "$out/simulated"
python3 "$here/scripts/simulate/platform.py" "$cluster" "$out/simulated"
ranks=0
while IFS='=' read -r name value; do
    if [[ $name == RANKS ]]; then ranks=$value; else export "$name=$value"; fi
done <"$out/simulated/environment"

# A transfer takes latency + bytes / rate, and looking whether it is through takes no time. Arrays
# are one file, mapped over and over, in pieces of its size. Ranks have one copy of the program:
# what it varies is the same on all (simulate.c). In SimGrid's own collectives one rank waits for
# all others, in a time that is the square of their number or more. What a rank frees, the next one
# takes: it is not given back in between (mallopt(3)).
export MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=4294967296

# smpirun takes arguments apart at spaces and expands * and [...] in them; so they come by its
# wrapper, which is removed as it starts.
# shellcheck disable=SC2016 # $0 and $@ are the wrapper's
printf 'rm -f "$0"\nexec "$@"%s\n' "$(printf ' %q' bench "$config" --output-dir "$out" \
    --set "parallel.machine=$(realpath "$out")/simulated/machine.yaml" "$@")" >"$start"
exec smpirun -no-privatize -np "$ranks" -wrapper "bash $start" \
    -platform "$out/simulated/platform.xml" -hostfile "$out/simulated/hosts" \
    --log=root.thres:warning --cfg=smpi/host-speed:1Gf --cfg=smpi/simulate-computation:no \
    --cfg=smpi/bw-factor:0:1 --cfg=smpi/lat-factor:0:1 --cfg=network/crosstraffic:0 \
    --cfg=smpi/test:0 --cfg=smpi/iprobe:0 --cfg=smpi/wtime:0 --cfg=contexts/stack-size:512 \
    --cfg=smpi/shared-malloc-blocksize:67108864 --cfg=smpi/allreduce:redbcast \
    --cfg=smpi/reduce:binomial --cfg=smpi/bcast:binomial_tree --cfg=smpi/barrier:ompi_tree \
    "$build/attnspan"
