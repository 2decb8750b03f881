#!/usr/bin/env bash
# The first run: installs what is missing, builds, and computes the sample on four ranks.
#
#     scripts/quickstart.sh
#
# Works from any folder. The build goes to build/, the results to out/quickstart/.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Runs a command whose output matters only when it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        echo "quickstart: failed: $*" >&2
        exit 1
    fi
    rm -f "$log"
}

scripts/setup.sh
# shellcheck source=scripts/mpi_env.sh
source scripts/mpi_env.sh

tests=ON
pkg-config --exists cunit || tests=OFF # a configuration with tests would need CUnit
quietly cmake --preset release -DATTN_TESTS=$tests
quietly cmake --build --preset release --target attnspan_command
echo "built build/attnspan"

echo "+ mpirun -n 4 build/attnspan run configs/quickstart.yaml"
timeout --foreground -k 10 120 mpirun -n 4 build/attnspan run configs/quickstart.yaml </dev/null
echo "The results are in $PWD/out/quickstart."
