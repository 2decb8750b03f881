#include "merge_tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

enum { MAX_LEVELS = 64, NONE = -1, EMPTY = -2 };

/* While planning, a value is the index of the operation that makes it. */
typedef struct tree_value {
    int64_t left, right;      /* operands, NONE for a block */
    int32_t made_in, used_in; /* steps; equal for the root */
} tree_value;

typedef struct tree_planner {
    int64_t level_first[MAX_LEVELS]; /* of `complete` */
    int64_t level_count[MAX_LEVELS];
    int32_t levels;
    int64_t *complete;  /* owned; per node: the value that waits for its sibling, NONE before,
                            EMPTY when no block below is wanted */
    tree_value *values; /* owned; per operation */
    int64_t count;
} tree_planner;

/* Marks the nodes below which nothing is wanted. */
static void mark_empty(tree_planner *planner, const int32_t *step_of) {
    for (int64_t i = 0; i < planner->level_count[0]; i++)
        planner->complete[i] = step_of[i] < 0 ? EMPTY : NONE;
    for (int32_t level = 1; level < planner->levels; level++) {
        const int64_t *below = planner->complete + planner->level_first[level - 1];
        int64_t *nodes = planner->complete + planner->level_first[level];

        for (int64_t i = 0; i < planner->level_count[level]; i++) {
            int has_right = 2 * i + 1 < planner->level_count[level - 1];
            nodes[i] =
                below[2 * i] == EMPTY && (!has_right || below[2 * i + 1] == EMPTY) ? EMPTY : NONE;
        }
    }
}

static attn_status planner_create(int64_t block_count, const int32_t *step_of,
                                  tree_planner *planner, attn_error *error) {
    int64_t nodes = 0;

    planner->levels = 0;
    for (int64_t count = block_count;; count = (count + 1) / 2) {
        planner->level_first[planner->levels] = nodes;
        planner->level_count[planner->levels++] = count;
        nodes += count;
        if (count == 1) break;
    }
    planner->count = 0;
    planner->complete = attn_alloc((size_t)nodes, sizeof *planner->complete);
    planner->values = attn_alloc((size_t)block_count, 2 * sizeof *planner->values);
    if (planner->complete == NULL || planner->values == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the merge tree");
    mark_empty(planner, step_of);
    return attn_ok(error);
}

static int64_t make_value(tree_planner *planner, int64_t left, int64_t right, int32_t step) {
    planner->values[planner->count] = (tree_value){left, right, step, step};
    if (left != NONE) {
        planner->values[left].used_in = step;
        planner->values[right].used_in = step;
    }
    return planner->count++;
}

/* Block `block` arrives in `step`: climb as long as the sibling is there. */
static void arrive(tree_planner *planner, int64_t block, int32_t step, attn_merge_op *ops) {
    int64_t index = block;
    int64_t climbing;

    ops[planner->count].block = block;
    climbing = make_value(planner, NONE, NONE, step);
    for (int32_t level = 0; level + 1 < planner->levels; level++, index /= 2) {
        int64_t *nodes = planner->complete + planner->level_first[level];
        int64_t sibling = index ^ 1;

        if (sibling == planner->level_count[level] || nodes[sibling] == EMPTY)
            continue; /* an only child is its parent */
        if (nodes[sibling] == NONE) {
            nodes[index] = climbing;
            return;
        }
        ops[planner->count].block = NONE;
        climbing = index < sibling ? make_value(planner, climbing, nodes[sibling], step)
                                   : make_value(planner, nodes[sibling], climbing, step);
    }
}

/* Slots of one kind: a stack of free numbers below the highest ever used. */
typedef struct slot_pool {
    int32_t *free; /* owned */
    int32_t free_count, used;
} slot_pool;

static int32_t take_slot(slot_pool *pool) {
    return pool->free_count > 0 ? pool->free[--pool->free_count] : pool->used++;
}

/* Gives every value a slot; a join writes over an operand of its own kind. Slots
 * of the second kind are numbered from 0 here and shifted by the caller. */
static void assign_slots(const tree_planner *planner, attn_merge_op *ops, slot_pool pools[2]) {
    for (int64_t i = 0; i < planner->count; i++) {
        const tree_value *made = &planner->values[i];
        int kind = made->used_in == made->made_in; /* 0: kept, 1: within the step */
        int64_t operands[2] = {made->left, made->right};

        ops[i].result = NONE;
        for (int o = 0; o < 2 && made->left != NONE; o++) {
            const tree_value *operand = &planner->values[operands[o]];
            int operand_kind = operand->used_in == operand->made_in;
            int32_t slot = ops[operands[o]].result;

            if (o == 0) ops[i].left = slot;
            if (o == 1) ops[i].right = slot;
            if (operand_kind == kind && ops[i].result == NONE)
                ops[i].result = slot;
            else
                pools[operand_kind].free[pools[operand_kind].free_count++] = slot;
        }
        if (ops[i].result == NONE) ops[i].result = take_slot(&pools[kind]);
    }
}

/* Scratch slots are numbered after the kept ones. */
static void number_slots(const tree_planner *planner, attn_merge_op *ops, int32_t kept_slots) {
    for (int64_t i = 0; i < planner->count; i++) {
        const tree_value *made = &planner->values[i];

        if (made->left != NONE) {
            const tree_value *left = &planner->values[made->left];
            const tree_value *right = &planner->values[made->right];
            if (left->used_in == left->made_in) ops[i].left += kept_slots;
            if (right->used_in == right->made_in) ops[i].right += kept_slots;
        }
        if (made->used_in == made->made_in) ops[i].result += kept_slots;
    }
}

/* Lists the wanted blocks by the steps that bring them, ascending within a step, in `order`;
 * those of step t are [first[t], first[t + 1]). Returns how many they are. */
static int64_t sort_by_step(int64_t block_count, const int32_t *step_of, int32_t step_count,
                            int64_t *first, int64_t *order) {
    int64_t wanted = 0;

    for (int32_t step = 0; step <= step_count; step++) first[step] = 0;
    for (int64_t block = 0; block < block_count; block++)
        if (step_of[block] >= 0) first[step_of[block]]++;
    for (int32_t step = 0; step <= step_count; step++) {
        int64_t count = first[step];
        first[step] = wanted;
        wanted += count;
    }
    for (int64_t block = 0; block < block_count; block++)
        if (step_of[block] >= 0) order[first[step_of[block]]++] = block;
    for (int32_t step = step_count; step > 0; step--) first[step] = first[step - 1];
    first[0] = 0;
    return wanted;
}

attn_status attn_merge_tree_create(int64_t block_count, const int32_t *step_of, int32_t step_count,
                                   attn_merge_tree *tree, attn_error *error) {
    tree_planner planner = {0};
    slot_pool pools[2] = {{0}, {0}};
    int64_t *order = attn_alloc((size_t)block_count, sizeof *order), wanted;

    *tree = (attn_merge_tree){.step_count = step_count};
    if (planner_create(block_count, step_of, &planner, error) != ATTN_OK) goto cleanup;
    tree->ops = attn_alloc((size_t)block_count, 2 * sizeof *tree->ops);
    tree->step_first = attn_alloc((size_t)step_count + 1, sizeof *tree->step_first);
    pools[0].free = attn_alloc((size_t)block_count, 2 * sizeof *pools[0].free);
    pools[1].free = attn_alloc((size_t)block_count, 2 * sizeof *pools[1].free);
    if (order == NULL || tree->ops == NULL || tree->step_first == NULL || pools[0].free == NULL ||
        pools[1].free == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the merge tree");
        goto cleanup;
    }
    wanted = sort_by_step(block_count, step_of, step_count, tree->step_first, order);
    for (int32_t step = 0; step < step_count; step++) {
        const int64_t first = tree->step_first[step], last = tree->step_first[step + 1];

        tree->step_first[step] = planner.count;
        if (first < last) tree->root_step = step;
        for (int64_t i = first; i < last; i++) arrive(&planner, order[i], step, tree->ops);
    }
    tree->step_first[step_count] = planner.count;
    assert(planner.count == (wanted > 0 ? 2 * wanted - 1 : 0));
    assign_slots(&planner, tree->ops, pools);
    number_slots(&planner, tree->ops, pools[0].used);
    tree->kept_slots = pools[0].used;
    tree->slots = wanted > 0 ? pools[0].used + pools[1].used : 1;
    tree->root = wanted > 0 ? tree->ops[planner.count - 1].result : 0;
    tree->is_empty = wanted == 0;

cleanup:
    free(pools[1].free);
    free(pools[0].free);
    free(planner.values);
    free(planner.complete);
    free(order);
    if (error->status != ATTN_OK) attn_merge_tree_destroy(tree);
    return error->status;
}

void attn_merge_tree_destroy(attn_merge_tree *tree) {
    free(tree->messages);
    free(tree->step_first);
    free(tree->ops);
    *tree = (attn_merge_tree){0};
}
