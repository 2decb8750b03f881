/* status.h: making, agreeing on and passing up failures (internal side of
 * attnspan/status.h). */
#ifndef ATTN_RUNTIME_STATUS_H
#define ATTN_RUNTIME_STATUS_H

#include <mpi.h>
#include <stddef.h>

#include "attnspan/status.h"

#if defined(__GNUC__)
#define ATTN_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define ATTN_PRINTF(format_index, first)
#endif

/* Fills `error` and returns `status`, so that a failure is one line:
 *     return attn_fail(error, ATTN_ERR_IO, "%s: %s", path, strerror(errno));
 * A message that does not fit is cut. */
attn_status attn_fail(attn_error *error, attn_status status, const char *format, ...)
    ATTN_PRINTF(3, 4);

/* error := success; returns ATTN_OK. */
attn_status attn_ok(attn_error *error);

/* Checks an MPI call; a failure ends the job with rank, file and line. */
#define ATTN_MPI(call) attn_mpi_check((call), #call, __FILE__, __LINE__)
void attn_mpi_check(int code, const char *call, const char *file, int line);

#endif
