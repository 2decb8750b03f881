#!/usr/bin/env bash
# Runs an MPI program on the hosts of a laboratory: mpirun with the right settings. Needs root.
#
#     scripts/lab/run.sh [--limit SECONDS] [--on HOST,...] [MPIRUN OPTION...] PROGRAM ARGUMENT...
#     scripts/lab/run.sh -n 4 build/attnspan run configs/bench/strong.yaml
#
#   --limit SECONDS   the run is ended after that long; default 3600
#   --on HOST,...     these hosts only; default: all
#
# Without -n, one rank a host. More ranks than hosts are spread evenly, neighbours together. A rank
# computes with one thread unless OMP_NUM_THREADS or the config says otherwise; OMP_*, OPENBLAS_*
# and ATTNSPAN_* reach the ranks. ATTNSPAN_LAB=NAME names the laboratory (default "lab").
#
# A rank, a host or a link that is lost ends the run within seconds, with one line that says so.
# Exit status: the program's, 0, 2, 3 or 4; 3 also when something was lost or time was up.
set -euo pipefail

# shellcheck source=scripts/lab/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/mpi_faults.sh
source "$lab_root/scripts/mpi_faults.sh"

limit=3600
hosts=
while (($# > 0)); do
    case $1 in
        --help) lab_usage && exit 0 ;;
        --limit) limit=${2:-} ;;
        --on) hosts=${2:-} ;;
        *) break ;;
    esac
    shift 2 || lab_fail 2 "$1 needs a value"
done
(($# > 0)) || lab_fail 2 "no program; --help explains"
[[ $limit =~ ^[1-9][0-9]*$ ]] || lab_fail 2 "--limit $limit: seconds"
lab_require_up
mpirun --version 2>/dev/null | grep -q 'Open MPI) 4\.' ||
    lab_fail 3 "mpirun is not Open MPI 4's, whose settings are needed here"
for host in ${hosts//,/ }; do lab_require_host "$host"; done
hosts=${hosts:-$(lab_hosts | paste -s -d ,)}
for host in ${hosts//,/ }; do lab_pid "$host" >/dev/null || lab_fail 3 "$host is dead"; done

lab_mpi_environment

options=(--host "$hosts")
while read -r name; do options+=(-x "$name"); done < <(compgen -e | grep -E '^(OMP|OPENBLAS|ATTNSPAN)_')

# Told to stop, mpirun has to hear it, and not only this shell.
pid_file=$(mktemp "$lab_state/run.XXXXXX")
# shellcheck disable=SC2016 # the other shell expands it
lab_enter head bash -c 'echo $$ >"$0"; exec "$@"' "$pid_file" \
    timeout --foreground -k 10 "$limit" mpirun "${options[@]}" "$@" &
child=$!
stopped=no
trap 'stopped=yes; kill -TERM "$(<"$pid_file")" 2>/dev/null || true' TERM INT
trap 'rm -f "$pid_file"' EXIT
status=0
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do # a signal has ended the wait, not the run
    status=0
    wait "$child" || status=$?
done
if [[ $stopped == yes && $status != 0 ]]; then status=143; fi
mpi_explain mpirun "$status" "$limit"
