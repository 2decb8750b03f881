#include "job_rows.h"

#include "agree.h"
#include "buffers.h"
#include "synthetic.h"

int64_t attn_rows_view_elems(const attn_rows_view *view) {
    return attn_elems(view->outer, view->rows.count, view->width);
}

/* The i-th contiguous run: where it begins in the whole tensor and in own rows. */
static int64_t run_in_tensor(const attn_rows_view *view, int64_t i) {
    return (i * view->length + view->rows.first) * view->width;
}

static int64_t run_elems(const attn_rows_view *view) {
    return view->rows.count * view->width;
}

attn_status attn_rows_view_read(const attn_rows_view *view, MPI_Comm comm,
                                const attn_tensor *tensor, float *data, attn_error *error) {
    attn_tensor_reader *reader;

    if (attn_tensor_reader_open(comm, tensor, &reader, error) != ATTN_OK) return error->status;
    for (int64_t i = 0; i < view->outer && error->status == ATTN_OK; i++)
        attn_tensor_reader_read(reader, run_in_tensor(view, i), run_elems(view),
                                data + i * run_elems(view), error);
    attn_tensor_reader_close(reader);
    return attn_agree(comm, "load", error);
}

void attn_rows_view_generate(const attn_rows_view *view, int64_t seed, int32_t tensor,
                             float *data) {
    for (int64_t i = 0; i < view->outer; i++)
        attn_synthetic_fill(seed, tensor, run_in_tensor(view, i), run_elems(view), 1.0f,
                            data + i * run_elems(view));
}

attn_status attn_rows_view_write(const attn_rows_view *view, attn_tensor_writer *writer,
                                 const float *data, attn_error *error) {
    attn_ok(error);
    for (int64_t i = 0; i < view->outer && error->status == ATTN_OK; i++)
        attn_tensor_writer_write(writer, run_in_tensor(view, i), run_elems(view),
                                 data + i * run_elems(view), error);
    return error->status;
}
