#!/usr/bin/env bash
# One run on hosts that a file names: a rank for each NUMA domain, a thread for each core.
#
#     scripts/hostfile/run.sh [CONFIG [--set KEY=VALUE]...]
#
# CONFIG: configs/bench/strong.yaml. Exit status: attnspan's 0, 2, 3 or 4; 3 also when a rank or
# host was lost, or after LIMIT seconds (an hour).
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
(($# > 0)) || set -- "$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/configs/bench/strong.yaml"
# shellcheck source=scripts/hostfile/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

launch "$most_ranks" "$root/build/attnspan" run "$@"
