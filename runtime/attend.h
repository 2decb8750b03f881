/* attend.h: the local part of attention: all queries of a rank against the K/V
 * shards at hand.
 *
 * For each tile of queries (tiling.h), in parallel:
 *   1. ask the mask what each row sees, and run this step's part of the merge tree: a leaf is one
 * kernel call on one key block (skipped when the tile sees none of it), a join is one merge;
 *   2. when the root is reached, normalise into the output rows.
 *
 * Partials that wait for a later step are kept per tile (kept_partials.h); all others live in
 * a thread's scratch, in cache. Between tiles the calling thread polls MPI.
 *
 * Cost per rank: 2 (d_k + d_v) flops per unmasked pair and head; memory at most kept_slots
 * × rows × heads × (d_v + 2) floats; no communication of its own.
 */
#ifndef ATTN_RUNTIME_ATTEND_H
#define ATTN_RUNTIME_ATTEND_H

#include "arrivals.h"
#include "attend_terms.h"
#include "attnspan/plan.h"
#include "buffers.h"
#include "kept_partials.h"
#include "kv_shard.h"
#include "merge_tree.h"
#include "status.h"
#include "tiling.h"
#include "trace.h"
#include "transfer.h"

typedef struct attn_attend {
    attn_mask mask;
    attn_kv_layout kv;
    float scale;
    int threads;
    const attn_arrivals *arrivals; /* borrowed: what the steps have at hand */
    const attn_reach *reach;       /* borrowed */
    int64_t shard;                 /* this rank's */
    attn_row_list queries;         /* rows of this rank's shard; borrowed */
    attn_range heads;              /* query heads of this member */
    int64_t queries_per_kv;        /* H / H_kv */
    int64_t query_row_elems;       /* of the query buffer: B · heads · d_k */
    int64_t out_row_elems;         /* of the output buffer, below */
    int with_lse;
    attn_attend_terms terms; /* planned before this */
    attn_merge_tree tree;    /* owned; a share of one, or of the arrivals */
    attn_tiling tiling;      /* owned */
    attn_kept_partials kept; /* owned */
    float *scratch;          /* borrowed: [threads][…] */
    int64_t scratch_elems;   /* of one thread */
    double compute_sec; /* since its last reset: of tiles, the mean over threads that had some */
    void (*on_progress)(void *context, double done); /* borrowed */
    void *progress_context;
    attn_trace *trace; /* borrowed; NULL: nothing is recorded */
} attn_attend;

/* Bytes of one kept partial of all queries, for which the fields up to with_lse are set. */
int64_t attn_attend_partial_bytes(const attn_attend *attend);

/* Reserves memory for the steps of `arrivals`, but for scratch. The fields up to with_lse and the
 * callback are set by the caller; so is the tree if it is a share (merge_share.h) and not all of
 * what arrives. Not collective. ATTN_ERR_MEMORY. */
attn_status attn_attend_plan(attn_attend *attend, attn_buffers *buffers, attn_error *error);

/* Floats of the scratch of all threads. Several plans that do not run at once may have the same,
 * of the largest. */
int64_t attn_attend_scratch_elems(const attn_attend *attend);

/* Runs step `step` on its pieces; nothing when they have no block that a query sees.
 * query: [rows][B][heads][d_k] in the kernel's storage. out: [rows][B]{[heads][d_v] and, with_lse,
 * [heads]}, written in the step that makes the root. `transfer` is polled; NULL: nothing in
 * flight. */
void attn_attend_step(attn_attend *attend, int32_t step, const void *query, float *out,
                      attn_transfer *transfer);

/* A message's partials (merge_share.h): of all tiles that may see a key of its blocks; where one
 * does not after all they are filled in as empty. To be sent after the step that makes them; to be
 * received into before the step that takes them. Their bytes are the same on both sides. */
int64_t attn_attend_message_bytes(const attn_attend *attend, const attn_merge_message *message);
const float *attn_attend_outgoing(const attn_attend *attend, const attn_merge_message *message);
float *attn_attend_incoming(const attn_attend *attend, const attn_merge_message *message);

/* A zeroed one is legal. */
void attn_attend_destroy(attn_attend *attend);

#endif
