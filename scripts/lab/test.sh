#!/usr/bin/env bash
# Tests attnspan on several hosts, and the laboratory itself. Needs root.
#
#     scripts/lab/test.sh [COMMAND]     COMMAND: build/attnspan
#
# In a laboratory of its own: the same bytes as one process, over the network and at its rate; the
# scripts for hostfiles; a slow, a far and a small host; what happens when a run is stopped, a link
# falters, a rank, a link or a host is lost; nothing left behind. Takes half a minute or more. Exit
# status: 0 all hold; 1 not; 3 this machine cannot, with the reason.
set -euo pipefail

# shellcheck source=scripts/lab/checks.sh
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

# --- up ------------------------------------------------------------------------

special=yes
status=0
"$here/up.sh" --hosts 6 --slow h4:20% --delay h4:20ms --small h5:150M --share "$work" >"$work/log" 2>&1 ||
    status=$?
if ((status == 3)) && grep -qE "no cgroup|--delay" "$work/log"; then
    special=no
    echo "$checks: skipped: slow, far and small hosts: $(sed -n 's/^up.sh: error: //p' "$work/log")"
    status=0
    "$here/up.sh" --hosts 6 --share "$work" >"$work/log" 2>&1 || status=$?
fi
if ((status != 0)); then
    cat "$work/log" >&2
    exit "$status"
fi
# shellcheck disable=SC2034 # for finish
built=yes

# --- the same bytes, over the network ----------------------------------------------

length=(--set sequence.length=1537)

# on_hosts FOLDER SETTING...: four ranks on four hosts.
on_hosts() {
    local folder=$work/$1
    shift
    "$here/run.sh" --limit 60 --on h0,h1,h2,h3 -n 4 "$program" run "$work/config.yaml" \
        --output-dir "$folder" "$@" >"$work/log" 2>&1
}

# All bytes that hosts have sent.
sent_bytes() {
    "$here/shape.sh" | awk 'NR > 1 { sum += $4 } END { printf "%d", sum }'
}

# number KEY FOLDER: the first of that name in its report.
number() {
    sed -n "s/^ *\"$1\": *\([0-9.e+-]*\),*$/\1/p" "$work/$2/report.json" | head -n 1
}

alone short "${length[@]}"
alone long

for mesh in "1 4 ring" "2 2 ring" "1 4 gather" "1 4 reduce"; do
    read -r heads sequence circulate <<<"$mesh"
    before=$(sent_bytes)
    if ! on_hosts hosts "${length[@]}" --set "parallel.heads=$heads" \
        --set "parallel.sequence=$sequence" --set "parallel.circulate=$circulate"; then
        bad "$mesh on four hosts"
    elif ! cmp "$work"/{short,hosts}/y.npy || ! cmp "$work"/{short,hosts}/lse.npy; then
        bad "$mesh: four hosts do not make the bytes of one process"
    elif (($(number nodes hosts) != 4)); then
        bad "$mesh: $(number nodes hosts) nodes, not four"
    elif (($(sent_bytes) - before < $(number bytes_sent_total hosts))); then
        bad "$mesh: $(number bytes_sent_total hosts) bytes sent, but $(($(sent_bytes) - before)) on the links"
    else
        ok "$mesh: the bytes of one process, $(number bytes_sent_total hosts) of traffic on the links"
    fi
done

# Two ranks a host: with what arrives shared, each slice crosses the link once, not twice.
full=("${length[@]}" --set attention.mask=none)
alone full "${full[@]}"
crossed=()
for share in false true; do
    before=$(sent_bytes)
    if ! "$here/run.sh" --limit 60 --on h0,h1 -n 4 "$program" run "$work/config.yaml" --output-dir \
        "$work/hosts" "${full[@]}" --set \
        "parallel={heads: 1, circulate: gather, share_nodes: $share}" >"$work/log" 2>&1; then
        bad "share_nodes: $share on two hosts"
    elif ! cmp "$work"/{full,hosts}/y.npy || ! cmp "$work"/{full,hosts}/lse.npy; then
        bad "share_nodes: $share: two hosts do not make the bytes of one process"
    elif (($(sent_bytes) - before < $(number bytes_between_nodes_total hosts))); then
        bad "share_nodes: $share: $(number bytes_between_nodes_total hosts) bytes between nodes, but $(($(sent_bytes) - before)) on the links"
    fi
    crossed+=("$(number bytes_between_nodes_total hosts)")
done
if ((2 * crossed[1] == crossed[0] && crossed[1] > 0)); then
    ok "share_nodes: ${crossed[1]} bytes between nodes, not ${crossed[0]}"
else
    bad "share_nodes: ${crossed[1]} bytes between nodes, and ${crossed[0]} without"
fi

# The cluster scripts, as on any hosts; one core a rank, on which they all meet here.
printf '# all\nh0\n\nh1\n' >"$work/hosts.txt"
export HOSTFILE=$work/hosts.txt RANKS_PER_HOST=1 CORES_PER_RANK=1 LIMIT=60
if ! "$here/on.sh" head "$tree/scripts/hostfile/run.sh" "$work/config.yaml" --output-dir "$work/hosts" \
    "${length[@]}" >"$work/log" 2>&1 || ! cmp "$work"/{short,hosts}/y.npy; then
    bad "hostfile/run.sh"
else
    ok "hostfile/run.sh: the bytes of one process"
fi
export REPEATS=2
if (cd "$work" && "$here/on.sh" head "$tree/scripts/hostfile/weak.sh" "$work/sweep.yaml") >"$work/log" 2>&1 &&
    sweep_holds weak "$work/out/weak/weak.csv" 1 2; then
    ok "hostfile/weak.sh: $(tail -n 1 "$work/log")"
else
    bad "hostfile/weak.sh"
fi

# --- links at their rate; a slow host, a far one, a small one --------------------------

long=(--set parallel.sequence=4 --set parallel.circulate=ring)
# Many heads and few rows: much traffic for little computing, which alone would be done sooner.
"$here/shape.sh" all rate 100mbit
if on_hosts hosts "${long[@]}" --set sequence.length=1024 --set attention.heads=32 \
    --set attention.head_dim=128; then
    took=$(sed -n '/"attend":/,/}/s/.*"max": *\([0-9.e+-]*\).*/\1/p' "$work/hosts/report.json")
    least=$(awk -v bytes="$(number bytes_sent_max hosts)" 'BEGIN { print (bytes - 65536) * 8 / 100e6 }')
    if awk -v took="$took" -v least="$least" 'BEGIN { exit !(took >= least) }'; then
        ok "100 Mbit/s: $took s of attend for bytes that take $least"
    else
        bad "100 Mbit/s: $took s of attend for bytes that take $least"
    fi
else
    bad "links of 100 Mbit/s"
fi

if [[ $special == yes ]]; then
    # One round trip until the connection is refused; the first one also asks for the address.
    for _ in 1 2; do
        took=$("$here/on.sh" h0 bash -c 'TIMEFORMAT=%3R; time { (exec 3<>/dev/tcp/h4/9) 2>/dev/null; }' 2>&1 ||
            true)
    done
    if awk -v took="$took" 'BEGIN { exit !(took >= 0.040 && took < 1) }'; then
        ok "a link of 20 ms each way: $took s there and back"
    else
        bad "a link of 20 ms each way: $took s there and back"
    fi

    # shellcheck disable=SC2016 # the host's shell expands it
    read -r wall user < <(TIMEFORMAT='%3R %3U'
        { time "$here/on.sh" h4 bash -c 'for ((i = 0; i < 100000; i++)); do :; done'; } 2>&1 | tail -n 1)
    if awk -v wall="$wall" -v user="$user" 'BEGIN { exit !(wall > 2.5 * user) }'; then
        ok "a host of 20% takes $wall s for $user s of computing"
    else
        bad "a host of 20% takes $wall s for $user s of computing"
    fi
    status=0
    timeout -k 10 60 "$here/run.sh" --limit 30 --on h5 -n 1 "$program" run "$work/config.yaml" --output-dir \
        "$work/small" --set sequence.length=131072 >"$work/log" 2>&1 || status=$?
    if ((status != 3)) || ! grep -q 'attnspan: error: ' "$work/log" || [[ -e $work/small/y.npy ]]; then
        bad "a host of 150 MiB: status $status"
    else
        ok "a host of 150 MiB: $(grep -m 1 'attnspan: error: ' "$work/log")"
    fi
fi

# --- faults ------------------------------------------------------------------------

sent_by_h2() {
    "$here/shape.sh" | awk '$1 == "h2" { print $4 }'
}

# A run in the background, with a rank on h2 and bytes on the way from it.
begin() {
    local before="" tries
    on_hosts fault "${long[@]}" &
    run=$!
    for ((tries = 0; tries < 200; tries++)); do
        if [[ -n $before ]]; then
            (($(sent_by_h2) < before + 500000)) || return 0
        elif "$here/on.sh" h2 pgrep -x attnspan >/dev/null; then
            before=$(sent_by_h2)
        fi
        sleep 0.05
    done
    bad "no traffic after 10 s"
}

# Ranks and daemons on the living hosts, one a line.
going_on() {
    local host
    for host in h0 h1 h2 h3; do
        "$here/on.sh" "$host" pgrep -l 'attnspan|orted' 2>/dev/null || true
    done
}

# ends NAME WORDS: the run ends by itself within 20 s, with status 3 and these words; ten seconds
# later at most, no rank or daemon is left, not even on a host that is cut off.
ends() {
    local start=$SECONDS status=0 took tries
    while kill -0 "$run" 2>/dev/null && ((SECONDS - start < 20)); do sleep 0.1; done
    took=$((SECONDS - start))
    if kill -0 "$run" 2>/dev/null; then
        bad "$1: still running after 20 s"
        kill -TERM "$run"
        wait "$run" || true
        return
    fi
    wait "$run" || status=$?
    for ((tries = 0; tries < 50; tries++)); do
        [[ -n $(going_on) ]] || break
        sleep 0.2
    done
    if ((status != 3)) || ! grep -q "attnspan: error: $2" "$work/log"; then
        bad "$1: status $status"
    elif ((tries == 50)); then
        bad "$1: left: $(going_on)"
    else
        ok "$1: $took s: $(grep -m 1 "attnspan: error: $2" "$work/log")"
    fi
}

begin
"$here/shape.sh" h2 down
sleep 1
"$here/shape.sh" h2 up
if wait "$run" && cmp "$work"/{long,fault}/y.npy; then
    ok "a link that is down for a second: the bytes of one process"
else
    bad "a link that is down for a second"
fi

"$here/shape.sh" all rate 10mbit # now it takes 20 s

begin
pkill -TERM -P "$run" || kill -TERM "$run"
ends "stopped" "the run was told to stop"

begin
"$here/on.sh" h2 pkill -9 -x attnspan
ends "a rank is killed" "a rank was killed (signal 9"

begin
"$here/shape.sh" h2 down
ends "a link is cut" "a host or its link was lost"
"$here/shape.sh" h2 up

begin
"$here/down.sh" h2
ends "a host dies" "a .*host.* was lost"

# --- nothing left behind -----------------------------------------------------------

"$here/down.sh"
"$here/down.sh"
rm -f "$work/log"
left=$(left_behind)
if [[ -n $left ]]; then bad "left behind: $left"; else ok "nothing is left behind"; fi

verdict
