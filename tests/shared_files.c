#define _POSIX_C_SOURCE 200809L

#include "shared_files.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"
#include "scratch.h"
#include "tensor.h"

enum { PATHS = 4 };

static char folder[ATTN_SCRATCH_BYTES];
static int own_rank, all_ranks;

void attn_shared_begin(int *rank, int *ranks) {
    MPI_Comm_rank(MPI_COMM_WORLD, &own_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &all_ranks);
    if (own_rank == 0) attn_scratch_create(folder);
    MPI_Bcast(folder, (int)sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    *rank = own_rank;
    *ranks = all_ranks;
}

void attn_shared_end(void) {
    MPI_Barrier(MPI_COMM_WORLD);
    if (own_rank == 0) attn_scratch_remove(folder);
    MPI_Barrier(MPI_COMM_WORLD);
}

const char *attn_shared_folder(void) {
    return folder;
}

const char *attn_shared_path(const char *name) {
    static char paths[PATHS][ATTN_SCRATCH_BYTES * 2];
    static int next;
    char *path = paths[next++ % PATHS];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void attn_shared_share(int64_t elems, int64_t *first, int64_t *count) {
    *first = elems * own_rank / all_ranks;
    *count = elems * (own_rank + 1) / all_ranks - *first;
}

float attn_shared_value(int64_t i) {
    return (float)(i % 251) - 125;
}

void attn_shared_write_npy(const char *path, int32_t dims, const int64_t *shape, int64_t other,
                           float value) {
    unsigned char *file;
    size_t begin;
    int64_t bytes;

    if (!attn_tensor_bytes(dims, shape, ATTN_DTYPE_F32, &bytes)) abort();
    file = calloc(1, ATTN_NPY_HEADER_BYTES + (size_t)bytes);
    if (file == NULL) abort();
    begin = attn_npy_header(dims, shape, (char *)file);
    for (int64_t i = 0; i < bytes / 4; i++) {
        const float elem = i == other ? value : attn_shared_value(i);

        memcpy(file + begin + 4 * i, &elem, sizeof elem);
    }
    attn_scratch_write(path, file, begin + (size_t)bytes);
    free(file);
}

void attn_shared_set(const char *variable, const char *value) {
    if (value != NULL)
        setenv(variable, value, 1);
    else
        unsetenv(variable);
}

int attn_shared_same_error(const attn_error *error) {
    attn_error first = *error;

    MPI_Bcast(&first, (int)sizeof first, MPI_BYTE, 0, MPI_COMM_WORLD);
    return first.status == error->status && strcmp(first.message, error->message) == 0;
}
