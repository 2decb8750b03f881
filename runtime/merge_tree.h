/* merge_tree.h: in which order the partials of key blocks are merged.
 *
 * The bits of the result must not depend on how the blocks were spread over
 * ranks or in which order they arrive. So partials are merged along one fixed
 * binary tree over block indices: node (level, i) covers the blocks
 * [i · 2^level, (i + 1) · 2^level) of those that exist, and joins the nodes
 * (level − 1, 2i) and (level − 1, 2i + 1); where the right one does not exist, it
 * is the left one. A rank may leave out blocks that none of its queries sees: a node without
 * any block is empty, and joining with it is the other's bits.
 *
 * Planning plays the arrivals through once and writes down a program: compute a
 * block into a slot, join two slots into one. Values that wait for a later step
 * live in kept slots, all others in slots that a thread reuses at once.
 *
 * Cost: 2 · wanted blocks operations; for blocks arriving in r runs of consecutive
 * indices, O(r + log blocks) slots.
 */
#ifndef ATTN_RUNTIME_MERGE_TREE_H
#define ATTN_RUNTIME_MERGE_TREE_H

#include <stdint.h>

#include "partition.h"
#include "status.h"

/* One operation: with block >= 0, result := partial of that block; otherwise
 * result := left merged with right. Slots below kept_slots are kept. */
typedef struct attn_merge_op {
    int64_t block;
    int32_t result, left, right;
} attn_merge_op;

/* A value that goes from rank to rank, from kept slot to kept slot (merge_share.h). */
typedef struct attn_merge_message {
    int is_sent;       /* by this rank; otherwise received */
    int32_t step;      /* the sender's last one before; the receiver has it from the next one on */
    int32_t slot;      /* of this rank */
    int32_t peer;      /* the other rank */
    attn_range blocks; /* from the first to the last of those that it stands for */
} attn_merge_message;

typedef struct attn_merge_tree {
    attn_merge_op *ops;  /* owned; the last one makes the root; none when no block is wanted */
    int64_t *step_first; /* owned; [step_count + 1]: ops of step t are [first[t], first[t+1]) */
    int32_t step_count;
    int is_empty;                 /* no block is wanted */
    int32_t root_step;            /* in which the root is made: its slot lasts no longer */
    int32_t root;                 /* its slot */
    int32_t kept_slots, slots;    /* slots [kept_slots, slots) live within a step only */
    attn_merge_message *messages; /* owned; none unless the tree is shared out */
    int64_t message_count;
} attn_merge_tree;

/* For `block_count` >= 1 blocks, of which step step_of[b] brings block b; −1: it is not wanted.
 * Within a step they are taken in ascending order. Without any, the root is slot 0, empty, in step
 * 0. Not collective. ATTN_ERR_MEMORY. */
attn_status attn_merge_tree_create(int64_t block_count, const int32_t *step_of, int32_t step_count,
                                   attn_merge_tree *tree, attn_error *error);

/* A zeroed tree is legal. */
void attn_merge_tree_destroy(attn_merge_tree *tree);

#endif
