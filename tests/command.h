/* command.h: runs the attnspan command as its users do, and keeps what it said.
 *
 * No shell is in between. A command that outlives its limit is killed with all that
 * it started. A failure to start one ends the program: without the command a test
 * says nothing. */
#ifndef ATTN_TESTS_COMMAND_H
#define ATTN_TESTS_COMMAND_H

#include <stddef.h>

typedef struct attn_command_request {
    int ranks;                      /* of mpirun; 0: without mpirun */
    const char *const *arguments;   /* of attnspan, ended by NULL */
    const char *const *environment; /* NAME=VALUE, ended by NULL; NULL: nothing is added */
    const char *folder;             /* to work in; NULL: this program's */
    double limit_sec;               /* 0: 20 */
} attn_command_request;

typedef struct attn_command_result {
    int exit_status; /* 128 + signal where a signal ended it */
    int timed_out;   /* whether it was killed at its limit */
    double seconds;
    char *out, *err; /* owned */
} attn_command_result;

/* Runs the command to its end. What mpirun needs to start more ranks than cores,
 * and one OpenMP thread a rank, is in its environment unless something else is. */
void attn_command_run(const attn_command_request *request, attn_command_result *result);

/* Runs it and says whether it succeeded; shows stderr when it did not. */
int attn_command_succeeds(const attn_command_request *request);

void attn_command_free(attn_command_result *result);

/* The arguments of a command. */
#define ATTN_ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Copies the message behind the first "attnspan: error: " on stderr to `message`, cut
 * to `bytes`; returns how many lines begin so. (mpirun adds lines of its own.) */
int attn_command_errors(const attn_command_result *result, char *message, size_t bytes);

#endif
