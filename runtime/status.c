#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *attn_status_name(attn_status status) {
    switch (status) {
#define ATTN_STATUS_CASE(name, exit_status, meaning) \
    case name:                                       \
        return #name;
        ATTN_STATUS_LIST(ATTN_STATUS_CASE)
#undef ATTN_STATUS_CASE
    }
    return "unknown status";
}

int attn_status_exit(attn_status status) {
    switch (status) {
#define ATTN_STATUS_CASE(name, exit_status, meaning) \
    case name:                                       \
        return exit_status;
        ATTN_STATUS_LIST(ATTN_STATUS_CASE)
#undef ATTN_STATUS_CASE
    }
    return 3;
}

attn_status attn_fail(attn_error *error, attn_status status, const char *format, ...) {
    va_list arguments;

    error->status = status;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}

attn_status attn_ok(attn_error *error) {
    error->status = ATTN_OK;
    error->message[0] = '\0';
    return ATTN_OK;
}

void attn_mpi_check(int code, const char *call, const char *file, int line) {
    char reason[MPI_MAX_ERROR_STRING] = "";
    int reason_bytes = 0;
    int rank = -1;

    if (code == MPI_SUCCESS) return;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Error_string(code, reason, &reason_bytes);
    fprintf(stderr, "attnspan: error: rank %d: %s:%d: %s: %s\n", rank, file, line, call, reason);
    MPI_Abort(MPI_COMM_WORLD, attn_status_exit(ATTN_ERR_MACHINE));
    abort(); /* MPI_Abort does not return; this tells the analysers so */
}
