#!/usr/bin/env bash
# The first process of a laboratory's host, in namespaces of its own. For up.sh only:
#
#     host.sh STATE NAME SHARED...
#
# The host shares all folders with the machine, as nodes share a parallel file system, but has
# /tmp and /dev/shm to itself; of those below /tmp, only SHARED.
set -euo pipefail

state=$1 name=$2
shift 2

# As the machine counts processes: /proc is still the machine's.
read -r pid _ </proc/self/stat

mount --make-rprivate /
hostname "$name"
[[ $name == head ]] || mount -t proc proc /proc
mount --bind "$state/etc_hosts" /etc/hosts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs "$state/tmp"
for folder in "$@"; do
    if [[ $folder == /tmp/* ]]; then
        mkdir -p "$state/$folder"
        mount --bind "$folder" "$state/$folder"
    fi
done
mount --move "$state/tmp" /tmp

# A connection to a host that is gone fails after seconds, not after a quarter of an hour.
echo 5 >/proc/sys/net/ipv4/tcp_retries2

echo "$pid" >"$state/$name.new"
mv "$state/$name.new" "$state/$name.pid"

# As the first process it has to reap the orphans, which bash does while it waits.
while :; do
    sleep infinity &
    wait || true
done
