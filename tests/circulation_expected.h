/* circulation_expected.h: what a plan's circulation has to send, counted from what single rows see,
 * as the opening comments of circulate_ring.c, circulate_gather.c and circulate_reduce.c promise.
 */
#ifndef ATTN_TESTS_CIRCULATION_EXPECTED_H
#define ATTN_TESTS_CIRCULATION_EXPECTED_H

#include <stdint.h>

#include "plan_state.h"

/* What this rank sends. */
typedef struct attn_expected {
    int64_t messages, bytes;
} attn_expected;

/* Looks through the rows of a plan's mask, once for all that is asked of the plan below. */
void attn_expected_look_through(const attn_plan *plan);

/* Each shard's keys and values go as few hops up and down as bring them to all that need them. */
attn_expected attn_expected_of_ring(const attn_plan *plan);

/* Slices go to the shards that need them; where nodes share, once to each other node. */
attn_expected attn_expected_of_gather(const attn_plan *plan);
attn_expected attn_expected_of_shared_gather(const attn_plan *plan);

/* Queries go to the shards whose keys they need, and partials along the fixed tree. */
attn_expected attn_expected_of_reduce(const attn_plan *plan);

/* The local rows of a slice of a shard, and whether a query of any rank of the node needs one. */
attn_range attn_expected_slice(const attn_plan *plan, int shard, int64_t slice);
int attn_expected_node_needs(const attn_plan *plan, int node, int shard, attn_range rows);

/* Whether a query sees a key of the blocks. */
int attn_expected_row_sees(int64_t row, attn_range blocks);

#endif
