#!/usr/bin/env bash
# Strong scaling on hosts that a file names: one problem on 1, 2, 4, ... ranks, up to all.
#
#     scripts/hostfile/strong.sh [CONFIG]
#
# CONFIG: configs/bench/strong.yaml. Reports and strong.csv go to out/strong; the table of speed-up
# and efficiency is printed at the end. A run ends after LIMIT seconds (an hour).
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

scaling_sweep strong "${1:-$root/configs/bench/strong.yaml}" out/strong "$most_ranks"
