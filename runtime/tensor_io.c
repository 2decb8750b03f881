/* Parallel tensor files.
 *
 * Reading: each rank opens the file for itself, all agree, each reads what it needs.
 * Writing: rank 0 makes a temporary file with its header and its full size; all agree;
 * each rank opens it for itself; all agree; the ranks write their elements and sync;
 * all agree; rank 0 renames; all agree.
 * Cost: each element crosses the file system once; a reader that converts has a
 * buffer of 1 MiB.
 */
#define _POSIX_C_SOURCE 200809L

#include "tensor_io.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agree.h"
#include "file.h"
#include "memory.h"
#include "mpi_file.h"
#include "npy.h"

enum { BUFFER_BYTES = 1 << 20 };

struct attn_tensor_reader {
    attn_tensor tensor;
    attn_mpi_file file; /* owned */
    void *buffer;       /* owned: BUFFER_BYTES as they are in the file; NULL for fp32 */
    int allows_minus_infinity;
};

struct attn_tensor_writer {
    char path[ATTN_PATH_BYTES];
    char temporary[ATTN_PATH_BYTES]; /* "" when there is none to remove */
    MPI_Comm comm;                   /* owned */
    int rank;                        /* in comm */
    attn_mpi_file file;              /* owned */
    int64_t offset_bytes;            /* of the first element */
    int64_t elems;
    attn_error failure; /* of the first write that failed here */
};

/* Rank 0 checked the file that it sees; this rank's may be another of that name. */
static attn_status check_length(const attn_tensor_reader *reader, attn_error *error) {
    const attn_tensor *tensor = &reader->tensor;
    int64_t wanted =
        tensor->offset_bytes + attn_tensor_elems(tensor) * attn_dtype_bytes(tensor->dtype);
    int64_t bytes;

    if (attn_mpi_file_size(&reader->file, &bytes, error) != ATTN_OK) return error->status;
    if (bytes < wanted)
        return attn_fail(error, ATTN_ERR_IO,
                         "%s: rank %d sees only %" PRId64 " bytes; all ranks must see %" PRId64,
                         tensor->path, reader->file.rank, bytes, wanted);
    return attn_ok(error);
}

/* This rank's part of the opening. */
static attn_status open_reader(attn_tensor_reader *reader, MPI_Comm comm, attn_error *error) {
    const char *path = reader->tensor.path;
    int rank;

    if (reader->tensor.dtype != ATTN_DTYPE_F32) {
        reader->buffer = attn_alloc(BUFFER_BYTES, 1);
        if (reader->buffer == NULL)
            return attn_fail(error, ATTN_ERR_MEMORY, "%s: no memory for a buffer", path);
    }
    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    if (attn_mpi_file_open(path, MPI_MODE_RDONLY, path, rank, &reader->file, error) != ATTN_OK)
        return error->status;
    return check_length(reader, error);
}

attn_status attn_tensor_reader_open(MPI_Comm comm, const attn_tensor *tensor,
                                    attn_tensor_reader **reader, attn_error *error) {
    attn_tensor_reader *made = calloc(1, sizeof *made);

    *reader = NULL;
    if (made == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "%s: no memory for a reader", tensor->path);
    } else {
        made->tensor = *tensor;
        made->file.handle = MPI_FILE_NULL;
        open_reader(made, comm, error);
    }
    if (attn_agree(comm, "open", error) != ATTN_OK) {
        attn_tensor_reader_close(made);
        return error->status;
    }
    *reader = made;
    return ATTN_OK;
}

void attn_tensor_reader_close(attn_tensor_reader *reader) {
    attn_error ignored; /* what was read is read */

    if (reader == NULL) return;
    attn_mpi_file_close(&reader->file, &ignored);
    free(reader->buffer);
    free(reader);
}

/* "[3, 17]" for element 3 * shape[1] + 17. */
static void format_index(const attn_tensor *tensor, int64_t elem, char *text, size_t text_bytes) {
    int64_t index[ATTN_MAX_DIMS];
    size_t used = 1;

    for (int32_t i = tensor->dims; i-- > 0;) {
        index[i] = elem % tensor->shape[i];
        elem /= tensor->shape[i];
    }
    text[0] = '[';
    for (int32_t i = 0; i < tensor->dims; i++) {
        int bytes =
            snprintf(text + used, text_bytes - used, "%s%" PRId64, i == 0 ? "" : ", ", index[i]);
        used += (size_t)bytes;
    }
    snprintf(text + used, text_bytes - used, "]");
}

static attn_status fail_element(const attn_tensor *tensor, int64_t elem, const void *value,
                                attn_error *error) {
    char index[ATTN_MAX_DIMS * 22 + 3], defect[ATTN_DEFECT_BYTES];

    format_index(tensor, elem, index, sizeof index);
    attn_dtype_defect(tensor->dtype, value, defect);
    return attn_fail(error, ATTN_ERR_INPUT,
                     "%s%s%s: element %s is %s; all elements must be finite in fp32", tensor->path,
                     tensor->name[0] != '\0' ? "#" : "", tensor->name, index, defect);
}

void attn_tensor_reader_allow_minus_infinity(attn_tensor_reader *reader) {
    reader->allows_minus_infinity = 1;
}

/* Converts elements to fp32; index of the first that the reader refuses, or `count`. */
static int64_t convert(const attn_tensor_reader *reader, const char *piece, int64_t count,
                       float *out) {
    const attn_dtype dtype = reader->tensor.dtype;
    int64_t at = attn_dtype_to_fp32(dtype, piece, count, out);

    while (reader->allows_minus_infinity && at < count) {
        if (isfinite(out[at]) ||
            attn_dtype_is_minus_infinity(dtype, piece + at * attn_dtype_bytes(dtype)))
            at++;
        else
            break;
    }
    return at;
}

attn_status attn_tensor_reader_read(attn_tensor_reader *reader, int64_t first, int64_t count,
                                    float *out, attn_error *error) {
    const attn_tensor *tensor = &reader->tensor;
    int64_t elem_bytes = attn_dtype_bytes(tensor->dtype);
    int64_t piece_elems = reader->buffer != NULL ? BUFFER_BYTES / elem_bytes : count;
    int64_t elems;

    assert(first >= 0 && count >= 0 && count <= attn_tensor_elems(tensor) - first);
    for (int64_t done = 0; done < count; done += elems) {
        char *piece = reader->buffer != NULL ? reader->buffer : (char *)(out + done);
        int64_t finite;
        elems = count - done < piece_elems ? count - done : piece_elems;
        if (attn_mpi_file_read(&reader->file, tensor->offset_bytes + (first + done) * elem_bytes,
                               elems * elem_bytes, piece, error) != ATTN_OK)
            return error->status;
        finite = convert(reader, piece, elems, out + done);
        if (finite < elems)
            return fail_element(tensor, first + done + finite, piece + finite * elem_bytes, error);
    }
    return attn_ok(error);
}

/* Rank 0 removes the file after all ranks have closed it, and all return after it
 * is gone. The removal of a file that nobody reads may fail without harm. */
static void remove_temporary(MPI_Comm comm, int rank, const char *temporary) {
    ATTN_MPI(MPI_Barrier(comm));
    if (rank == 0 && temporary[0] != '\0') unlink(temporary);
    ATTN_MPI(MPI_Barrier(comm));
}

/* Rank 0's part of the creation. What is begun stays, for remove_temporary. */
static attn_status begin_file(attn_tensor_writer *writer, const char *header, attn_error *error) {
    const char *path = writer->path;
    int64_t bytes = writer->offset_bytes + writer->elems * (int64_t)sizeof(float);

    if (attn_file_begin(path, writer->temporary, error) != ATTN_OK ||
        attn_file_reserve(writer->temporary, path, bytes, error) != ATTN_OK)
        return error->status;
    return attn_file_write(writer->temporary, path, header, (size_t)writer->offset_bytes, error);
}

/* What each rank knows without the file system. */
static attn_status size_writes(attn_tensor_writer *writer, MPI_Comm comm, const char *path,
                               int32_t dims, const int64_t *shape, char *header,
                               attn_error *error) {
    int64_t bytes;

    writer->file.handle = MPI_FILE_NULL;
    ATTN_MPI(MPI_Comm_rank(comm, &writer->rank));
    if (strlen(path) >= sizeof writer->path)
        return attn_fail(error, ATTN_ERR_IO, "%.64s...: the path is too long", path);
    snprintf(writer->path, sizeof writer->path, "%s", path);
    if (dims < 0 || dims > ATTN_MAX_DIMS ||
        !attn_tensor_bytes(dims, shape, ATTN_DTYPE_F32, &bytes) ||
        bytes > INT64_MAX - ATTN_NPY_HEADER_BYTES)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: its shape is too large; its bytes must be countable in 64 bits",
                         path);
    writer->elems = bytes / (int64_t)sizeof(float);
    writer->offset_bytes = (int64_t)attn_npy_header(dims, shape, header);
    return attn_ok(error);
}

attn_status attn_tensor_writer_create(MPI_Comm comm, const char *path, int32_t dims,
                                      const int64_t *shape, attn_tensor_writer **writer,
                                      attn_error *error) {
    attn_tensor_writer *made = calloc(1, sizeof *made);
    char header[ATTN_NPY_HEADER_BYTES];

    *writer = NULL;
    if (made == NULL)
        attn_fail(error, ATTN_ERR_MEMORY, "%.512s: no memory for a writer", path);
    else if (size_writes(made, comm, path, dims, shape, header, error) == ATTN_OK &&
             made->rank == 0)
        begin_file(made, header, error);
    /* Before the others look for the file. A rank may have no writer here: so no
     * communicator of its own yet, and no destroy. */
    if (attn_agree(comm, "output", error) != ATTN_OK) {
        if (made != NULL && made->temporary[0] != '\0') unlink(made->temporary);
        free(made);
        ATTN_MPI(MPI_Barrier(comm)); /* gone for every rank */
        return error->status;
    }
    ATTN_MPI(MPI_Comm_dup(comm, &made->comm));
    ATTN_MPI(MPI_Bcast(made->temporary, ATTN_PATH_BYTES, MPI_CHAR, 0, made->comm));
    attn_mpi_file_open(made->temporary, MPI_MODE_WRONLY, made->path, made->rank, &made->file,
                       error);
    if (attn_agree(made->comm, "output", error) != ATTN_OK) {
        attn_tensor_writer_destroy(made);
        return error->status;
    }
    *writer = made;
    return ATTN_OK;
}

attn_status attn_tensor_writer_write(attn_tensor_writer *writer, int64_t first, int64_t count,
                                     const float *data, attn_error *error) {
    int64_t elem_bytes = (int64_t)sizeof *data;

    assert(writer->file.handle != MPI_FILE_NULL);
    assert(first >= 0 && count >= 0 && count <= writer->elems - first);
    if (attn_mpi_file_write(&writer->file, writer->offset_bytes + first * elem_bytes,
                            count * elem_bytes, data, error) != ATTN_OK &&
        writer->failure.status == ATTN_OK)
        writer->failure = *error;
    return error->status;
}

/* Syncs and closes this rank's handle; *error has the first thing that went wrong. */
static void finish_writes(attn_tensor_writer *writer, attn_error *error) {
    attn_error closing;

    *error = writer->failure;
    if (error->status == ATTN_OK) attn_mpi_file_sync(&writer->file, error);
    if (attn_mpi_file_close(&writer->file, &closing) != ATTN_OK && error->status == ATTN_OK)
        *error = closing;
}

attn_status attn_tensor_writer_commit(attn_tensor_writer *writer, attn_error *error) {
    assert(writer->file.handle != MPI_FILE_NULL);
    finish_writes(writer, error);
    if (attn_agree(writer->comm, "write", error) != ATTN_OK) {
        remove_temporary(writer->comm, writer->rank, writer->temporary);
        writer->temporary[0] = '\0';
        return error->status;
    }
    if (writer->rank == 0) attn_file_commit(writer->temporary, writer->path, error);
    writer->temporary[0] = '\0'; /* renamed, or removed by the failed commit */
    return attn_agree(writer->comm, "write", error);
}

void attn_tensor_writer_destroy(attn_tensor_writer *writer) {
    attn_error ignored; /* the file is removed */

    if (writer == NULL) return;
    attn_mpi_file_close(&writer->file, &ignored);
    if (writer->temporary[0] != '\0')
        remove_temporary(writer->comm, writer->rank, writer->temporary);
    ATTN_MPI(MPI_Comm_free(&writer->comm));
    free(writer);
}
