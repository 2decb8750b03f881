/* qk_prepare.h: what becomes of a row of q or k before the head exchange: the RMS norm of
 * each head, then its rotation by the row's global position.
 *
 *   plan     reserves a table of cos and sin for own rows
 *   fill     computes it, once the buffers are there
 *   heads    prepares heads of one own row, in place, while they are in cache
 *   copy     the same to a copy of a head that must stay as it is
 *
 * Positions are global, whoever holds the row, so bits follow from the problem alone.
 * Cost: own rows · rope.dim floats of memory, and as many libm calls in the plan; per element
 * about 8 flops. Not collective.
 */
#ifndef ATTN_RUNTIME_QK_PREPARE_H
#define ATTN_RUNTIME_QK_PREPARE_H

#include "attnspan/plan.h"
#include "buffers.h"

typedef struct attn_qk_prepare {
    int32_t dim;        /* of a head */
    double norm_eps;    /* 0: no norm */
    attn_rope rope;     /* dim 0: no rotation */
    attn_row_list rows; /* own rows; borrowed */
    int64_t offset;     /* position of global row 0 */
    float *table;       /* borrowed: [own rows][rope.dim] */
    float *copies;      /* borrowed: [threads][dim, to whole cache lines]; only of given q and k */
} attn_qk_prepare;

/* Whether a problem asks for any of it. */
int attn_qk_prepare_wanted(const attn_problem *problem);

/* For the rows of q (is_query) or k. `self` stays where it is: the buffers get its address. */
void attn_qk_prepare_plan(attn_qk_prepare *self, const attn_problem *problem, attn_row_list own,
                          int is_query, int threads, attn_buffers *buffers);

/* Fills the table in; after attn_buffers_allocate. */
void attn_qk_prepare_fill(const attn_qk_prepare *self, int threads);

/* Prepares heads [count][dim] of own row `row`, in place; `norm_weight` is [dim], or NULL for
 * ones. */
void attn_qk_prepare_heads(const attn_qk_prepare *self, int64_t row, const float *norm_weight,
                           float *heads, int64_t count);

/* A prepared copy of the head [dim] of own row `row`, with ones for the norm's weights, in fp32
 * whatever the storage. It lasts until the same thread's next call; `thread` is below the plan's
 * threads. Only when q and k are given. */
const float *attn_qk_prepare_copy(const attn_qk_prepare *self, int64_t row, int thread,
                                  const float *head);

#endif
