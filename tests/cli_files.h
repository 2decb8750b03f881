/* cli_files.h: the folder in which a test of the command works: input files, right and
 * wrong ones, and a look at what a run left behind.
 *
 * Headers are made by hand: the program's own writers have no say in what it reads. A
 * failure ends the program, as in scratch.h. */
#ifndef ATTN_TESTS_CLI_FILES_H
#define ATTN_TESTS_CLI_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "tensor.h" /* ATTN_MAX_DIMS */

/* Makes the folder, and removes it with all in it. One at a time. */
void attn_cli_begin(void);
void attn_cli_end(void);
const char *attn_cli_folder(void);

/* The path of a name in the folder, good until the fourth call after. */
const char *attn_cli_path(const char *name);

/* Writes a text file of that name in the folder; whether it holds that text. */
void attn_cli_write_text(const char *name, const char *text);
int attn_cli_holds_text(const char *name, const char *text);

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

/* The same with elements of another type: fp32, fp16 or bf16. Of numbers that the type
 * holds exactly, zeros and normal ones. */
void attn_cli_write_tensors_as(const char *path, attn_dtype dtype, const attn_cli_tensor *tensors,
                               size_t count);
uint16_t attn_cli_bf16_of(float value);
uint16_t attn_cli_fp16_of(float value);

/* Elements of an fp32 tensor file by reference, in a new buffer which the caller frees;
 * NULL when there is none. `shape` (ATTN_MAX_DIMS) and `dims` may be NULL. */
float *attn_cli_read_floats(const char *reference, int32_t *dims, int64_t *shape, int64_t *elems);

/* Whether two files hold the same bytes (false when one does not exist). */
int attn_cli_same_files(const char *left, const char *right);

/* Number of files, of any name, below a path; 0 when it does not exist. */
int attn_cli_files_below(const char *path);

#endif
