/* job_rows.h: own rows of a tensor [outer][length][width], of which this rank holds
 * [outer][rows.count][width]: read, generate, write, in one piece for each run of rows.
 */
#ifndef ATTN_RUNTIME_JOB_ROWS_H
#define ATTN_RUNTIME_JOB_ROWS_H

#include "attnspan/plan.h"
#include "tensor_io.h"

typedef struct attn_rows_view {
    int64_t outer;  /* batch items, times heads where the tensor has heads */
    int64_t length; /* rows of the whole tensor */
    int64_t width;
    attn_row_list rows; /* own; borrowed from the plan */
} attn_rows_view;

/* Elements that this rank holds. Not collective. */
int64_t attn_rows_view_elems(const attn_rows_view *view);

/* Reads them from a file. Collective; agreed on at the boundary "load". */
attn_status attn_rows_view_read(const attn_rows_view *view, MPI_Comm comm,
                                const attn_tensor *tensor, float *data, attn_error *error);

/* Makes them by synthetic.h. Not collective. */
void attn_rows_view_generate(const attn_rows_view *view, int64_t seed, int32_t tensor, float *data);

/* Writes them. Not collective; the writer keeps a failure for its commit. */
attn_status attn_rows_view_write(const attn_rows_view *view, attn_tensor_writer *writer,
                                 const float *data, attn_error *error);

#endif
