/* reach.h: which blocks of keys the queries of each shard see.
 *
 * For every shard, the spans of blocks that hold all keys that some query of it sees, in any batch
 * item: the mask's span of each of its runs (kernels.h), as blocks, in ascending order and merged
 * where they touch. So all ranks know what every shard needs, and what is never needed need not
 * travel.
 *
 * A span of rows of several documents may hold blocks that nobody sees; they travel and are
 * skipped there. Cost: O(runs of all shards · log documents). Not collective.
 */
#ifndef ATTN_RUNTIME_REACH_H
#define ATTN_RUNTIME_REACH_H

#include "attnspan/kernels.h"
#include "layout.h"
#include "status.h"

typedef struct attn_reach {
    attn_range *spans;   /* owned: of blocks of keys */
    int64_t *first_span; /* owned: [shards + 1] */
    attn_range common;   /* blocks that each shard sees some of which sees anything; or [0, 0) */
} attn_reach;

/* ATTN_ERR_MEMORY. */
attn_status attn_reach_create(attn_reach *reach, const attn_mask *mask, const attn_layout *queries,
                              const attn_layout *keys, attn_error *error);

/* Whether the queries of `shard` see some of the blocks. */
int attn_reach_overlaps(const attn_reach *reach, int64_t shard, attn_range blocks);

/* A zeroed one is legal. */
void attn_reach_destroy(attn_reach *reach);

#endif
