# shellcheck shell=bash
# To be sourced by the tests beside it: a laboratory of their own, and what is held against it.

if [[ ${1:-} == --help ]]; then
    awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"
    exit
fi
checks=$(basename "$0" .sh)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=$(realpath "${1:-$here/../../build/attnspan}")
cd "$here/../.." || exit
# shellcheck source=scripts/mpi_env.sh
source scripts/mpi_env.sh
if [[ ! -x $program ]]; then
    echo "$checks: error: $program is missing" >&2
    exit 2
fi

export ATTNSPAN_LAB=test$$
export OMP_NUM_THREADS=1
work=$(mktemp -d)
failures=0
built=no # set to yes when the laboratory is up: from then on, nothing is the machine's fault

# shellcheck disable=SC2317 # called by the trap
finish() {
    local status=$?
    trap - EXIT
    [[ ! -e /run/attnspan-lab/$ATTNSPAN_LAB ]] || "$here/down.sh" || status=1
    ((status == 0)) || [[ $built == no ]] || status=1
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 1' TERM INT

ok() {
    echo "$checks: ok: $* ($SECONDS s)"
}

# With the last command's output, where that was kept.
bad() {
    echo "$checks: FAILED: $*"
    [[ ! -s $work/log ]] || sed 's/^/    /' "$work/log"
    failures=$((failures + 1))
}

verdict() {
    if ((failures > 0)); then
        echo "$checks: $failures checks failed"
        exit 1
    fi
    echo "$checks: all hold, $SECONDS s"
}

# Whatever bears the laboratory's name: nothing, after down.sh.
left_behind() {
    ip netns list | grep -F "attnspan-$ATTNSPAN_LAB-" || true
    find /sys/fs/cgroup -maxdepth 2 -name "attnspan-lab-$ATTNSPAN_LAB" 2>/dev/null || true
    find /run/attnspan-lab -mindepth 1 -maxdepth 1 -name "$ATTNSPAN_LAB" 2>/dev/null || true
    pgrep -a -f "/run/attnspan-lab/$ATTNSPAN_LAB" || true
}

# The program under test as a folder that the cluster scripts take for a built repository.
tree=$work/tree
mkdir -p "$tree/build"
ln -s "$program" "$tree/build/attnspan"
ln -s "$PWD/scripts" "$PWD/configs" "$tree/"

cat >"$work/config.yaml" <<'END'
attention: {heads: 8, head_dim: 64, mask: causal}
sequence: {length: 8192}
input: {synthetic: {seed: 1, tensors: qkv}}
output: {y: y.npy, lse: lse.npy, report: report.json}
END
cat >"$work/sweep.yaml" <<'END'
attention: {heads: 2, head_dim: 32, mask: causal}
sequence: {length: 301}
input: {synthetic: {seed: 1, tensors: qkv}}
verify: {rows: 8}
END

# alone FOLDER SETTING...: config.yaml in one process.
alone() {
    local folder=$work/$1
    shift
    timeout --foreground -k 10 60 mpirun -n 1 "$program" run "$work/config.yaml" \
        --output-dir "$folder" "$@" >"$work/log" 2>&1 </dev/null || bad "one process"
}

# sweep_holds MODE CSV RANKS...: a line for each of these, REPEATS runs each, with the rows and the
# base that the mode asks for.
sweep_holds() {
    local mode=$1 csv=$2
    shift 2
    awk -F , -v mode="$mode" -v repeats="$REPEATS" -v wanted="$*" '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        {
            ranks = $at["ranks"]
            seen = seen (NR == 2 ? "" : " ") ranks
            if ($at["length"] != (mode == "weak" ? 301 * ranks : 301) || $at["repeats"] != repeats) exit wrong = 1
            if (!($at["execute_sec"] > 0) || (NR == 2 && $at["efficiency"] != 1)) exit wrong = 1
        }
        END { exit wrong || seen != wanted }' "$csv"
}
