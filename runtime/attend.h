/* attend.h: the local part of attention: all queries of a rank against the K/V
 * shards at hand.
 *
 * For each tile of queries (tiling.h), in parallel:
 *   1. ask the mask what each row sees, and run this step's part of the merge tree: a leaf is one
 * kernel call on one key block (skipped when the tile sees none of it), a join is one merge;
 *   2. when the root is reached, normalise into the output rows.
 *
 * Partials that wait for a later step are kept per query row; all others live in
 * a thread's scratch, in cache. Between tiles the calling thread polls MPI.
 *
 * Cost per rank: 2 (d_k + d_v) flops per unmasked pair and head; memory kept_slots
 * × rows × heads × (d_v + 2) floats; no communication of its own.
 */
#ifndef ATTN_RUNTIME_ATTEND_H
#define ATTN_RUNTIME_ATTEND_H

#include "attnspan/plan.h"
#include "buffers.h"
#include "kv_shard.h"
#include "merge_tree.h"
#include "status.h"
#include "tiling.h"
#include "transfer.h"

typedef struct attn_attend {
    attn_mask mask;
    attn_kv_layout kv;
    float scale;
    int threads;
    attn_rows queries;       /* rows of this rank's shard */
    attn_range heads;        /* query heads of this member */
    int64_t queries_per_kv;  /* H / H_kv */
    int64_t query_row_elems; /* of the query buffer: B · heads · d_k */
    int64_t out_row_elems;   /* of the output buffer, below */
    int with_lse;
    attn_merge_tree tree;                            /* owned */
    attn_tiling tiling;                              /* owned */
    float *kept;                                     /* borrowed: [kept slots][tiles] partials */
    unsigned char *kept_empty;                       /* owned: [kept slots][tiles] */
    float *scratch;                                  /* borrowed: [threads][…] */
    int64_t scratch_elems;                           /* of one thread */
    void (*on_progress)(void *context, double done); /* borrowed */
    void *progress_context;
} attn_attend;

/* Reserves memory for steps that bring the blocks arrivals[0 … steps). The fields
 * up to with_lse and the callback are set by the caller. Not collective. */
attn_status attn_attend_plan(attn_attend *attend, const attn_range *arrivals, int32_t steps,
                             attn_buffers *buffers, attn_error *error);

/* Runs step `step` on the shards that hold its blocks, in ascending order of
 * blocks and covering all of the step's. query: [rows][B][heads][d_k] in the kernel's storage. out:
 * [rows][B]{[heads][d_v] and, with_lse, [heads]}, written in the step that makes the root.
 * `transfer` is polled; NULL: nothing in flight.
 */
void attn_attend_step(attn_attend *attend, int32_t step, const attn_kv_shard *shards,
                      const void *query, float *out, attn_transfer *transfer);

/* A zeroed one is legal. */
void attn_attend_destroy(attn_attend *attend);

#endif
