/* attnspan: the command. MPI is started first, because only MPI knows which of the
 * processes may speak. */
#include <mpi.h>
#include <stdio.h>

#include "agree.h"
#include "blas_core.h"
#include "cmdline.h"
#include "simulate.h"
#include "version.h"

static const attn_command commands[] = {
    {"run", "CONFIG", "compute", 1, 1, 0, attn_cmd_run},
    {"check", "CONFIG", "validate config and inputs; compute nothing", 1, 1, 0, attn_cmd_check},
    {"plan", "CONFIG", "who holds what, bytes, predicted time, for any P", 1, 0,
     ATTN_TAKES_JSON | ATTN_TAKES_RANKS, attn_cmd_plan},
    {"bench", "CONFIG", "time the points of a sweep", 1, 1, ATTN_TAKES_CALIBRATE, attn_cmd_bench},
    {"info", "", "version, CPU, kernel, BLAS, MPI, measured rates", 0, 0,
     ATTN_TAKES_JSON | ATTN_TAKES_SUPPORT, attn_cmd_info},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static attn_status run(int argc, char **argv, int rank, attn_error *error) {
    attn_cmdline cmdline;

    attn_cmdline_parse(argc, argv, commands, COMMANDS, &cmdline, error);
    if (attn_agree(MPI_COMM_WORLD, "cmdline", error) == ATTN_OK) {
        if (cmdline.version) {
            if (rank == 0) printf("attnspan %s\n", ATTN_VERSION);
        } else if (cmdline.help) {
            if (rank == 0) attn_cmdline_help(&cmdline, commands, COMMANDS);
        } else {
            cmdline.command->run(MPI_COMM_WORLD, &cmdline, error);
        }
    }
    attn_cmdline_free(&cmdline);
    return error->status;
}

int main(int argc, char **argv) {
    attn_error error;
    attn_status status;
    int provided, rank;

    if (!ATTN_SIMULATED) attn_blas_core_correct(argv); /* no rank is a process there */
    /* OpenMP threads compute while the main thread alone calls MPI. An MPI that promises
     * less than FUNNELED still works when it does not look. */
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    ATTN_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    ATTN_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
    status = run(argc, argv, rank, &error);
    if (rank == 0 && status != ATTN_OK) {
        fflush(stdout);
        fprintf(stderr, "attnspan: error: %s\n", error.message);
    }
    MPI_Finalize();
    return attn_status_exit(status);
}
