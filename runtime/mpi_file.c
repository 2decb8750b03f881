#include "mpi_file.h"

#include <inttypes.h>

#include "transfer_limit.h"

/* Larger requests gain nothing, and some MPI-IO layers copy or pin them whole. */
enum { MOST_BYTES = 256 << 20 };

static attn_status fail_mpi(const attn_mpi_file *file, const char *what, int code,
                            attn_error *error) {
    char reason[MPI_MAX_ERROR_STRING] = "";
    int reason_bytes;

    if (MPI_Error_string(code, reason, &reason_bytes) != MPI_SUCCESS) reason[0] = '\0';
    return attn_fail(error, ATTN_ERR_IO, "%s: rank %d cannot %s: %s", file->shown, file->rank, what,
                     reason);
}

/* Errors of opening go to MPI_FILE_NULL's handler, which returns them by default;
 * those of the open file are told to do so. */
attn_status attn_mpi_file_open(const char *path, int mode, const char *shown, int rank,
                               attn_mpi_file *file, attn_error *error) {
    int64_t limit = attn_max_transfer_bytes();
    int code;

    file->shown = shown;
    file->rank = rank;
    file->most_bytes = limit < MOST_BYTES ? limit : MOST_BYTES;
    code = MPI_File_open(MPI_COMM_SELF, path, mode, MPI_INFO_NULL, &file->handle);
    if (code != MPI_SUCCESS) {
        file->handle = MPI_FILE_NULL;
        return fail_mpi(file, "open it", code, error);
    }
    ATTN_MPI(MPI_File_set_errhandler(file->handle, MPI_ERRORS_RETURN));
    return attn_ok(error);
}

attn_status attn_mpi_file_size(const attn_mpi_file *file, int64_t *bytes, attn_error *error) {
    MPI_Offset size;
    int code = MPI_File_get_size(file->handle, &size);

    if (code != MPI_SUCCESS) return fail_mpi(file, "learn its size", code, error);
    *bytes = (int64_t)size;
    return attn_ok(error);
}

static int next_piece(const attn_mpi_file *file, int64_t bytes) {
    return (int)(bytes < file->most_bytes ? bytes : file->most_bytes);
}

/* A read may give less than asked, but never nothing before the end of the file. */
attn_status attn_mpi_file_read(const attn_mpi_file *file, int64_t offset, int64_t bytes,
                               void *buffer, attn_error *error) {
    int got = 0;

    for (int64_t done = 0; done < bytes; done += got) {
        MPI_Status status;
        int code = MPI_File_read_at(file->handle, (MPI_Offset)offset + (MPI_Offset)done,
                                    (char *)buffer + done, next_piece(file, bytes - done), MPI_BYTE,
                                    &status);
        if (code != MPI_SUCCESS) return fail_mpi(file, "read it", code, error);
        ATTN_MPI(MPI_Get_count(&status, MPI_BYTE, &got));
        if (got == MPI_UNDEFINED || got <= 0)
            return attn_fail(error, ATTN_ERR_IO,
                             "%s: rank %d finds its end at byte %" PRId64 "; byte %" PRId64
                             " must be there: it became shorter while it was read",
                             file->shown, file->rank, offset + done, offset + bytes - 1);
    }
    return attn_ok(error);
}

attn_status attn_mpi_file_write(const attn_mpi_file *file, int64_t offset, int64_t bytes,
                                const void *data, attn_error *error) {
    int put = 0;

    for (int64_t done = 0; done < bytes; done += put) {
        MPI_Status status;
        int code = MPI_File_write_at(file->handle, (MPI_Offset)offset + (MPI_Offset)done,
                                     (const char *)data + done, next_piece(file, bytes - done),
                                     MPI_BYTE, &status);
        if (code != MPI_SUCCESS) return fail_mpi(file, "write it", code, error);
        ATTN_MPI(MPI_Get_count(&status, MPI_BYTE, &put));
        if (put == MPI_UNDEFINED || put <= 0)
            return attn_fail(error, ATTN_ERR_IO,
                             "%s: rank %d: the file takes nothing more at byte %" PRId64,
                             file->shown, file->rank, offset + done);
    }
    return attn_ok(error);
}

attn_status attn_mpi_file_sync(const attn_mpi_file *file, attn_error *error) {
    int code = MPI_File_sync(file->handle);

    return code == MPI_SUCCESS ? attn_ok(error) : fail_mpi(file, "sync it", code, error);
}

attn_status attn_mpi_file_close(attn_mpi_file *file, attn_error *error) {
    int code = file->handle == MPI_FILE_NULL ? MPI_SUCCESS : MPI_File_close(&file->handle);

    file->handle = MPI_FILE_NULL;
    return code == MPI_SUCCESS ? attn_ok(error) : fail_mpi(file, "close it", code, error);
}
