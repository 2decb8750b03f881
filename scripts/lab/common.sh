# shellcheck shell=bash
# To be sourced by the scripts beside it: names, state, checks and cgroups of a laboratory.
#
# ATTNSPAN_LAB names the laboratory; several can be up at once. All that exists of one:
#   /run/attnspan-lab/NAME       its state
#   /run/netns/attnspan-NAME-*   network namespaces: "switch" has a bridge, every host one end of a
#                                link to it, called eth0; the switch's end has the host's name
#   processes                    all of them are in one of these namespaces
#   cgroups attnspan-lab-NAME    "rest", and one for each host that is slow or small
# Nothing leads out of these namespaces.

lab_name=${ATTNSPAN_LAB:-lab}
lab_state=/run/attnspan-lab/$lab_name
lab_here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # the scripts that source this use it
lab_root=$(cd "$lab_here/../.." && pwd)

# lab_fail STATUS TEXT: 2, the request is wrong; 3, the machine does not let us.
lab_fail() {
    echo "${0##*/}: error: $2" >&2
    exit "$1"
}

# The comment that the calling script opens with.
lab_usage() {
    awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"
}

lab_netns() {
    echo "attnspan-$lab_name-$1"
}

# Everything that a laboratory needs of the machine, tried out where it leaves nothing behind.
lab_require_machine() {
    local tool
    [[ $lab_name =~ ^[a-z0-9]+$ ]] || lab_fail 2 "ATTNSPAN_LAB=$lab_name: small letters and digits only"
    [[ $(uname -s) == Linux ]] || lab_fail 3 "this is $(uname -s); namespaces are Linux's"
    ((EUID == 0)) || lab_fail 3 "only root may make network namespaces; try with sudo"
    for tool in ip tc nsenter unshare; do
        command -v "$tool" >/dev/null ||
            lab_fail 3 "$tool is missing (Debian packages iproute2 and util-linux; scripts/setup.sh --cluster)"
    done
    unshare --uts --mount --pid --ipc --net --fork --kill-child --mount-proc true 2>/dev/null ||
        lab_fail 3 "this kernel or container does not let root make namespaces"
    unshare --net ip link add name probe type bridge 2>/dev/null || lab_fail 3 "this kernel has no bridges"
    unshare --net ip link add name probe type veth peer name probe2 2>/dev/null ||
        lab_fail 3 "this kernel has no veth links"
}

lab_require_tbf() {
    unshare --net tc qdisc add dev lo root tbf rate 1mbit burst 32kb latency 10ms 2>/dev/null ||
        lab_fail 3 "this kernel has no tbf, which limits rates (module sch_tbf)"
}

lab_require_up() {
    lab_require_machine
    [[ -e $lab_state/up ]] || lab_fail 2 "no laboratory \"$lab_name\" is up; scripts/lab/up.sh builds one"
}

lab_hosts() {
    cat "$lab_state/hosts"
}

lab_require_host() {
    [[ $1 == head ]] || grep -qx "$1" "$lab_state/hosts" ||
        lab_fail 2 "$1: no such host; they are $(paste -s -d ' ' "$lab_state/hosts")"
}

# The process that a host's namespaces belong to; fails when the host is dead.
lab_pid() {
    local pid
    pid=$(<"$lab_state/$1.pid")
    [[ /proc/$pid/ns/net -ef /run/netns/$(lab_netns "$1") ]] && echo "$pid"
}

# Lets mpirun on the head reach the hosts, and MPI keep to their links.
lab_mpi_environment() {
    # shellcheck source=scripts/mpi_env.sh
    source "$lab_root/scripts/mpi_env.sh"
    export OMPI_MCA_plm_rsh_agent="bash $lab_state/agent"
    export OMPI_MCA_plm_rsh_no_tree_spawn=1
    export OMPI_MCA_oob_tcp_if_include=eth0
    export OMPI_MCA_pml=ob1
    export OMPI_MCA_btl=tcp,vader,self
    export OMPI_MCA_btl_tcp_if_include=eth0
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
}

# lab_enter HOST COMMAND...: runs it there, in this folder, with this environment.
lab_enter() {
    local host=$1 pid
    shift
    pid=$(lab_pid "$host") || lab_fail 3 "$host is dead"
    # shellcheck disable=SC2016 # the other shell expands it
    lab_in_cgroups "$host" nsenter -t "$pid" -n -u -m -p -i -- env TMPDIR=/tmp \
        bash -c 'cd "$1" && shift && exec "$@"' in "$PWD" "$@"
}

# lab_in_cgroups HOST COMMAND...: there, where the host's limits hold.
lab_in_cgroups() {
    local groups
    mapfile -t groups <"$lab_state/$1.cgroups"
    shift
    (
        for group in "${groups[@]}"; do echo 0 >"$group"; done
        exec "$@"
    )
}

# Kills what runs in the namespace of one host, and waits until it is gone.
lab_kill() {
    local netns pids tries
    netns=$(lab_netns "$1")
    for ((tries = 0; tries < 100; tries++)); do
        mapfile -t pids < <(ip netns pids "$netns" 2>/dev/null)
        ((${#pids[@]} > 0)) || return 0
        kill -9 "${pids[@]}" 2>/dev/null || true
        sleep 0.05
    done
    lab_fail 3 "processes of $1 do not end: ${pids[*]}"
}

# lab_kbit RATE: in kbit/s.
lab_kbit() {
    local kbit
    [[ $1 =~ ^([0-9]{1,9})(kbit|mbit|gbit)$ ]] || lab_fail 2 "rate $1: a whole number and kbit, mbit or gbit"
    kbit=$((10#${BASH_REMATCH[1]}))
    case ${BASH_REMATCH[2]} in mbit) kbit=$((kbit * 1000)) ;; gbit) kbit=$((kbit * 1000000)) ;; esac
    ((kbit >= 100 && kbit <= 100000000)) || lab_fail 2 "rate $1: 100kbit to 100gbit"
    echo "$kbit"
}

# lab_rate HOST RATE: both ends of its link send at most that. A bucket of two milliseconds at
# that rate, but no smaller than the largest packet with its headers, 64 KiB and some: a longer one
# would be cut into 45, each with an interrupt that the ranks' cores pay for. A queue of 20 ms.
lab_rate() {
    local kbit burst device netns
    kbit=$(lab_kbit "$2")
    burst=$((kbit / 4))
    ((burst >= 73728)) || burst=73728
    for netns in "$1" switch; do
        device=eth0
        [[ $netns != switch ]] || device=$1
        tc -n "$(lab_netns "$netns")" qdisc replace dev "$device" root \
            tbf rate "$2" burst "$burst" latency 20ms
    done
}

# --- cgroups -------------------------------------------------------------------

# Where a controller's groups are: one tree for all (version 2), or one for each (version 1).
lab_cgroup_tree() {
    awk -v wanted="$1" '
        $3 == "cgroup" && ("," $4 ",") ~ ("," wanted ",") { print $2; exit }
        $3 == "cgroup2" { while ((getline line < ($2 "/cgroup.controllers")) > 0)
            if ((" " line " ") ~ (" " wanted " ")) { print $2; exit } }' /proc/mounts
}

# lab_cgroup CONTROLLER GROUP: makes that group of the laboratory and prints its folder; fails
# where the controller cannot be had.
lab_cgroup() {
    local tree group
    tree=$(lab_cgroup_tree "$1")
    [[ -n $tree ]] || return 1
    group=$tree/attnspan-lab-$lab_name
    {
        mkdir -p "$group"
        if [[ -e $tree/cgroup.subtree_control ]]; then
            echo "+$1" >"$tree/cgroup.subtree_control" && echo "+$1" >"$group/cgroup.subtree_control"
        fi && mkdir -p "$group/$2"
    } 2>/dev/null || return 1
    echo "$group/$2"
}

# lab_cgroup_limit HOST cpu PERCENT | HOST memory BYTES: prints the group to join.
lab_cgroup_limit() {
    local folder period=20000
    folder=$(lab_cgroup "$2" "$1") ||
        lab_fail 3 "no cgroup for $2 can be made here, so $1 cannot be limited"
    if [[ -e $folder/cpu.max || -e $folder/memory.max ]]; then
        if [[ $2 == cpu ]]; then
            echo "$((period * $3 / 100)) $period" >"$folder/cpu.max"
        else
            echo "$3" >"$folder/memory.max"
            [[ ! -e $folder/memory.swap.max ]] || echo 0 >"$folder/memory.swap.max"
        fi
    elif [[ $2 == cpu ]]; then
        echo "$period" >"$folder/cpu.cfs_period_us"
        echo $((period * $3 / 100)) >"$folder/cpu.cfs_quota_us"
    else
        echo "$3" >"$folder/memory.limit_in_bytes"
        [[ ! -e $folder/memory.memsw.limit_in_bytes ]] || echo "$3" >"$folder/memory.memsw.limit_in_bytes"
    fi
    echo "$folder"
}

# Removes the laboratory's groups; their processes have ended, but the kernel may need a moment.
lab_cgroups_remove() {
    local tree group tries
    while read -r tree; do
        group=$tree/attnspan-lab-$lab_name
        for ((tries = 0; tries < 100; tries++)); do
            [[ -d $group ]] || break
            find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
        done
        [[ ! -d $group ]] || lab_fail 3 "$group cannot be removed"
    done < <(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts)
}
