#!/usr/bin/env bash
# Removes a laboratory: processes, namespaces, cgroups and state. Needs root.
#
#     scripts/lab/down.sh          all of it; nothing to remove is no error
#     scripts/lab/down.sh HOST     only kills what runs on that host, as if it had lost power
#
# ATTNSPAN_LAB=NAME names the laboratory (default "lab").
set -euo pipefail

# shellcheck source=scripts/lab/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

case ${1:-} in
    "") ;;
    --help) lab_usage && exit 0 ;;
    *)
        lab_require_up
        lab_require_host "$1"
        lab_kill "$1"
        exit 0
        ;;
esac

lab_require_machine
mapfile -t names < <(ip netns list | awk -v prefix="attnspan-$lab_name-" \
    'index($1, prefix) == 1 { print substr($1, length(prefix) + 1) }')
for name in "${names[@]}"; do lab_kill "$name"; done
for name in "${names[@]}"; do ip netns delete "$(lab_netns "$name")"; done
lab_cgroups_remove
rm -rf --one-file-system "$lab_state"
rmdir /run/attnspan-lab 2>/dev/null || true
