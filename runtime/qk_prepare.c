#include "qk_prepare.h"

#include <stddef.h>
#include <string.h>

#include "row_list.h"
#include "simulate.h"

int attn_qk_prepare_wanted(const attn_problem *problem) {
    return problem->rope.dim > 0 || problem->qk_norm_eps > 0;
}

/* Copies of different threads share no cache line. */
static int64_t copy_elems(const attn_qk_prepare *self) {
    enum { LINE_FLOATS = 16 };
    return ((int64_t)self->dim + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

void attn_qk_prepare_plan(attn_qk_prepare *self, const attn_problem *problem, attn_row_list own,
                          int is_query, int threads, attn_buffers *buffers) {
    /* Given q and k are of one sequence, which the queries end, or begin, as the mask has it. */
    int from_start = problem->model_dim > 0 || problem->mask.causal == ATTN_CAUSAL_TOP_LEFT;
    int64_t ahead = from_start ? 0 : problem->kv_length - problem->length;

    *self = (attn_qk_prepare){
        .dim = problem->key_dim,
        .norm_eps = problem->qk_norm_eps,
        .rope = problem->rope,
        .rows = own,
        .offset = is_query ? ahead : 0,
    };
    if (self->rope.dim > 0)
        attn_buffers_reserve(buffers, attn_elems(own.count, self->rope.dim, 1), sizeof(float),
                             &self->table);
    if (problem->model_dim == 0)
        attn_buffers_reserve(buffers, attn_elems(threads, copy_elems(self), 1), sizeof(float),
                             &self->copies);
}

void attn_qk_prepare_fill(const attn_qk_prepare *self, int threads) {
    enum { PIECE_ROWS = 64 };
    const int64_t count = self->rows.count;

    if (self->rope.dim == 0 || ATTN_SIMULATED) return;
#pragma omp parallel for num_threads(threads)
    for (int64_t first = 0; first < count; first += PIECE_ROWS) {
        int64_t last = first + PIECE_ROWS < count ? first + PIECE_ROWS : count;
        attn_rows rows;

        for (int64_t own = first; own < last; own += rows.count) {
            rows = attn_row_list_from(&self->rows, own, last - own);
            attn_rope_table(&self->rope, rows.first + self->offset, rows.count,
                            self->table + own * self->rope.dim);
        }
    }
}

void attn_qk_prepare_heads(const attn_qk_prepare *self, int64_t row, const float *norm_weight,
                           float *heads, int64_t count) {
    const float *turn = self->rope.dim > 0 ? self->table + row * self->rope.dim : NULL;

    for (int64_t head = 0; head < count; head++, heads += self->dim) {
        if (self->norm_eps > 0) attn_rms_norm(heads, self->dim, self->norm_eps, norm_weight);
        if (self->rope.dim > 0) attn_rope_turn(&self->rope, turn, heads);
    }
}

const float *attn_qk_prepare_copy(const attn_qk_prepare *self, int64_t row, int thread,
                                  const float *head) {
    float *copy = self->copies + thread * copy_elems(self);

    memcpy(copy, head, (size_t)self->dim * sizeof *copy);
    attn_qk_prepare_heads(self, row, NULL, copy, 1);
    return copy;
}
