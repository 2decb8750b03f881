#!/usr/bin/env bash
# Shows or changes the links of a laboratory while it runs. Needs root.
#
#     scripts/lab/shape.sh                    all links: state, rate, bytes to and from the host
#     scripts/lab/shape.sh HOST rate RATE     both ways: 100kbit to 100gbit, or "none"
#     scripts/lab/shape.sh HOST down          cuts the cable at the switch
#     scripts/lab/shape.sh HOST up            mends it
#
# HOST is h0, h1, ..., or "all". ATTNSPAN_LAB=NAME names the laboratory (default "lab").
set -euo pipefail

# shellcheck source=scripts/lab/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# A counter of the switch's end of a link; its tx is what the host receives.
bytes() {
    ip -n "$(lab_netns switch)" -s -j link show "$1" | sed -n "s/.*\"$2\":{\"bytes\":\([0-9]*\).*/\1/p"
}

show() {
    local host state rate
    printf '%-6s %-6s %-10s %14s %14s\n' host link rate sent received
    for host in $(lab_hosts); do
        state=up
        ip -n "$(lab_netns switch)" link show "$host" | grep -q LOWER_UP || state=down
        rate=$(tc -n "$(lab_netns switch)" qdisc show dev "$host" | sed -n 's/.* rate \([^ ]*\).*/\1/p')
        printf '%-6s %-6s %-10s %14s %14s\n' "$host" "$state" "${rate:--}" \
            "$(bytes "$host" rx)" "$(bytes "$host" tx)"
    done
}

change() {
    case $2 in
        down) ip -n "$(lab_netns switch)" link set "$1" down ;;
        up)
            ip -n "$(lab_netns switch)" link set "$1" up
            # What it learnt while it was cut off: that nobody is there.
            ip -n "$(lab_netns "$1")" neighbour flush dev eth0
            ;;
        rate)
            if [[ $3 == none ]]; then
                tc -n "$(lab_netns switch)" qdisc delete dev "$1" root 2>/dev/null || true
                tc -n "$(lab_netns "$1")" qdisc delete dev eth0 root 2>/dev/null || true
            else
                lab_require_tbf
                lab_rate "$1" "$3"
            fi
            ;;
    esac
}

[[ ${1:-} != --help ]] || { lab_usage && exit 0; }
case $#:${2:-} in
    0: | 2:down | 2:up | 3:rate) ;;
    *) lab_fail 2 "what is asked for? --help explains" ;;
esac
lab_require_up
if (($# == 0)); then
    show
elif [[ $1 == all ]]; then
    for host in $(lab_hosts); do change "$host" "$2" "${3:-}"; done
else
    lab_require_host "$1"
    change "$1" "$2" "${3:-}"
fi
