/* attend_terms.h: the terms of scores for the tiles of attend.h.
 *
 * Softcap, ALiBi and bias go to the kernel (attn_score_terms): for each tile, where its rows stand
 * and where their biases begin; for each block, the same counted from its first key. A sink is the
 * partial of one key more, whose value is zero, merged at the right of the root, head by head:
 *
 *     max = sink, sum = 1, out = 0
 *
 * Cost: a pass over the scores of a tile in the kernel, about as many operations a pair as its
 * exponential. Memory per thread: 40 bytes a kernel row, and with sinks d_v + 2 floats.
 */
#ifndef ATTN_RUNTIME_ATTEND_TERMS_H
#define ATTN_RUNTIME_ATTEND_TERMS_H

#include "attnspan/plan.h"
#include "buffers.h"
#include "tiling.h"

typedef struct attn_attend_terms {
    attn_terms spec; /* borrows the plan's arrays */
    float scale;     /* of the problem's scores */
    int64_t ahead;   /* a − i: the key that query i stands beside, less i */
    int64_t kv_length;
    attn_row_list queries; /* rows of this rank's shard; borrowed */
    attn_range heads;      /* query heads of this member */
    float *bias;           /* borrowed: [heads, or 1][queries.count][N_kv] */
} attn_attend_terms;

/* A thread's, in scratch memory: of the tile at hand. */
typedef struct attn_tile_terms {
    attn_score_terms of_block;
    int64_t *beside;         /* [query_rows]: a, of the sequence */
    const float **bias_rows; /* [query_rows]: from key 0 on */
    float *slope;            /* [query_rows]; this and the next two as of_block has them */
    int64_t *position;
    const float **bias;
    attn_partial sink; /* [query_rows], [d_v]; NULLs without sinks */
} attn_tile_terms;

/* Takes the problem's terms; reserves the bias. Not collective, as all of this file. */
void attn_attend_terms_plan(attn_attend_terms *terms, const attn_problem *problem,
                            attn_row_list queries, attn_range heads, attn_buffers *buffers);

/* Whether the kernel gets terms: then its partials are of scaled scores. */
int attn_attend_terms_in_kernel(const attn_attend_terms *terms);

/* The scale of merges and of the end. */
float attn_attend_terms_partial_scale(const attn_attend_terms *terms);

/* Bytes of a thread's, a multiple of 64; and the same laid out at `memory`. */
int64_t attn_attend_terms_bytes(const attn_attend_terms *terms, int32_t query_rows,
                                int32_t value_dim);
attn_tile_terms attn_attend_terms_at(const attn_attend_terms *terms, int32_t query_rows,
                                     int32_t value_dim, void *memory);

/* Before a tile's blocks; nothing without terms. */
void attn_attend_terms_tile(const attn_attend_terms *terms, const attn_tile *tile,
                            attn_tile_terms *of_tile);

/* The terms of the tile's rows on the block whose first key is `first`; NULL without terms. */
const attn_score_terms *attn_attend_terms_block(const attn_attend_terms *terms,
                                                const attn_tile *tile, int64_t first,
                                                attn_tile_terms *of_tile);

/* Merges the sink of the member's head `head` into `rows` rows of a root; nothing without sinks. */
void attn_attend_terms_sink(const attn_attend_terms *terms, const attn_kernel *kernel, int64_t head,
                            attn_partial root, int32_t rows, int32_t value_dim,
                            const attn_tile_terms *of_tile);

#endif
