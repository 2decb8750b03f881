# shellcheck shell=bash
# To be sourced by the scripts beside it: how mpirun starts ranks on HOSTFILE's hosts.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/mpi_faults.sh
source "$root/scripts/mpi_faults.sh"

fail() {
    echo "${0##*/}: error: $1" >&2
    exit 2
}

[[ -x $root/build/attnspan ]] || fail "build/attnspan is missing; cmake --preset release builds it"
[[ -r $HOSTFILE ]] || fail "HOSTFILE=$HOSTFILE cannot be read; write one host a line"
for number in "$RANKS_PER_HOST" "$CORES_PER_RANK" "${LIMIT:=3600}"; do
    [[ $number =~ ^[1-9][0-9]*$ ]] ||
        fail "RANKS_PER_HOST, CORES_PER_RANK and LIMIT are whole numbers from 1, not \"$number\""
done
hosts=$(grep -c '^[[:space:]]*[^#[:space:]]' "$HOSTFILE") || fail "HOSTFILE=$HOSTFILE names no host"
# shellcheck disable=SC2034 # the scripts that source this use it
most_ranks=$((hosts * RANKS_PER_HOST))

# launch RANKS COMMAND...: on as few hosts as hold them, neighbours together, each rank bound to
# cores side by side.
launch() {
    local ranks=$1
    shift
    mpi_bounded "$LIMIT" mpirun --hostfile "$HOSTFILE" -n "$ranks" \
        --map-by "ppr:$RANKS_PER_HOST:node:pe=$CORES_PER_RANK" --bind-to core \
        -x OMP_NUM_THREADS="$CORES_PER_RANK" -x OMP_PLACES=cores -x OMP_PROC_BIND=close "$@"
}
