#!/usr/bin/env bash
# Looks for MPI handles that are never freed, collectives that do not match, and deadlocks.
#
#     scripts/check_handles.sh [COMMAND]     COMMAND: build/attnspan
#
#   1. COMMAND, on files, under Open MPI's own count of files left open;
#   2. the command built for SimGrid's simulated MPI (build-smpi/), which counts communicators,
#      groups and requests, and compares the collectives of all ranks: good runs and bad ones.
#
# SimGrid ends with status 0 whatever it finds, so its messages are searched.
set -euo pipefail

program=$(realpath "${1:-$(dirname "${BASH_SOURCE[0]}")/../build/attnspan}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/mpi_env.sh
source scripts/mpi_env.sh

readonly ranks=3

# Where OpenBLAS chooses old kernels, the command starts itself again with this variable; a
# simulated rank is no process that could. These kernels run on any x86.
[[ $(uname -m) != x86_64 ]] || export OPENBLAS_CORETYPE=Prescott

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
runs=0

# judge NAME WANTED_STATUS STATUS: the run's output is in $work/log.
judge() {
    runs=$((runs + 1))
    if [[ "$3" != "$2" ]]; then
        echo "check_handles: $1: exit status $3, not $2"
    elif grep -E -q 'unfreed MPI handles|still allocated at MPI_FINALIZE|Deadlock|mismatch' "$work/log"; then
        echo "check_handles: $1:"
    else
        return 0
    fi
    sed 's/^/    /' "$work/log"
    failures=$((failures + 1))
}

on_files() {
    local status=0
    OMPI_MCA_mpi_show_handle_leaks=1 timeout --foreground -k 10 60 mpirun -n "$ranks" "$program" \
        run configs/reference.yaml --output-dir "$work" "${@:3}" >"$work/log" 2>&1 </dev/null || status=$?
    judge "files: $1" "$2" "$status"
}

# The thread factory, because OpenMP's thread-local data must not be shared between ranks.
simulated() {
    local status=0
    timeout --foreground -k 10 60 smpirun -np "$ranks" -platform "$work/platform.xml" \
        -hostfile "$work/hosts" -analyze --cfg=smpi/pedantic:"${pedantic:-yes}" --cfg=contexts/factory:thread \
        --cfg=smpi/host-speed:1Gf build-smpi/attnspan "${@:3}" >"$work/log" 2>&1 </dev/null || status=$?
    judge "simulated: $1" "$2" "$status"
}

on_files "a layer" 0
on_files "a tolerance that is not met" 4 --set verify.tolerance=1e-12
on_files "a missing input" 2 --set input.x=none.npy

if ! command -v smpicc >/dev/null; then
    echo "check_handles: smpicc is missing (libsimgrid-dev); communicators are not checked" >&2
    exit 1
fi
cmake -S . -B build-smpi -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=smpicc \
    -DATTN_TESTS=OFF >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
cmake --build build-smpi >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }

cat >"$work/platform.xml" <<'END'
<?xml version='1.0'?>
<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">
<platform version="4.1">
  <cluster id="c" prefix="n" suffix="" radical="0-2" speed="1Gf" bw="12.5GBps" lat="1us"/>
</platform>
END
printf 'n%d\n' 0 1 2 >"$work/hosts"
cat >"$work/qkv.yaml" <<'END'
attention: {heads: 4, kv_heads: 2, head_dim: 16, mask: causal}
sequence: {length: 201, kv_length: 333, batch: 2}
parallel: {threads: 1}
input: {synthetic: {seed: 1, tensors: qkv}}
verify: {rows: 8}
END
{
    cat "$work/qkv.yaml"
    echo "bench: {repeats: 2, sweep: {ranks: [1, 2, 3, 4], parallel.circulate: [ring, gather]}}"
} >"$work/sweep.yaml"
cat >"$work/layer.yaml" <<'END'
attention: {heads: 5}
sequence: {length: 201}
parallel: {threads: 1}
input: {synthetic: {seed: 1, d_model: 40}}
verify: {rows: 8}
END

for form in qkv layer; do
    for mesh in "1 3 ring" "1 3 gather" "1 3 reduce" "3 1 ring"; do
        read -r heads sequence circulate <<<"$mesh"
        simulated "$form, $heads x $sequence, $circulate" 0 run "$work/$form.yaml" \
            --set "parallel.heads=$heads" --set "parallel.sequence=$sequence" \
            --set "parallel.circulate=$circulate"
    done
done
ATTNSPAN_MAX_TRANSFER_BYTES=64 simulated "cut messages" 0 run "$work/qkv.yaml" \
    --set parallel.sequence=3
simulated "a mesh that does not fit" 2 run "$work/qkv.yaml" --set parallel.heads=2
simulated "a tolerance that is not met" 4 run "$work/qkv.yaml" --set verify.tolerance=1e-12
# SimGrid takes the communicators of all nodes for one when it compares collectives, and a sweep has
# ranks that do not take part.
pedantic=no simulated "a sweep over ranks" 0 bench "$work/sweep.yaml"
for boundary in bench point probe samples; do
    pedantic=no ATTNSPAN_INJECT=$boundary:1 simulated "failure of a sweep on rank 1 at $boundary" 3 \
        bench "$work/sweep.yaml"
done
for boundary in cmdline config mesh plan memory attend allocate arrays compute verify report; do
    ATTNSPAN_INJECT=$boundary:1 simulated "failure on rank 1 at $boundary" 3 run "$work/qkv.yaml"
done

if ((failures > 0)); then
    echo "check_handles: $failures of $runs runs are wrong"
    exit 1
fi
echo "check_handles: $runs runs, nothing left over"
