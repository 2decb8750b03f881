# shellcheck shell=bash
# To be sourced: a rank, host or link that is lost ends an mpirun in bounded time, and says so.
#
#     source scripts/mpi_faults.sh
#     mpi_bounded 3600 mpirun -n 8 ...
#
# Open MPI 4 looks after its own connections between nodes only by TCP's keepalive, whose usual
# times let a job with a dead link hang for minutes. These three settings make it notice after
# about five seconds.

export OMPI_MCA_oob_tcp_keepalive_time=1
export OMPI_MCA_oob_tcp_keepalive_intvl=1
export OMPI_MCA_oob_tcp_keepalive_probes=2

# mpi_bounded SECONDS COMMAND...: runs an mpirun for at most that long and returns its status: 0,
# attnspan's own 2, 3 or 4, or 3 with a line that says what was lost.
mpi_bounded() {
    local limit=$1 status=0
    shift
    timeout --foreground -k 10 "$limit" "$@" || status=$?
    mpi_explain "$status" "$limit"
}

# mpi_explain STATUS SECONDS: that line and that status, for an mpirun that has ended.
mpi_explain() {
    local what
    case $1 in
        0 | 2 | 3 | 4) return "$1" ;;
        1) what="mpirun or the program has failed, as said above" ;;
        110 | 124) what="not done after the $2 s that it was given" ;;
        130 | 143) what="the run was told to stop" ;;
        134) what="a rank has aborted" ;;
        137) what="a rank was killed (signal 9: by hand, or for the memory it used)" ;;
        135 | 136 | 139) what="a rank has crashed (signal $(($1 - 128)))" ;;
        205) what="a host or its link was lost" ;;
        *) what="a rank or host was lost" ;;
    esac
    echo "attnspan: error: $what (mpirun exit $1); every rank was ended" >&2
    return 3
}
