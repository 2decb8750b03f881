#!/usr/bin/env bash
# Installs what is missing to build and run attnspan, from Debian's or Ubuntu's packages.
#
#     scripts/setup.sh [--tests] [--checks] [--cluster]
#
#   --tests    also what the tests need (CUnit)
#   --checks   also what scripts/test.sh checks with: clang, its formatter and tidy, shellcheck,
#              SimGrid, NumPy, matplotlib and PyYAML
#   --cluster  also what scripts/lab/ needs: iproute2, Slurm and munge, whose daemons Debian may start
#
# When nothing is missing it does nothing: no apt-get, no root, no network. A tool that is there
# without its package (an environment module, a build of your own) counts as present. Exit
# status: 0 all there, 1 something is missing and could not be installed.
set -euo pipefail

readonly run_packages=(gcc libc6-dev cmake ninja-build pkg-config openmpi-bin libopenmpi-dev
    libopenblas-openmp-dev libyaml-dev libjansson-dev libhwloc-dev)
readonly test_packages=(libcunit1-dev)
readonly check_packages=(g++ clang clang-format clang-tidy libomp-dev shellcheck libsimgrid-dev
    python3-numpy python3-matplotlib python3-yaml)
readonly cluster_packages=(iproute2 procps python3 slurm-wlm munge)
readonly least_cmake=3.21 # the presets' format

packages=("${run_packages[@]}")
for argument in "$@"; do
    case "$argument" in
        --tests) packages+=("${test_packages[@]}") ;;
        --checks) packages+=("${check_packages[@]}") ;;
        --cluster) packages+=("${cluster_packages[@]}") ;;
        *)
            echo "setup: unknown option \"$argument\"; the options are --tests, --checks and --cluster" >&2
            exit 1
            ;;
    esac
done

has_command() {
    command -v "$1" >/dev/null 2>&1
}

# Whether what the package brings is there, from wherever it came.
works() {
    case "$1" in
        gcc) has_command cc ;;
        libc6-dev) has_command cc && echo '#include <stdio.h>' | cc -E - >/dev/null 2>&1 ;;
        cmake | pkg-config | shellcheck | clang | clang-format | clang-tidy | g++) has_command "$1" ;;
        ninja-build) has_command ninja ;;
        openmpi-bin) has_command mpirun ;;
        libopenmpi-dev) has_command mpicc ;;
        libopenblas-openmp-dev) pkg-config --exists openblas 2>/dev/null ;;
        libyaml-dev) pkg-config --exists yaml-0.1 2>/dev/null ;;
        libjansson-dev) pkg-config --exists jansson 2>/dev/null ;;
        libhwloc-dev) pkg-config --exists hwloc 2>/dev/null ;;
        libcunit1-dev) pkg-config --exists cunit 2>/dev/null ;;
        libomp-dev) has_command clang && echo '#include <omp.h>' | clang -fopenmp -E - >/dev/null 2>&1 ;;
        libsimgrid-dev) has_command smpicc ;;
        python3-yaml) has_command python3 && python3 -c "import yaml" >/dev/null 2>&1 ;;
        python3-*) has_command python3 && python3 -c "import ${1#python3-}" >/dev/null 2>&1 ;;
        iproute2) has_command ip && has_command tc ;;
        procps) has_command pgrep ;;
        python3) has_command python3 ;;
        slurm-wlm) has_command sbatch && PATH=$PATH:/usr/sbin has_command slurmctld ;;
        munge) PATH=$PATH:/usr/sbin has_command munged ;;
        *) return 1 ;;
    esac
}

installed() {
    [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]
}

find_missing() {
    missing=()
    for package in "${packages[@]}"; do
        if has_command dpkg-query && installed "$package"; then continue; fi
        works "$package" || missing+=("$package")
    done
}

# What the missing packages are called elsewhere.
explain_by_hand() {
    cat >&2 <<END
setup: this is not a Debian or Ubuntu machine (no apt-get), and it lacks what these Debian
packages bring: ${missing[*]}
Install by hand, or load as modules: a C11 compiler with OpenMP, CMake $least_cmake or later, Ninja,
pkg-config, an MPI-3 library with mpirun and mpicc, and the development files of OpenBLAS,
libyaml, jansson and hwloc (and CUnit for the tests). On Fedora, for instance: dnf install gcc
cmake ninja-build pkgconf openmpi-devel openblas-devel libyaml-devel jansson-devel hwloc-devel
CUnit-devel, then: module load mpi
END
}

# Whether sudo lets us; on a terminal it may ask for the password.
may_sudo() {
    has_command sudo || return 1
    if [[ -t 0 ]]; then sudo -v; else sudo -n true 2>/dev/null; fi
}

# Runs a command as root; its output goes to the log, which this user's shell writes.
# shellcheck disable=SC2024
as_root() {
    if ((EUID == 0)); then
        DEBIAN_FRONTEND=noninteractive "$@" >>"$log" 2>&1 </dev/null
    else
        sudo env DEBIAN_FRONTEND=noninteractive "$@" >>"$log" 2>&1 </dev/null
    fi
}

apt() {
    as_root apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

have_candidates() {
    local package
    for package in "${missing[@]}"; do
        apt-cache show --no-all-versions "$package" >/dev/null 2>&1 || return 1
    done
}

# Package lists are fetched only when they do not know a package, or know it wrongly.
install_missing() {
    if have_candidates && apt install --no-install-recommends "${missing[@]}"; then return 0; fi
    apt update || echo "(apt-get update ended with an error; trying all the same)" >>"$log"
    apt install --no-install-recommends "${missing[@]}"
}

check_cmake_version() {
    local version
    version=$(cmake --version | sed -n '1s/[^0-9]*\([0-9.]*\).*/\1/p')
    if [[ $(printf '%s\n' "$least_cmake" "$version" | sort -V | head -n 1) != "$least_cmake" ]]; then
        echo "setup: CMake $version is too old; the presets need $least_cmake or later" >&2
        exit 1
    fi
}

# Two builds of OpenBLAS can be installed side by side; Debian's alternatives choose.
note_other_blas() {
    local config
    config=$(pkg-config --variable=openblas_config openblas)
    if [[ -n "$config" && "$config" != *USE_OPENMP=1* ]]; then
        echo "setup: note: OpenBLAS here is not its OpenMP build. attnspan works with it; where both" \
            "are installed, 'update-alternatives --config libopenblas.so-$(uname -m)-linux-gnu' and" \
            "the same for libopenblas.so.0 choose."
    fi
}

find_missing
if ((${#missing[@]} > 0)); then
    if ! has_command apt-get; then
        explain_by_hand
        exit 1
    fi
    if ((EUID != 0)) && ! may_sudo; then
        echo "setup: missing: ${missing[*]}" >&2
        echo "setup: sudo is not here or not allowed; as root, run: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    echo "setup: installing ${missing[*]}" | fold -s -w 96
    if ! install_missing; then
        cat "$log" >&2
        echo "setup: installing failed (the log is above); as root, try: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    find_missing
    if ((${#missing[@]} > 0)); then
        cat "$log" >&2
        echo "setup: still missing after installing: ${missing[*]}" >&2
        exit 1
    fi
fi
check_cmake_version
note_other_blas
echo "setup: everything needed is installed"
