# shellcheck shell=bash
# To be sourced: lets mpirun start more ranks than this machine has cores, as root or not.
#
#     source scripts/mpi_env.sh
#
# For one machine only. On a cluster, with a core or more for each rank, leave it out: there
# ranks should be bound to their cores, and should not yield.
# The first name of a pair is Open MPI 4's, the second Open MPI 5's; other MPIs ignore both.

export OMPI_MCA_rmaps_base_oversubscribe=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe

# Without these, a waiting rank spins on a core that another one needs.
export OMPI_MCA_mpi_yield_when_idle=1
export OMPI_MCA_hwloc_base_binding_policy=none
export PRTE_MCA_hwloc_default_binding_policy=none
export OMP_WAIT_POLICY=passive

# Not to look for other networks than shared memory and TCP saves 0.2 s of each start.
export OMPI_MCA_pml=ob1

# Open MPI refuses to run as root unless told twice.
if [ "$(id -u)" -eq 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1
    export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
