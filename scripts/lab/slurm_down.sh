#!/usr/bin/env bash
# Ends Slurm in a laboratory, with its jobs and its state; the hosts stay. Needs root.
#
#     scripts/lab/slurm_down.sh     nothing to end is no error
#
# ATTNSPAN_LAB=NAME names the laboratory (default "lab").
set -euo pipefail

# shellcheck source=scripts/lab/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ ${1:-} != --help ]] || { lab_usage && exit 0; }
lab_require_machine
slurm=$lab_state/slurm
[[ -e $slurm ]] || exit 0

# Only processes of this laboratory's namespaces: the machine may run a Slurm of its own.
for ((tries = 0; tries < 100; tries++)); do
    pids=()
    for host in head $(lab_hosts); do
        while read -r pid; do
            case $(cat "/proc/$pid/comm" 2>/dev/null) in
                munged | slurm*) pids+=("$pid") ;;
            esac
        done < <(ip netns pids "$(lab_netns "$host")")
    done
    ((${#pids[@]} > 0)) || break
    kill -9 "${pids[@]}" 2>/dev/null || true
    sleep 0.05
done
((${#pids[@]} == 0)) || lab_fail 3 "Slurm's processes do not end: ${pids[*]}"
rm -rf --one-file-system "$slurm"
