/* merge_share.h: the merge tree shared out among the ranks that hold the blocks.
 *
 * The values are those of merge_tree.h, bit for bit; what is chosen here is who makes them:
 *   - the partial of a block is made by the rank that holds it;
 *   - a join is made by the rank that made its left operand, so that of two ranks the right one
 *     sends; the root goes to the rank that wants it.
 *
 * A step ends with messages. Blocks, and what can be joined without any, are step 0's; a join is in
 * the step of its later operand, or in the next one if that operand is sent to it. So a value waits
 * for as few messages one behind the other as the tree allows: ceil(log2 ranks) and about one where
 * ranks hold runs of blocks, and one more for the root.
 *
 * Cost: O(blocks) to plan. On the whole a message for each join of values of two ranks, and one for
 * the root unless it is made where it is wanted. A rank keeps what step 0 leaves, and what it
 * receives: O(runs of blocks · log blocks) values.
 */
#ifndef ATTN_RUNTIME_MERGE_SHARE_H
#define ATTN_RUNTIME_MERGE_SHARE_H

#include "merge_tree.h"

/* This rank's share: it holds the blocks with owner_of[block] == rank; −1: not wanted. The root is
 * wanted by `home`; on other ranks root_step is −1. Messages are in the order of the tree, the same
 * on both sides. Not collective. ATTN_ERR_MEMORY. */
attn_status attn_merge_share_create(int64_t block_count, const int32_t *owner_of, int32_t rank,
                                    int32_t home, attn_merge_tree *tree, attn_error *error);

#endif
