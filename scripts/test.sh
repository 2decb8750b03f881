#!/usr/bin/env bash
# Sets up, builds and runs all tests and checks.
#
#     scripts/test.sh [--quick]
#
#   --quick    only the release build and its tests
#
# Every step says what it is, how it ended and how long it took; one that cannot run here is
# reported as skipped, with the reason. Exit status: 0 when nothing failed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/mpi_env.sh
source scripts/mpi_env.sh

readonly lint_version=14 # of clang-format and clang-tidy: others judge differently
quick=no
case "${1:-}" in
    "") ;;
    --quick) quick=yes ;;
    *)
        echo "test: unknown option \"$1\"; the only one is --quick" >&2
        exit 1
        ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
summary=()
failed=0

# --- steps -------------------------------------------------------------------

# step NAME COMMAND...: runs it in a subshell that ends at the first failure. A command skips
# itself by `skip REASON`.
step() {
    local name=$1 start=$SECONDS status verdict=ok
    shift
    echo "== $name"
    rm -f "$work/skipped"
    set +e # `(…) || …` would turn it off inside the subshell, too
    (
        set -e
        "$@"
    ) </dev/null
    status=$?
    set -e
    if [[ -e "$work/skipped" ]]; then
        verdict="skipped: $(<"$work/skipped")"
    elif ((status != 0)); then
        verdict=FAILED
        failed=$((failed + 1))
    fi
    summary+=("$(printf '%4d s  %-28s %s' $((SECONDS - start)) "$name" "$verdict")")
    echo "== $name: $verdict, $((SECONDS - start)) s"
}

skip() {
    echo "$*" >"$work/skipped"
    exit 0
}

# Runs a command whose output matters only when it fails.
quietly() {
    if "$@" >"$work/log" 2>&1; then return 0; fi
    cat "$work/log"
    echo "failed: $*"
    return 1
}

needs() {
    command -v "$1" >/dev/null 2>&1 || skip "$1 is not installed"
}

# The tool of the pinned version: NAME-14, or NAME when that is what it is.
pinned() {
    if command -v "$1-$lint_version" 2>/dev/null; then return 0; fi
    "$1" --version 2>/dev/null | grep "version $lint_version\." >/dev/null && command -v "$1"
}

# The project's files of these patterns, as git lists them, or as they lie there without git.
files() {
    local pattern
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard -- "$@"
    else
        for pattern in "$@"; do find docs include kernels runtime tests -path "$pattern"; done
    fi
}

# build PRESET FOLDER OPTION...
build() {
    local preset=$1 folder=$2
    shift 2
    quietly cmake --preset "$preset" -B "$folder" -DATTN_WERROR=ON -DATTN_TESTS=ON "$@"
    quietly cmake --build "$folder"
}

# Two tests a core, up to 16: most of them wait for mpirun to start and end.
run_tests() {
    local jobs=$((2 * $(nproc)))
    ctest --test-dir "$1" --output-on-failure --no-tests=error -j $((jobs < 16 ? jobs : 16))
}

# --- checks ------------------------------------------------------------------

check_clang() {
    needs clang
    build debug build-clang -DCMAKE_C_COMPILER=clang
}

# Each public header compiles alone, in C and in C++.
check_headers() {
    local header flags
    needs g++
    read -ra flags <<<"$(mpicc --showme:compile 2>/dev/null) -Iinclude -fsyntax-only -Wall -Wextra"
    for header in include/attnspan/*.h; do
        quietly gcc "${flags[@]}" -Wpedantic -Werror -std=c11 -x c "$header"
        # MPI's own C++ bindings, where there are any, are not ours to judge.
        quietly g++ "${flags[@]}" -Werror -DOMPI_SKIP_MPICXX -DMPICH_SKIP_MPICXX -std=c++11 \
            -x c++ "$header"
    done
}

# Dependencies point down: kernels know no MPI, no YAML, no JSON and no files.
check_layers() {
    ! grep -rnE '(mpi|yaml|jansson|hwloc|cblas|stdio)\.h|"[a-z]*/?runtime' kernels
}

# The README's table is the command's.
check_support() {
    build-test/attnspan info --support >"$work/support"
    sed -n '/^<!-- attnspan info --support -->$/,/^<!-- end -->$/p' README.md | sed '1d;$d' |
        diff - "$work/support"
}

check_example() {
    local compile link
    read -ra compile <<<"$(mpicc --showme:compile)"
    read -ra link <<<"$(mpicc --showme:link) $(pkg-config --libs openblas hwloc)"
    quietly gcc -std=c11 -Wall -Wextra -Werror -Iinclude "${compile[@]}" docs/example.c \
        build-test/libattnspan.a -fopenmp "${link[@]}" -lm -o "$work/example"
    timeout --foreground -k 10 60 mpirun -n 2 "$work/example"
}

check_format() {
    local tool
    tool=$(pinned clang-format) || skip "clang-format $lint_version is not installed"
    files '*.c' '*.h' | xargs "$tool" --dry-run -Werror
}

# tidy TOOL OPTION... < FILES: one process a file, because clang-tidy mixes up several.
tidy() {
    xargs -P "$(nproc)" -n 1 "$@" -p build-clang --quiet >>"$work/log" 2>/dev/null
}

check_tidy() {
    local tool
    tool=$(pinned clang-tidy) || skip "clang-tidy $lint_version is not installed"
    [[ -e build-clang/compile_commands.json ]] || skip "it needs the clang build"
    : >"$work/log"
    # In kernels, offsets are products of tile sizes, which are small. What is for SimGrid's MPI alone
    # is not in that build.
    if ! { files 'runtime/*.c' | grep -v '^runtime/simulate' | tidy "$tool" &&
        files 'kernels/*.c' | tidy "$tool" --checks=-bugprone-implicit-widening-of-multiplication-result; }; then
        grep -E 'error:|warning:' "$work/log" | sort -u
        return 1
    fi
}

check_shell() {
    needs shellcheck
    shellcheck -x scripts/*.sh scripts/*/*.sh scripts/*/*.sbatch .ci/run
}

# The first python3 of PATH that has these modules.
python_with() {
    local python
    while read -r python; do
        if "$python" -c "import $1" 2>/dev/null; then
            echo "$python"
            return
        fi
    done < <(type -ap python3)
    return 1
}

check_peers() {
    local python
    python=$(python_with numpy,matplotlib) || python=$(python_with numpy) ||
        skip "no python3 here has NumPy"
    "$python" tests/compare_peers.py build-test/attnspan 2>&1
}

check_plots() {
    local python
    python=$(python_with matplotlib) || skip "no python3 here has matplotlib"
    "$python" tests/plots.py 2>&1
}

check_handles() {
    needs smpicc
    scripts/check_handles.sh build-test/attnspan
}

check_simulation() {
    local python
    needs smpicc
    python=$(python_with yaml) || skip "no python3 here has PyYAML"
    "$python" tests/simulate.py 2>&1
}

# on_lab TEST...: one of scripts/lab/'s; status 3 is a machine that cannot, with the reason.
on_lab() {
    local status=0
    timeout --foreground -k 100 "$@" build-test/attnspan 2>"$work/reason" || status=$?
    if ((status == 3)); then skip "$(sed -n '$s/^.*: error: //p' "$work/reason")"; fi
    cat "$work/reason" >&2
    return "$status"
}

# --- all of it -----------------------------------------------------------------

step "set-up" scripts/setup.sh --tests
((failed == 0)) || exit 1
step "release build" build release build-test
if ((failed == 0)); then step "release tests" run_tests build-test; fi
if [[ $quick == no ]]; then
    if ((failed == 0)); then step "library example" check_example; fi
    if ((failed == 0)); then step "support table" check_support; fi
    step "set-up of the checks" scripts/setup.sh --tests --checks
    step "asan build" build asan build-asan
    if [[ -x build-asan/attnspan ]]; then step "asan tests" run_tests build-asan; fi
    step "clang build" check_clang
    step "headers alone, C and C++" check_headers
    step "layers" check_layers
    step "clang-format" check_format
    step "clang-tidy" check_tidy
    step "shellcheck" check_shell
    step "MPI handles" check_handles
    step "simulation" check_simulation
    step "peer comparison" check_peers
    step "plots" check_plots
    # Only root can use it, and Slurm brings daemons.
    if ((EUID == 0)); then step "set-up of the cluster" scripts/setup.sh --cluster; fi
    step "cluster laboratory" on_lab 240 scripts/lab/test.sh
    step "Slurm" on_lab 240 scripts/lab/slurm_test.sh
    step "quickstart" scripts/quickstart.sh
fi

echo
printf '%s\n' "${summary[@]}"
if ((failed > 0)); then
    echo "$failed of ${#summary[@]} steps failed"
    exit 1
fi
echo "all passed in $SECONDS s"
