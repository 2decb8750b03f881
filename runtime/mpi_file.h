/* mpi_file.h: a rank's own handle of a file, through MPI-IO.
 *
 * Every rank opens the file for itself (MPI_COMM_SELF), for two reasons: reads and
 * writes are independent anyhow, and a shared open that fails on one rank alone
 * would leave the others with a handle whose close waits for it.
 *
 * Failures are ATTN_ERR_IO and name the file and the rank; none aborts. Nothing
 * here is collective. */
#ifndef ATTN_RUNTIME_MPI_FILE_H
#define ATTN_RUNTIME_MPI_FILE_H

#include <mpi.h>
#include <stdint.h>

#include "status.h"

typedef struct attn_mpi_file {
    MPI_File handle;    /* owned; MPI_FILE_NULL when closed */
    const char *shown;  /* borrowed: the path in messages */
    int rank;           /* in messages */
    int64_t most_bytes; /* of one transfer; fits an int */
} attn_mpi_file;

/* Opens `path`; `mode` is MPI_MODE_RDONLY or MPI_MODE_WRONLY. `shown` outlives the
 * handle. On failure the file is closed. */
attn_status attn_mpi_file_open(const char *path, int mode, const char *shown, int rank,
                               attn_mpi_file *file, attn_error *error);

attn_status attn_mpi_file_size(const attn_mpi_file *file, int64_t *bytes, attn_error *error);

/* Reads or writes exactly [offset, offset + bytes), in pieces. */
attn_status attn_mpi_file_read(const attn_mpi_file *file, int64_t offset, int64_t bytes,
                               void *buffer, attn_error *error);
attn_status attn_mpi_file_write(const attn_mpi_file *file, int64_t offset, int64_t bytes,
                                const void *data, attn_error *error);

attn_status attn_mpi_file_sync(const attn_mpi_file *file, attn_error *error);

/* Closes, also when it fails. A closed file is legal. */
attn_status attn_mpi_file_close(attn_mpi_file *file, attn_error *error);

#endif
