/* cli_files.h: input files as the tests of the command need them, right and wrong
 * ones, and a look at what a run left behind.
 *
 * Headers are made by hand: the program's own writers have no say in what it reads. A
 * failure ends the program, as in scratch.h. */
#ifndef ATTN_TESTS_CLI_FILES_H
#define ATTN_TESTS_CLI_FILES_H

#include <stddef.h>
#include <stdint.h>

/* Writes a .npy file, version 1.0, with that header (a Python dict) and those bytes. */
void attn_cli_write_npy(const char *path, const char *header, const void *data, size_t bytes);

/* The same for fp32, with the honest header of a shape. */
void attn_cli_write_floats(const char *path, int dims, const int64_t *shape, const float *data);

/* Writes a safetensors file with that header (JSON) and those bytes. */
void attn_cli_write_safetensors(const char *path, const char *header, const void *data,
                                size_t bytes);

/* The same for fp32 tensors one behind the other. A vector has 0 columns. */
typedef struct attn_cli_tensor {
    const char *name;
    int64_t rows, columns;
    const float *data;
} attn_cli_tensor;
void attn_cli_write_tensors(const char *path, const attn_cli_tensor *tensors, size_t count);

/* Elements of an fp32 tensor file by reference, in a new buffer which the caller frees;
 * NULL when there is none. `shape` (ATTN_MAX_DIMS) and `dims` may be NULL. */
float *attn_cli_read_floats(const char *reference, int32_t *dims, int64_t *shape, int64_t *elems);

/* Whether two files hold the same bytes (false when one does not exist). */
int attn_cli_same_files(const char *left, const char *right);

/* Number of files, of any name, below a folder; 0 when it does not exist. */
int attn_cli_files_below(const char *folder);

#endif
