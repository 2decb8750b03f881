#!/usr/bin/env bash
# Starts Slurm in a laboratory: a controller on the head, a node on every host. Needs root.
#
#     scripts/lab/slurm_up.sh [--cpus N]      cores that a node claims to have; default 2
#     scripts/lab/on.sh head sinfo            then, and sbatch, srun, squeue
#
# slurm_down.sh or down.sh ends it. ATTNSPAN_LAB=NAME names the laboratory (default "lab"). Exit
# status: 0 all nodes are idle; 2 wrong request; 3 this machine cannot, with the reason.
set -euo pipefail

# shellcheck source=scripts/lab/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

cpus=2
case ${1:-} in
    "") ;;
    --help) lab_usage && exit 0 ;;
    --cpus) cpus=${2:-} ;;
    *) lab_fail 2 "unknown option \"$1\"; the only one is --cpus" ;;
esac
[[ $cpus =~ ^[1-9][0-9]{0,2}$ ]] || lab_fail 2 "--cpus $cpus: 1 to 999"

# Debian's munged and daemons are where only root looks.
PATH=$PATH:/usr/sbin:/sbin
lab_require_up
for tool in munged slurmctld slurmd srun sbatch sinfo; do
    command -v "$tool" >/dev/null ||
        lab_fail 3 "$tool is missing (Debian packages slurm-wlm and munge; scripts/setup.sh --cluster)"
done
slurm=$lab_state/slurm
[[ ! -e $slurm ]] || lab_fail 2 "Slurm is up in \"$lab_name\" already; slurm_down.sh ends it"
mapfile -t hosts < <(lab_hosts)

# shellcheck disable=SC2317 # called by the trap
undo() {
    local status=$?
    trap - EXIT
    if ((status != 0)); then
        tail -n 3 "$slurm"/*.log >&2 || true
        "$lab_here/slurm_down.sh" || true
    fi
    exit "$status"
}
trap undo EXIT
mkdir -p "$slurm/state"
(umask 077 && head -c 1024 /dev/urandom >"$slurm/munge.key")

# A node's claims about itself are believed (config_overrides). One that does not answer for five
# seconds is down, and its job starts again elsewhere when its credential has expired: eight
# seconds, in place of Slurm's two minutes.
cat >"$slurm/slurm.conf" <<END
ClusterName=$lab_name
SlurmctldHost=head(10.77.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$slurm/munge.socket,cred_expire=8
StateSaveLocation=$slurm/state
SlurmdSpoolDir=$slurm/spool-%n
SlurmctldPidFile=$slurm/slurmctld.pid
SlurmdPidFile=$slurm/slurmd-%n.pid
SlurmctldLogFile=$slurm/slurmctld.log
SlurmdLogFile=$slurm/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=pmix
SlurmdParameters=config_overrides
SlurmdTimeout=5
KillWait=3
MessageTimeout=3
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=$(IFS=,; echo "${hosts[*]}") CPUs=$cpus RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP
END
# Nodes are reached by the names in the hosts' own /etc/hosts.

lab_enter head munged --force --key-file="$slurm/munge.key" --socket="$slurm/munge.socket" \
    --pid-file="$slurm/munged.pid" --log-file="$slurm/munged.log" --seed-file="$slurm/munged.seed" \
    2>"$slurm/munged.err.log" </dev/null
lab_enter head slurmctld -f "$slurm/slurm.conf" >"$slurm/slurmctld.err.log" 2>&1 </dev/null
for host in "${hosts[@]}"; do
    mkdir "$slurm/spool-$host"
    lab_enter "$host" slurmd -N "$host" -f "$slurm/slurm.conf" >"$slurm/slurmd-$host.err.log" 2>&1 </dev/null
done

export SLURM_CONF=$slurm/slurm.conf
for ((tries = 0; tries < 100; tries++)); do
    idle=$(lab_enter head timeout 5 sinfo -h -N -t idle -o %N 2>/dev/null | wc -l)
    if ((idle == ${#hosts[@]})); then
        echo "Slurm is up in laboratory \"$lab_name\": ${#hosts[@]} nodes of $cpus cores are idle"
        exit 0
    fi
    sleep 0.1
done
lab_enter head timeout 5 sinfo -N -o '%N %T %E' >&2 || true
lab_fail 3 "only $idle of ${#hosts[@]} nodes are idle after 10 s"
