/* attend_tile.h: what a thread does with a tile of queries in a step of attend.h.
 *
 *   1. bring the tile's queries together, where a stack of heads shares keys, and ask the mask what
 *      each row sees;
 *   2. run the step's part of the merge tree: a leaf is one kernel call on one block of keys, left
 *      out when no row sees any of it; a join is one merge, or a copy when one side is empty;
 *   3. when the root is reached, normalise into the output rows.
 *
 * Cost: 2 (d_k + d_v) flops per unmasked pair and head. No allocation, no communication. Memory: a
 * thread's scratch, from which the kernel works in cache.
 */
#ifndef ATTN_RUNTIME_ATTEND_TILE_H
#define ATTN_RUNTIME_ATTEND_TILE_H

#include "attend.h"

/* What a thread works with, in scratch memory. Slots are those of the merge tree. */
typedef struct attn_attend_worker {
    const attn_attend *attend;
    const attn_kv_shard *pieces; /* of the step */
    const char *query;
    float *out;
    void *kernel_scratch;
    char *stacked_query;     /* [query_rows][d_k]: queries of a tile of several heads */
    attn_visible *visible;   /* [query_rows]: of the kernel's rows, global keys */
    attn_visible reach;      /* the hulls of their first runs, and of their second ones */
    attn_interval *in_block; /* [query_rows]: first runs within a block */
    attn_interval *also;     /* [query_rows]: second ones of rows with two in the block */
    unsigned char *empty;    /* [scratch slots] of the current tile */
    float *partials;         /* [scratch slots] */
    attn_tile_terms terms;
    const char *tile_query; /* of the current tile, and the distance of its rows */
    ptrdiff_t tile_query_stride;
    attn_trace_lane *lane; /* NULL: nothing is recorded */
    int32_t step;
} attn_attend_worker;

/* Floats of a partial of one tile, and one that lies there: out, then max, then sum. */
int64_t attn_attend_tile_elems(const attn_attend *attend);
attn_partial attn_attend_tile_partial(const attn_attend *attend, float *memory);

/* The partial of `rows` rows that saw no key at all. */
void attn_attend_tile_clear(attn_partial partial, int32_t rows, int32_t value_dim);

/* Floats of a thread's scratch, a multiple of 16, and a worker in that. Its query, out, pieces,
 * step and lane are the caller's to set. */
int64_t attn_attend_worker_elems(const attn_attend *attend);
attn_attend_worker attn_attend_worker_at(const attn_attend *attend, float *memory);

/* Runs the worker's step on a tile. */
void attn_attend_worker_run(attn_attend_worker *self, const attn_tile *tile);

#endif
