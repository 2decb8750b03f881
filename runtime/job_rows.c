#include "job_rows.h"

#include "agree.h"
#include "buffers.h"
#include "synthetic.h"

int64_t attn_rows_view_elems(const attn_rows_view *view) {
    return attn_elems(view->outer, view->rows.count, view->width);
}

/* The i-th piece, of outer · runs: elements that are consecutive in the whole tensor and in own
 * rows. */
typedef struct piece {
    int64_t in_tensor, in_own, elems;
} piece;

static int64_t piece_count(const attn_rows_view *view) {
    return view->outer * view->rows.run_count;
}

/* To be called for i = 0, 1, …, with the piece before; that before the first is zero. */
static piece next_piece(const attn_rows_view *view, int64_t i, piece before) {
    const attn_rows *run = &view->rows.runs[i % view->rows.run_count];
    int64_t outer = i / view->rows.run_count;

    return (piece){(outer * view->length + run->first) * view->width, before.in_own + before.elems,
                   run->count * view->width};
}

attn_status attn_rows_view_read(const attn_rows_view *view, MPI_Comm comm,
                                const attn_tensor *tensor, float *data, attn_error *error) {
    attn_tensor_reader *reader;
    piece own = {0};

    if (attn_tensor_reader_open(comm, tensor, &reader, error) != ATTN_OK) return error->status;
    for (int64_t i = 0; i < piece_count(view) && error->status == ATTN_OK; i++) {
        own = next_piece(view, i, own);
        attn_tensor_reader_read(reader, own.in_tensor, own.elems, data + own.in_own, error);
    }
    attn_tensor_reader_close(reader);
    return attn_agree(comm, "load", error);
}

void attn_rows_view_generate(const attn_rows_view *view, int64_t seed, int32_t tensor,
                             float *data) {
    piece own = {0};

    for (int64_t i = 0; i < piece_count(view); i++) {
        own = next_piece(view, i, own);
        attn_synthetic_fill(seed, tensor, own.in_tensor, own.elems, 1.0f, data + own.in_own);
    }
}

attn_status attn_rows_view_write(const attn_rows_view *view, attn_tensor_writer *writer,
                                 const float *data, attn_error *error) {
    piece own = {0};

    attn_ok(error);
    for (int64_t i = 0; i < piece_count(view) && error->status == ATTN_OK; i++) {
        own = next_piece(view, i, own);
        attn_tensor_writer_write(writer, own.in_tensor, own.elems, data + own.in_own, error);
    }
    return error->status;
}
