# shellcheck shell=bash
# To be sourced by the jobs beside it: how Slurm starts ranks.

# shellcheck source=scripts/mpi_faults.sh
source scripts/mpi_faults.sh

# A rank's threads stay on its cores, side by side.
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
export OMP_PLACES=cores
export OMP_PROC_BIND=close

# launch RANKS COMMAND...: on as few nodes of the job as hold them, neighbours together. Open MPI
# finds its other ranks by PMIx.
launch() {
    local ranks=$1 per_node=$SLURM_NTASKS_PER_NODE status=0
    shift
    ((ranks >= per_node)) || per_node=$ranks
    srun --mpi=pmix --kill-on-bad-exit=1 --nodes=$(((ranks + per_node - 1) / per_node)) \
        --ntasks="$ranks" --ntasks-per-node="$per_node" --cpus-per-task="$SLURM_CPUS_PER_TASK" \
        --distribution=block:block --cpu-bind=cores "$@" || status=$?
    mpi_explain srun "$status"
}
