#include "agree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ATTNSPAN_INJECT=BOUNDARY:RANK or N:RANK: a failure that a test plants. */
static void inject_failure(MPI_Comm comm, const char *boundary, attn_error *error) {
    static long agreements; /* of this process so far */
    const char *wanted = getenv("ATTNSPAN_INJECT");
    const char *colon = wanted == NULL ? NULL : strchr(wanted, ':');
    size_t length = strlen(boundary);
    int rank;

    agreements++;
    if (colon == NULL) return;
    if (strtol(wanted, NULL, 10) != agreements &&
        ((size_t)(colon - wanted) != length || strncmp(wanted, boundary, length) != 0))
        return;
    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    if (strtol(colon + 1, NULL, 10) == rank)
        attn_fail(error, ATTN_ERR_IO, "%s: failure injected on rank %d", boundary, rank);
}

attn_status attn_agree(MPI_Comm comm, const char *boundary, attn_error *error) {
    struct {
        int status;
        int rank;
    } mine, worst;

    inject_failure(comm, boundary, error);
    ATTN_MPI(MPI_Comm_rank(comm, &mine.rank));
    mine.status = (int)error->status;
    /* MAXLOC prefers the lowest rank among equals. */
    ATTN_MPI(MPI_Allreduce(&mine, &worst, 1, MPI_2INT, MPI_MAXLOC, comm));
    if (worst.status == ATTN_OK) return attn_ok(error);
    ATTN_MPI(MPI_Bcast(error->message, (int)sizeof error->message, MPI_CHAR, worst.rank, comm));
    error->status = (attn_status)worst.status;
    return error->status;
}
