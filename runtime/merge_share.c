#include "merge_share.h"

#include <assert.h>
#include <stdlib.h>

#include "memory.h"

enum { NONE = -1 };

/* A value of the whole tree; operands come before the join, as operations do. */
typedef struct tree_node {
    int64_t block;       /* or NONE */
    int64_t left, right; /* or NONE */
    int64_t join;        /* that takes it; NONE: the root */
    attn_range blocks;
    int32_t owner, step;
    int32_t slot; /* on this rank, NONE: it never has it; of its kind while slots are dealt */
    int is_kept;
} tree_node;

typedef struct share_planner {
    tree_node *nodes; /* owned */
    int64_t count;
    int32_t rank, home;
    int32_t *free_slots; /* owned: of those within step 0 */
    int32_t free_count, scratch_slots;
} share_planner;

static int is_sent_on(const share_planner *planner, const tree_node *node) {
    int32_t to = node->join == NONE ? planner->home : planner->nodes[node->join].owner;

    return to != node->owner;
}

static int32_t receiver_of(const share_planner *planner, const tree_node *node) {
    return node->join == NONE ? planner->home : planner->nodes[node->join].owner;
}

/* The nodes of the whole tree, by running its program on their numbers. */
static attn_status find_nodes(share_planner *planner, int64_t block_count, const int32_t *owner_of,
                              attn_error *error) {
    int32_t *step_of = attn_alloc((size_t)block_count, sizeof *step_of);
    attn_merge_tree whole = {0};
    int64_t *in_slot = NULL;

    if (step_of == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the merge tree");
        goto cleanup;
    }
    for (int64_t block = 0; block < block_count; block++)
        step_of[block] = owner_of[block] >= 0 ? 0 : -1;
    if (attn_merge_tree_create(block_count, step_of, 1, &whole, error) != ATTN_OK) goto cleanup;
    planner->count = whole.step_first[1];
    planner->nodes = attn_alloc((size_t)planner->count, sizeof *planner->nodes);
    in_slot = attn_alloc((size_t)whole.slots, sizeof *in_slot);
    planner->free_slots = attn_alloc((size_t)planner->count, sizeof *planner->free_slots);
    if (planner->nodes == NULL || in_slot == NULL || planner->free_slots == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the merge tree");
        goto cleanup;
    }
    for (int64_t i = 0; i < planner->count; i++) {
        const attn_merge_op *op = &whole.ops[i];
        tree_node *node = &planner->nodes[i];

        *node = (tree_node){
            .block = op->block, .left = NONE, .right = NONE, .join = NONE, .slot = NONE};
        if (op->block >= 0) {
            node->blocks = (attn_range){op->block, op->block + 1};
            node->owner = owner_of[op->block];
        } else {
            tree_node *left = &planner->nodes[in_slot[op->left]];
            tree_node *right = &planner->nodes[in_slot[op->right]];

            node->left = in_slot[op->left];
            node->right = in_slot[op->right];
            left->join = right->join = i;
            node->blocks = (attn_range){left->blocks.first, right->blocks.last};
            node->owner = left->owner;
            node->step = right->step + (right->owner != left->owner);
            if (left->step > node->step) node->step = left->step;
        }
        in_slot[op->result] = i;
    }

cleanup:
    free(in_slot);
    attn_merge_tree_destroy(&whole);
    free(step_of);
    return error->status;
}

/* Whether this rank's value has to outlive its step. The root lasts long enough where it is
 * wanted. */
static int outlives_step(const share_planner *planner, const tree_node *node) {
    if (is_sent_on(planner, node)) return 1;
    return node->join != NONE && planner->nodes[node->join].step > node->step;
}

/* Step and slot of what this rank makes. All values of later steps are kept: a join there has an
 * operand that is, and takes the left one's slot. */
static void deal_slot(share_planner *planner, tree_node *node, attn_merge_tree *tree) {
    tree_node *left = node->left == NONE ? NULL : &planner->nodes[node->left];
    tree_node *right = node->right == NONE ? NULL : &planner->nodes[node->right];

    node->is_kept = node->step > 0 || outlives_step(planner, node);
    if (node->step > 0) {
        assert(left->is_kept && right->is_kept);
        node->slot = left->slot;
        return;
    }
    if (left != NULL) {
        planner->free_slots[planner->free_count++] = left->slot;
        planner->free_slots[planner->free_count++] = right->slot;
    }
    if (node->is_kept)
        node->slot = tree->kept_slots++;
    else
        node->slot = planner->free_count > 0 ? planner->free_slots[--planner->free_count]
                                             : planner->scratch_slots++;
}

static void add_message(const share_planner *planner, const tree_node *node,
                        attn_merge_tree *tree) {
    int is_sent = node->owner == planner->rank;

    tree->messages[tree->message_count++] = (attn_merge_message){
        .is_sent = is_sent,
        .step = node->step,
        .slot = node->slot,
        .peer = is_sent ? receiver_of(planner, node) : node->owner,
        .blocks = node->blocks,
    };
}

/* Slots of all that this rank makes or receives, and the messages. */
static void deal_slots(share_planner *planner, attn_merge_tree *tree) {
    for (int64_t i = 0; i < planner->count; i++) {
        tree_node *node = &planner->nodes[i];

        if (node->owner == planner->rank) {
            deal_slot(planner, node, tree);
            if (node->step >= tree->step_count) tree->step_count = node->step + 1;
            if (is_sent_on(planner, node)) add_message(planner, node, tree);
        } else if (receiver_of(planner, node) == planner->rank) {
            node->is_kept = 1;
            node->slot = tree->kept_slots++;
            if (node->step + 1 >= tree->step_count) tree->step_count = node->step + 2;
            add_message(planner, node, tree);
        }
    }
    for (int64_t i = 0; i < planner->count; i++)
        if (planner->nodes[i].slot != NONE && !planner->nodes[i].is_kept)
            planner->nodes[i].slot += tree->kept_slots;
    /* One at least, for the root of a tile that sees nothing. */
    tree->slots = tree->kept_slots + (planner->scratch_slots > 0 ? planner->scratch_slots : 1);
}

static int32_t slot_of(const share_planner *planner, int64_t node) {
    return node == NONE ? NONE : planner->nodes[node].slot;
}

/* By step, and within a step as in the tree. */
static void write_ops(const share_planner *planner, attn_merge_tree *tree) {
    for (int32_t step = 0; step <= tree->step_count; step++) tree->step_first[step] = 0;
    for (int64_t i = 0; i < planner->count; i++)
        if (planner->nodes[i].owner == planner->rank)
            tree->step_first[planner->nodes[i].step + 1]++;
    for (int32_t step = 0; step < tree->step_count; step++)
        tree->step_first[step + 1] += tree->step_first[step];
    for (int64_t i = 0; i < planner->count; i++) {
        const tree_node *node = &planner->nodes[i];

        if (node->owner != planner->rank) continue;
        tree->ops[tree->step_first[node->step]++] = (attn_merge_op){
            .block = node->block,
            .result = node->slot,
            .left = slot_of(planner, node->left),
            .right = slot_of(planner, node->right),
        };
    }
    for (int32_t step = tree->step_count; step > 0; step--) /* each is where the next began */
        tree->step_first[step] = tree->step_first[step - 1];
    tree->step_first[0] = 0;
}

static void find_root(const share_planner *planner, attn_merge_tree *tree) {
    const tree_node *root = &planner->nodes[planner->count - 1];

    tree->root_step = NONE;
    if (planner->home != planner->rank) return;
    tree->root = root->slot;
    tree->root_step = root->step + is_sent_on(planner, root);
}

/* For what this rank makes and receives, which is little of the whole tree. */
static attn_status allocate(const share_planner *planner, attn_merge_tree *tree,
                            attn_error *error) {
    int64_t ops = 0, messages = 0;
    int32_t steps = 1;

    for (int64_t i = 0; i < planner->count; i++) {
        const tree_node *node = &planner->nodes[i];

        if (node->owner == planner->rank) {
            ops++;
            messages += is_sent_on(planner, node);
        } else if (receiver_of(planner, node) == planner->rank) {
            messages++;
        }
        if (node->step + 2 > steps) steps = node->step + 2;
    }
    tree->ops = attn_alloc((size_t)ops, sizeof *tree->ops);
    tree->messages = attn_alloc((size_t)messages, sizeof *tree->messages);
    tree->step_first = attn_alloc((size_t)steps + 1, sizeof *tree->step_first);
    if (tree->ops == NULL || tree->messages == NULL || tree->step_first == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the merge tree");
    tree->step_first[0] = tree->step_first[1] = 0;
    return attn_ok(error);
}

attn_status attn_merge_share_create(int64_t block_count, const int32_t *owner_of, int32_t rank,
                                    int32_t home, attn_merge_tree *tree, attn_error *error) {
    share_planner planner = {.rank = rank, .home = home};

    *tree = (attn_merge_tree){.step_count = 1};
    if (find_nodes(&planner, block_count, owner_of, error) != ATTN_OK) goto cleanup;
    if (allocate(&planner, tree, error) != ATTN_OK) goto cleanup;
    if (planner.count == 0) {
        tree->is_empty = 1;
        tree->slots = 1;
        tree->root_step = rank == home ? 0 : NONE;
        goto cleanup;
    }
    deal_slots(&planner, tree);
    write_ops(&planner, tree);
    find_root(&planner, tree);

cleanup:
    free(planner.free_slots);
    free(planner.nodes);
    if (error->status != ATTN_OK) attn_merge_tree_destroy(tree);
    return error->status;
}
