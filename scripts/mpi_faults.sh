# shellcheck shell=bash
# To be sourced: a rank, host or link that is lost ends an mpirun in bounded time, and says so.
#
#     source scripts/mpi_faults.sh
#     mpi_bounded 3600 mpirun -n 8 ...
#
# Open MPI 4 looks after its own connections between nodes only by TCP's keepalive, whose usual
# times let a job with a dead link hang for minutes. These settings make it notice within
# ten seconds, while a link that is back after two does no harm.

export OMPI_MCA_oob_tcp_keepalive_time=1
export OMPI_MCA_oob_tcp_keepalive_intvl=1
export OMPI_MCA_oob_tcp_keepalive_probes=5

# Daemons that stay attached to mpirun: one that cannot call back from its host ends the run,
# where mpirun would else wait for it for ever.
export OMPI_MCA_orte_leave_session_attached=1

# mpi_bounded SECONDS COMMAND...: runs an mpirun for at most that long and returns its status: 0,
# attnspan's own 2, 3 or 4, or 3 with a line that says what was lost.
mpi_bounded() {
    local limit=$1 status=0
    shift
    timeout --foreground -k 10 "$limit" "$@" || status=$?
    mpi_explain "$1" "$status" "$limit"
}

# mpi_explain LAUNCHER STATUS [SECONDS]: that line and that status, for one that has ended.
mpi_explain() {
    local what
    case $2 in
        0 | 2 | 3 | 4) return "$2" ;;
        1) what="$1 or the program has failed, as said above" ;;
        110 | 124) what="not done after the ${3:-} s that it was given" ;;
        130 | 141 | 143)
            what="the run was told to stop"
            (($2 != 141)) || what="a rank has lost its connection to another"
            # The highest status of all ranks: the others were told to stop, or wrote to the one
            # that was lost (SIGPIPE, 141) before they could be told.
            [[ $1 != srun ]] || what="a rank was lost, as said above, and the others stopped"
            ;;
        134) what="a rank has aborted" ;;
        137) what="a rank was killed (signal 9: by hand, or for the memory it used)" ;;
        135 | 136 | 139) what="a rank has crashed (signal $(($2 - 128)))" ;;
        205) what="a host or its link was lost" ;;
        *) what="a rank or host was lost" ;;
    esac
    echo "attnspan: error: $what ($1 exit $2); every rank was ended" >&2
    return 3
}
