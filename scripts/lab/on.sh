#!/usr/bin/env bash
# Runs a command on a host of a laboratory, in this folder, with this environment.
#
#     scripts/lab/on.sh HOST COMMAND...     HOST: h0, h1, ..., or head
#     scripts/lab/on.sh head mpirun --host h0,h1 hostname
#     scripts/lab/on.sh head sinfo          after slurm_up.sh
#
# The environment also has what Open MPI and Slurm need there.
# ATTNSPAN_LAB=NAME names the laboratory (default "lab"). Exit status: the command's; 2 wrong
# request; 3 no root, or the host is dead.
set -euo pipefail

# shellcheck source=scripts/lab/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ ${1:-} != --help ]] || { lab_usage && exit 0; }
(($# > 1)) || lab_fail 2 "a host and a command, please; --help explains"
lab_require_up
lab_require_host "$1"
if [[ -e $lab_state/slurm/slurm.conf ]]; then export SLURM_CONF=$lab_state/slurm/slurm.conf; fi
lab_mpi_environment
lab_enter "$@"
