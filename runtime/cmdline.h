/* cmdline.h: the command line. */
#ifndef ATTN_RUNTIME_CMDLINE_H
#define ATTN_RUNTIME_CMDLINE_H

#include <mpi.h>
#include <stdint.h>

#include "status.h"

typedef struct attn_cmdline attn_cmdline;

/* Options of some commands. */
enum {
    ATTN_TAKES_JSON = 1,
    ATTN_TAKES_RANKS = 2,
    ATTN_TAKES_CALIBRATE = 4,
    ATTN_TAKES_SUPPORT = 8
};

/* A command is a row of one table in main.c. */
typedef struct attn_command {
    const char *name;
    const char *arguments; /* "CONFIG [options]" or "" */
    const char *summary;   /* one line of --help */
    int needs_config, needs_mpirun;
    unsigned takes; /* options that not all commands have */

    /* Collective on `comm`; prints its own results, but no error. */
    attn_status (*run)(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error);
} attn_command;

struct attn_cmdline {
    const attn_command *command; /* NULL: --help or --version */
    int help, version;
    int json;              /* info, plan: print JSON */
    int support;           /* info: print what works with what */
    int64_t ranks, nodes;  /* plan: of ranks that are not here; 0: not given */
    const char *calibrate; /* bench: the file that gets the machine's rates; NULL: not given */
    const char *config;    /* path, borrowed from argv */
    const char **sets;     /* owned list of borrowed strings */
    int set_count;
    const char *output_dir; /* NULL: the working directory */
};

/* Parses argv; options may stand anywhere. Not collective. ATTN_ERR_USAGE,
 * ATTN_ERR_MEMORY. */
attn_status attn_cmdline_parse(int argc, char **argv, const attn_command *commands,
                               size_t command_count, attn_cmdline *cmdline, attn_error *error);

/* Prints the help text: of cmdline->command, or of all. */
void attn_cmdline_help(const attn_cmdline *cmdline, const attn_command *commands,
                       size_t command_count);

void attn_cmdline_free(attn_cmdline *cmdline);

/* The commands. */
attn_status attn_cmd_run(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error);
attn_status attn_cmd_check(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error);
attn_status attn_cmd_bench(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error);
attn_status attn_cmd_plan(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error);
attn_status attn_cmd_calibrate(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error);
attn_status attn_cmd_info(MPI_Comm comm, const attn_cmdline *cmdline, attn_error *error);

#endif
