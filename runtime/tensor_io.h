/* tensor_io.h: parallel reading and writing of tensors through MPI-IO.
 *
 * Each rank reads or writes just the elements it names, converted to or from
 * fp32. Counts are 64-bit; a transfer is cut into pieces that fit MPI's int.
 * Collective calls return the same status and message on every rank; they agree
 * at the boundaries "open", "output" (create) and "write" (commit).
 */
#ifndef ATTN_RUNTIME_TENSOR_IO_H
#define ATTN_RUNTIME_TENSOR_IO_H

#include <mpi.h>

#include "tensor.h"

typedef struct attn_tensor_reader attn_tensor_reader;
typedef struct attn_tensor_writer attn_tensor_writer;

/* Opens the tensor's file for reading. Collective on `comm`; every rank passes the
 * same tensor and must see the same file. ATTN_ERR_IO: a rank cannot open it, or
 * sees a shorter one; ATTN_ERR_MEMORY. On failure *reader is NULL. */
attn_status attn_tensor_reader_open(MPI_Comm comm, const attn_tensor *tensor,
                                    attn_tensor_reader **reader, attn_error *error);

/* Reads elements [first, first + count) of the tensor (C order) into `out`, as
 * fp32. A NaN, an infinity, or an fp64 value beyond fp32 is ATTN_ERR_INPUT and
 * is named by its index; ATTN_ERR_IO: the read failed or the file ended early.
 * Not collective; count 0 reads nothing. */
attn_status attn_tensor_reader_read(attn_tensor_reader *reader, int64_t first, int64_t count,
                                    float *out, attn_error *error);

/* Lets elements be −infinity from now on: biases that hide a key. Not collective. */
void attn_tensor_reader_allow_minus_infinity(attn_tensor_reader *reader);

/* Collective; NULL is legal. */
void attn_tensor_reader_close(attn_tensor_reader *reader);

/* Starts an fp32 .npy file of that shape: makes the missing folders, creates a
 * temporary file beside `path`, reserves its full size, writes the header. What
 * cannot be written is found here. Collective on `comm`; rank 0's file system
 * view counts for the folders. ATTN_ERR_INPUT: the shape has no size in 64 bits;
 * ATTN_ERR_IO; ATTN_ERR_MEMORY. On failure *writer is NULL and nothing is left but
 * folders. */
attn_status attn_tensor_writer_create(MPI_Comm comm, const char *path, int32_t dims,
                                      const int64_t *shape, attn_tensor_writer **writer,
                                      attn_error *error);

/* Writes elements [first, first + count) from `data`. Not collective. The writer
 * keeps a failure: the commit then fails on every rank. */
attn_status attn_tensor_writer_write(attn_tensor_writer *writer, int64_t first, int64_t count,
                                     const float *data, attn_error *error);

/* Syncs the file and gives it its final name; until then the final path keeps
 * what it had. Collective. After a failure the temporary file is gone. Destroy is
 * all that may follow. */
attn_status attn_tensor_writer_commit(attn_tensor_writer *writer, attn_error *error);

/* Frees the writer; without a commit the temporary file is removed. Collective;
 * NULL is legal. */
void attn_tensor_writer_destroy(attn_tensor_writer *writer);

#endif
