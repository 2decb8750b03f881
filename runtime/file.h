/* file.h: reading input files, and output files that appear whole or not at all.
 * Not collective, no MPI. Failures are ATTN_ERR_INPUT when an input file does not
 * exist or is not a file, else ATTN_ERR_IO or ATTN_ERR_MEMORY. */
#ifndef ATTN_RUNTIME_FILE_H
#define ATTN_RUNTIME_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* Reads a whole file (or pipe) into a new buffer with a NUL behind it (not counted
 * in *bytes); refuses more than `max_bytes`. The caller frees *text. */
attn_status attn_file_read(const char *path, size_t max_bytes, char **text, size_t *bytes,
                           attn_error *error);

/* Opens a regular file for reading and says how long it is. The caller closes
 * *descriptor. */
attn_status attn_file_open(const char *path, int *descriptor, int64_t *bytes, attn_error *error);

/* Reads exactly [offset, offset + bytes) of a file opened by attn_file_open. */
attn_status attn_file_read_at(int descriptor, const char *path, int64_t offset, size_t bytes,
                              void *buffer, attn_error *error);

/* Makes the folders above `path`, and a new empty temporary file beside it whose
 * name goes to `temporary` (ATTN_PATH_BYTES). `path` need not exist; if it does,
 * it is a regular file (a symbolic link is replaced, not followed). */
attn_status attn_file_begin(const char *path, char *temporary, attn_error *error);

/* Whether that would do, with nothing left but the folders: for what is written in the end. */
attn_status attn_file_try(const char *path, attn_error *error);

/* Makes `temporary` `bytes` long, on disk when the file system can reserve space:
 * then later writes find room. The message speaks of `path`. On failure the caller
 * removes `temporary`; attn_file_write likewise. */
attn_status attn_file_reserve(const char *temporary, const char *path, int64_t bytes,
                              attn_error *error);

/* Writes `bytes` to the start of `temporary`; what lies behind stays. */
attn_status attn_file_write(const char *temporary, const char *path, const char *text, size_t bytes,
                            attn_error *error);

/* Syncs `temporary`, renames it to `path` and syncs the folder. Removes it on failure. */
attn_status attn_file_commit(const char *temporary, const char *path, attn_error *error);

/* Begin, write, commit in one. */
attn_status attn_file_replace(const char *path, const char *text, size_t bytes, attn_error *error);

#endif
