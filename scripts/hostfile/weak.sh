#!/usr/bin/env bash
# Weak scaling on hosts that a file names: rows for each of 1, 2, 4, ... ranks, up to all.
#
#     scripts/hostfile/weak.sh [CONFIG]
#
# CONFIG: configs/bench/weak.yaml, whose sequence.length is that of one rank. Reports and weak.csv
# go to out/weak; the table of speed-up and efficiency is printed at the end. A run ends after LIMIT
# seconds (an hour).
#
# All hosts must see this folder, and ssh must reach them without a password. Edit these three, or
# set them in the environment, which wins: a file with one host a line; NUMA domains of a host, one
# rank each; cores of a NUMA domain.
: "${HOSTFILE:=hosts.txt}"
: "${RANKS_PER_HOST:=2}"
: "${CORES_PER_RANK:=16}"
set -euo pipefail

if [[ ${1:-} == --help ]]; then
    sed -n '2,/^[^#]/{/^#SBATCH/d;s/^#$//p;s/^# //p}' "$0"
    exit
fi
# shellcheck source=scripts/hostfile/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/scaling.sh
source "$root/scripts/scaling.sh"

scaling_sweep weak "${1:-$root/configs/bench/weak.yaml}" out/weak "$most_ranks"
