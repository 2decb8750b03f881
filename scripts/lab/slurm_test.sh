#!/usr/bin/env bash
# Tests the jobs of scripts/slurm/ on a real Slurm, in a laboratory of its own. Needs root.
#
#     scripts/lab/slurm_test.sh [COMMAND]     COMMAND: build/attnspan
#
# A job's bytes are those of one process; the two sweeps make their CSV; a killed rank ends the
# job; a job whose node dies starts again on the others. Takes under a minute. Exit status: 0 all
# hold; 1 not; 3 this machine cannot, with the reason.
set -euo pipefail

# shellcheck source=scripts/lab/checks.sh
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"

export REPEATS=1
status=0
{ "$here/up.sh" --hosts 4 --share "$work" && "$here/slurm_up.sh"; } >"$work/log" 2>&1 || status=$?
if ((status != 0)); then
    cat "$work/log" >&2
    exit "$status"
fi
# shellcheck disable=SC2034 # for finish
built=yes

on_head() {
    (cd "$tree" && timeout --foreground -k 10 100 "$here/on.sh" head "$@" </dev/null)
}

# submit JOB NODES ARGUMENT...: sets id; the job's output is appended to $work/log.
submit() {
    local job=$1 nodes=$2
    shift 2
    id=$(on_head sbatch --parsable --nodes="$nodes" --ntasks-per-node=1 --cpus-per-task=1 \
        --output="$work/log" --open-mode=append "scripts/slurm/$job.sbatch" "$@")
}

# wait_for STATE...: until the job is in one of these.
wait_for() {
    local tries state
    for ((tries = 0; tries < 600; tries++)); do
        state=$(on_head squeue -h -t all -j "$id" -o %T)
        [[ " $* " != *" $state "* ]] || return 0
        sleep 0.1
    done
    bad "job $id is $state after a minute"
    return 1
}

# Until the job has ended: its exit status.
exit_status() {
    wait_for COMPLETED FAILED CANCELLED TIMEOUT >&2 || return 1
    on_head scontrol show job "$id" | sed -n 's/.* ExitCode=\([0-9]*\):.*/\1/p'
}

: >"$work/log"
alone short --set sequence.length=1537
submit job 4 "$work/config.yaml" --output-dir "$work/job" --set sequence.length=1537
if [[ $(exit_status) == 0 ]] &&
    cmp "$work"/{short,job}/y.npy && grep -q '"nodes": 4' "$work/job/report.json"; then
    ok "job.sbatch: the bytes of one process, on four nodes"
else
    bad "job.sbatch"
fi

for mode in strong weak; do
    : >"$work/log"
    submit "$mode" 2 "$work/sweep.yaml"
    if [[ $(exit_status) == 0 ]] && sweep_holds "$mode" "$tree/out/$mode-$id/$mode.csv" 1 2; then
        ok "$mode.sbatch: $(tail -n 1 "$work/log")"
    else
        bad "$mode.sbatch"
    fi
done

# --- faults ------------------------------------------------------------------------

sent_by_h1() {
    "$here/shape.sh" | awk '$1 == "h1" { print $4 }'
}

# A job on three of the four nodes, with bytes on the way from h1.
begin() {
    local tries before
    before=$(sent_by_h1)
    : >"$work/log"
    rm -rf "$work/fault"
    submit job 3 "$work/config.yaml" --output-dir "$work/fault" --set parallel.sequence=3
    for ((tries = 0; tries < 200; tries++)); do
        (($(sent_by_h1) < before + 500000)) || return 0
        sleep 0.05
    done
    bad "no traffic from h1 after 10 s"
}

"$here/shape.sh" all rate 10mbit

begin
start=$SECONDS
"$here/on.sh" h1 pkill -9 -x attnspan
status=$(exit_status)
if [[ $status != 3 ]] || ! grep -q "attnspan: error: a rank was " "$work/log" || [[ -e $work/fault/y.npy ]]; then
    bad "a rank is killed: status $status"
else
    ok "a rank is killed: $((SECONDS - start)) s: $(grep "attnspan: error: a rank was " "$work/log")"
fi

begin
start=$SECONDS
"$here/down.sh" h1
"$here/shape.sh" all rate none # not for the dead node's sake
wait_for PENDING || true
status=$(exit_status)
if [[ $status != 0 ]]; then
    bad "a node dies: status $status"
elif alone long && ! cmp "$work"/{long,fault}/y.npy; then
    bad "a node dies: other bytes in the end"
else
    ok "a node dies: $((SECONDS - start)) s: the job has started again elsewhere, and its bytes are right"
fi

# --- nothing left behind -----------------------------------------------------------

"$here/slurm_down.sh"
left=$(pgrep -a -f "/run/attnspan-lab/$ATTNSPAN_LAB/slurm" || true)
"$here/down.sh"
left+=$(left_behind)
: >"$work/log"
if [[ -n $left ]]; then bad "left behind: $left"; else ok "nothing is left behind"; fi
verdict
