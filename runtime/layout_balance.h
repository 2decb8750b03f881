/* layout_balance.h: units of work in a row, dealt so that all shards have as much.
 *
 * A unit is a few blocks and weighs its unmasked pairs. For c = 1, 2, 4, 8, 16, until all shards
 * weigh at most 1.02 of the mean:
 *   1. cut the sequence into c · P_s chunks of as many units, or of one unit where that is less;
 *   2. deal them in rounds of P_s, the heaviest first, of each round the heaviest to the shard
 *      with the least so far (LPT, Graham 1969, with as many chunks for each);
 *   3. swap chunks between the heaviest and the lightest shard as long as that helps;
 *   4. move units across the ends of chunks between their two owners as long as that helps.
 * With no such c, the one with the least imbalance counts; of equals, the least c. So shards are
 * of few long runs where few are enough: one without a mask or with a window, two under a
 * causal mask. Shards are numbered by their first block.
 *
 * Rows are memory: a shard gets at most 17/16 of the mean of blocks, or the mean rounded up; where
 * that cannot be had with a c, that c does not count. c = 1 begins with it and keeps it.
 *
 * Deterministic: comparisons of sums of whole numbers in fp64, in one order.
 * Cost for U <= 256 P_s units, m chunks: O(U + m log m + P_s m) for each c; memory O(U).
 */
#ifndef ATTN_RUNTIME_LAYOUT_BALANCE_H
#define ATTN_RUNTIME_LAYOUT_BALANCE_H

#include <stdint.h>

#include "status.h"

typedef struct attn_balance_unit {
    double weight;
    int64_t blocks; /* >= 1 */
} attn_balance_unit;

/* owner[i] := shard of unit i, for `count` >= 1 units. Not collective. ATTN_ERR_MEMORY. */
attn_status attn_layout_balance(const attn_balance_unit *units, int64_t count, int64_t shards,
                                int64_t *owner, attn_error *error);

#endif
