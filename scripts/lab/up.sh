#!/usr/bin/env bash
# Builds a laboratory: several hosts on this machine, joined by a switch. Needs root.
#
#     scripts/lab/up.sh [--hosts N] [--rate [HOST:]RATE] [--delay [HOST:]TIME]
#                       [--slow [HOST:]PERCENT%] [--small [HOST:]SIZE] [--share FOLDER]
#
#   --hosts N        that many hosts, h0, h1, ...: 1 to 64; default 4
#   --rate RATE      of a link, both ways: 100kbit to 100gbit; default: not limited
#   --delay TIME     of a link, each way, so that from host to host it takes two of them: up to
#                    1000ms, or in us; default: none
#   --slow PERCENT%  a host's processes together compute for that part of one core
#   --small SIZE     a host's processes together have that much memory (K, M or G)
#   --share FOLDER   hosts have /tmp to themselves; this folder below it they share, as they share
#                    the repository and everything that is not below /tmp
#
# Without HOST: all hosts and links. Every option but --hosts can be repeated. Then: run.sh, on.sh, shape.sh; down.sh removes it
# all. ATTNSPAN_LAB=NAME names the laboratory (default "lab"). Exit status: 0 up; 2 wrong request;
# 3 this machine cannot, with the reason.
set -euo pipefail

# shellcheck source=scripts/lab/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

count=4
declare -A asked=() # OPTION:HOST, or OPTION:all
shares=("$lab_root")

while (($# > 0)); do
    case $1 in
        --help) lab_usage && exit 0 ;;
        --hosts | --rate | --delay | --slow | --small | --share)
            (($# > 1)) || lab_fail 2 "$1 needs a value"
            ;;&
        --hosts) count=$2 ;;
        --rate | --delay | --slow | --small)
            if [[ $2 == *:* ]]; then asked[${1#--}:${2%%:*}]=${2#*:}; else asked[${1#--}:all]=$2; fi
            ;;
        --share) shares+=("$(realpath -e "$2")") ;;
        *) lab_fail 2 "unknown option \"$1\"; --help lists them" ;;
    esac
    shift 2
done

# --- the request ---------------------------------------------------------------

# between TEXT LEAST MOST: whether it is a whole number from least to most.
between() {
    [[ $1 =~ ^[0-9]{1,9}$ ]] && ((10#$1 >= $2 && 10#$1 <= $3))
}

# of OPTION HOST: what was asked for that host, or for all; nothing when neither.
of() {
    echo "${asked[$1:$2]:-${asked[$1:all]:-}}"
}

between "$count" 1 64 || lab_fail 2 "--hosts $count: 1 to 64"
count=$((10#$count))
hosts=()
for ((i = 0; i < count; i++)); do hosts+=("h$i"); done

for key in "${!asked[@]}"; do
    option=${key%%:*} host=${key#*:} value=${asked[$key]}
    [[ $host == all || " ${hosts[*]} " == *" $host "* ]] ||
        lab_fail 2 "--$option $host:$value: no such host; they are h0 to h$((count - 1))"
    case $option in
        slow)
            value=${value%\%}
            between "$value" 5 100 || lab_fail 2 "--slow $value: 5% to 100%"
            ;;
        rate) lab_kbit "$value" >/dev/null ;;
        small)
            value=$(numfmt --from=iec "$value" 2>/dev/null) ||
                lab_fail 2 "--small ${asked[$key]}: a size like 200M"
            ;;
        delay)
            [[ $value =~ ^([0-9]+)(us|ms)$ ]] || lab_fail 2 "--delay $value: a whole number and us or ms"
            number=${BASH_REMATCH[1]} unit=${BASH_REMATCH[2]} most=1000000
            [[ $unit == us ]] || most=1000
            between "$number" 0 $most || lab_fail 2 "--delay $value: at most 1000ms"
            value=$((10#$number * 1000000 / most))
            ;;
    esac
    asked[$key]=$value
done

lab_require_machine
[[ " ${!asked[*]}" != *" rate:"* ]] || lab_require_tbf
if [[ " ${!asked[*]}" == *" delay:"* ]]; then
    command -v cc >/dev/null || lab_fail 3 "--delay needs a C compiler, cc, for wire.c"
    [[ -e /dev/net/tun ]] || lab_fail 3 "--delay: this kernel has no /dev/net/tun (module tun)"
fi
[[ ! -e $lab_state ]] ||
    lab_fail 2 "a laboratory \"$lab_name\" is there already; scripts/lab/down.sh removes it"

# --- build it ------------------------------------------------------------------

built="" # a folder with the wire's program
undo() {
    local status=$?
    trap - EXIT
    rm -rf ${built:+"$built"}
    ((status == 0)) || "$lab_here/down.sh" || true
    exit "$status"
}
trap undo EXIT
mkdir -p "$lab_state/tmp"

# Not in $lab_state, where nothing may be executable.
if [[ " ${!asked[*]}" == *" delay:"* ]]; then
    built=$(mktemp -d)
    wire=$built/wire
    cc -std=c11 -O2 -o "$wire" "$lab_here/wire.c"
fi

# In a group of its own the kernel does not schedule by terminal session (autogroup), which
# would let a waiting rank keep its core from another host's.
rest=$(lab_cgroup cpu rest) || rest=

ip netns add "$(lab_netns switch)"
ip -n "$(lab_netns switch)" link add name bridge type bridge
ip -n "$(lab_netns switch)" link set bridge up

printf '%s\n' "${hosts[@]}" >"$lab_state/hosts"
{
    echo "127.0.0.1 localhost"
    echo "10.77.0.1 head"
    for ((i = 0; i < count; i++)); do echo "10.77.0.$((10 + i)) h$i"; done
} >"$lab_state/etc_hosts"

# link HOST ADDRESS. A link with a delay is made by a process, which is in the switch's namespace.
link() {
    local netns delay=
    netns=$(lab_netns "$1")
    [[ $1 == head ]] || delay=$(of delay "$1")
    ip netns add "$netns"
    if ((${delay:-0} > 0)); then
        "$wire" "$netns" eth0 "$(lab_netns switch)" "$1" "$delay"
    else
        ip link add name "$1" netns "$(lab_netns switch)" type veth peer name eth0 netns "$netns"
    fi
    ip -n "$(lab_netns switch)" link set "$1" master bridge up
    ip -n "$netns" link set lo up
    ip -n "$netns" address add "$2/24" dev eth0
    ip -n "$netns" link set eth0 up
}

# start HOST CGROUP... The head sees the processes of all, to enter the other hosts.
start() {
    local host=$1 groups group spaces=(--uts --mount --ipc)
    shift
    [[ $host == head ]] || spaces+=(--pid)
    groups=("$@")
    for group in "${groups[@]}"; do echo "$group/cgroup.procs"; done >"$lab_state/$host.cgroups"
    (
        for group in "${groups[@]}"; do echo 0 >"$group/cgroup.procs"; done
        exec setsid nsenter --net="/run/netns/$(lab_netns "$host")" \
            unshare "${spaces[@]}" --fork --kill-child \
            bash "$lab_here/host.sh" "$lab_state" "$host" "${shares[@]}"
    ) </dev/null >"$lab_state/$host.log" 2>&1 &
    disown
}

wait_for() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        [[ ! -e $lab_state/$1.pid ]] || return 0
        sleep 0.05
    done
    cat "$lab_state/$1.log" >&2
    lab_fail 3 "host $1 did not start"
}

link head 10.77.0.1
start head ${rest:+"$rest"}
for ((i = 0; i < count; i++)); do
    host=h$i
    link "$host" "10.77.0.$((10 + i))"
    value=$(of rate "$host")
    [[ -z $value ]] || lab_rate "$host" "$value"

    group=$rest
    groups=()
    value=$(of slow "$host")
    [[ -z $value ]] || group=$(lab_cgroup_limit "$host" cpu "$value")
    [[ -z $group ]] || groups+=("$group")
    value=$(of small "$host")
    if [[ -n $value ]]; then
        group=$(lab_cgroup_limit "$host" memory "$value")
        groups+=("$group")
    fi
    start "$host" "${groups[@]}"
done
for host in head "${hosts[@]}"; do wait_for "$host"; done

# What mpirun calls in place of ssh: agent HOST COMMAND...
cat >"$lab_state/agent" <<END
host=\$1
shift
while read -r group; do echo 0 >"\$group"; done <"$lab_state/\$host.cgroups"
exec nsenter -t "\$(cat "$lab_state/\$host.pid")" -n -u -m -p -i -- env -i PATH="\$PATH" HOME="\$HOME" \\
    LD_LIBRARY_PATH="\${LD_LIBRARY_PATH:-}" TMPDIR=/tmp sh -c "\$*"
END

touch "$lab_state/up"
echo "laboratory \"$lab_name\": $count hosts, h0 to h$((count - 1)), are up"
