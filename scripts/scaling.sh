# shellcheck shell=bash
# To be sourced: a scaling sweep, one run for each number of ranks.
#
#     source scripts/scaling.sh
#     launch() { ... }                        # launch RANKS COMMAND...: starts that many
#     scaling_sweep strong CONFIG FOLDER MOST
#
# Runs CONFIG on 1, 2, 4, ... and MOST ranks, REPEATS (three) times each, with reports in FOLDER,
# and collects these in FOLDER/strong.csv. With "weak", sequence.length is multiplied by the number
# of ranks.

: "${REPEATS:=3}"
scaling_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Powers of two below MOST, and MOST.
scaling_ranks() {
    local ranks
    for ((ranks = 1; ranks < $1; ranks *= 2)); do echo "$ranks"; done
    echo "$1"
}

scaling_sweep() {
    local mode=$1 config=$2 folder=$3 most=$4
    local ranks repeat report status=0 length=0 settings=() reports=()
    mkdir -p "$folder"
    for ranks in $(scaling_ranks "$most"); do
        for ((repeat = 1; repeat <= REPEATS && status == 0; repeat++)); do
            report=$folder/ranks$ranks-$repeat.json
            settings=(--set "output.report=$PWD/$report")
            [[ $mode == strong || $ranks == 1 ]] || settings+=(--set "sequence.length=$((length * ranks))")
            launch "$ranks" "$scaling_root/build/attnspan" run "$config" "${settings[@]}" >"$folder/log" 2>&1 || status=$?
            if ((status == 0)); then reports+=("$report"); fi
        done
        if ((status != 0)); then
            cat "$folder/log" >&2
            echo "${0##*/}: error: $ranks ranks: exit status $status; stopping here" >&2
            break
        fi
        # One rank runs the config as it is, and its report says how long that is.
        [[ $ranks != 1 ]] || length=$(sed -n 's/^ *"length": *\([0-9]*\),*$/\1/p' "$report")
    done
    rm -f "$folder/log"
    if ((${#reports[@]} > 0)); then
        "$scaling_root/scripts/collect.py" --out "$folder/$mode.csv" "${reports[@]}" || return 3
    fi
    return "$status"
}
