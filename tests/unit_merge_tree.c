/* The merge tree, run on symbols: a value is a hash of the expression that made it,
 * so two roots are equal only when the same merges were made in the same places. */
#include "merge_tree.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "partition.h"

enum { MAX_SLOTS = 256, MAX_STEPS = 64, MAX_BLOCKS = 256 };

static uint64_t leaf(int64_t block) {
    return (uint64_t)(block + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Not symmetric: left and right may not be swapped. */
static uint64_t joined(uint64_t left, uint64_t right) {
    uint64_t mixed = left * UINT64_C(0xbf58476d1ce4e5b9) + right;
    return (mixed ^ (mixed >> 29)) * UINT64_C(0x94d049bb133111eb);
}

/* The tree's definition: node (level, index) over `count` blocks, of which those with a step are
 * wanted; 0: none is. */
static uint64_t expected(int64_t count, const int32_t *step_of, int level, int64_t index) {
    uint64_t left, right;

    if (index << level >= count) return 0;
    if (level == 0) return step_of[index] < 0 ? 0 : leaf(index);
    left = expected(count, step_of, level - 1, 2 * index);
    right = expected(count, step_of, level - 1, 2 * index + 1);
    return left == 0 ? right : right == 0 ? left : joined(left, right);
}

static uint64_t expected_root(int64_t count, const int32_t *step_of) {
    int level = 0;

    while ((INT64_C(1) << level) < count) level++;
    return expected(count, step_of, level, 0);
}

/* Runs the program; between steps, what is not kept is destroyed. */
static uint64_t run(const attn_merge_tree *tree, const int32_t *step_of) {
    uint64_t slots[MAX_SLOTS] = {0}, root = 0;
    int32_t last_step = 0;

    CU_ASSERT(tree->slots <= MAX_SLOTS && tree->slots > tree->kept_slots);
    if (tree->slots > MAX_SLOTS) return 0;
    for (int32_t step = 0; step < tree->step_count; step++) {
        for (int32_t s = tree->kept_slots; s < tree->slots; s++) slots[s] = 0;
        for (int64_t i = tree->step_first[step]; i < tree->step_first[step + 1]; i++) {
            const attn_merge_op *op = &tree->ops[i];
            CU_ASSERT(op->result >= 0 && op->result < tree->slots);
            if (op->block >= 0) CU_ASSERT_EQUAL(step_of[op->block], step);
            slots[op->result] =
                op->block >= 0 ? leaf(op->block) : joined(slots[op->left], slots[op->right]);
            last_step = step;
        }
        if (step == tree->root_step) root = slots[tree->root];
    }
    CU_ASSERT_EQUAL(tree->root_step, last_step);
    return root;
}

static void check_steps(int64_t blocks, const int32_t *step_of, int32_t steps, int32_t most_kept) {
    attn_merge_tree tree;
    attn_error error;

    CU_ASSERT_EQUAL(attn_merge_tree_create(blocks, step_of, steps, &tree, &error), ATTN_OK);
    CU_ASSERT_EQUAL(run(&tree, step_of), expected_root(blocks, step_of));
    CU_ASSERT(tree.kept_slots <= most_kept);
    attn_merge_tree_destroy(&tree);
}

/* Step t brings the blocks arrivals[t], all together each block once. */
static void check(int64_t blocks, const attn_range *arrivals, int32_t steps, int32_t most_kept) {
    int32_t step_of[MAX_BLOCKS];

    for (int32_t step = 0; step < steps; step++)
        for (int64_t b = arrivals[step].first; b < arrivals[step].last; b++) step_of[b] = step;
    check_steps(blocks, step_of, steps, most_kept);
}

static int32_t log2_ceil(int64_t count) {
    int32_t log = 0;

    while ((INT64_C(1) << log) < count) log++;
    return log;
}

static void test_one_step_keeps_nothing(void) {
    for (int64_t blocks = 1; blocks <= 70; blocks++) {
        attn_range all = {0, blocks};
        check(blocks, &all, 1, 0);
    }
}

/* Shard s of P_s receives s, s − 1, … around the ring; empty shards included. */
static void test_ring_order_gives_the_same_root_from_every_rank(void) {
    for (int64_t blocks = 1; blocks <= 40; blocks++)
        for (int shards = 1; shards <= 9; shards++)
            for (int rank = 0; rank < shards; rank++) {
                attn_range arrivals[MAX_STEPS];
                for (int step = 0; step < shards; step++)
                    arrivals[step] = attn_deal(blocks, shards, (rank - step + shards) % shards);
                check(blocks, arrivals, shards, 2 * log2_ceil(blocks) + 1);
            }
}

static void test_aligned_shards_keep_at_most_2_log2_of_them(void) {
    for (int log = 1; log <= 5; log++) {
        int shards = 1 << log;
        for (int rank = 0; rank < shards; rank++) {
            attn_range arrivals[MAX_STEPS];
            for (int step = 0; step < shards; step++)
                arrivals[step] = attn_deal(4 * shards, shards, (rank - step + shards) % shards);
            check(4 * shards, arrivals, shards, 2 * log);
        }
    }
}

/* Blocks one by one, in an order from a fixed linear congruence. */
static void test_any_order_gives_the_same_root(void) {
    for (int64_t blocks = 1; blocks <= MAX_STEPS; blocks++)
        for (int64_t stride = 1; stride < blocks; stride += 2) {
            attn_range arrivals[MAX_STEPS];
            int seen[MAX_STEPS] = {0}, distinct = 0;
            for (int64_t i = 0; i < blocks; i++) {
                int64_t block = (i * stride + stride / 2) % blocks;
                arrivals[i] = (attn_range){block, block + 1};
                distinct += !seen[block];
                seen[block] = 1;
            }
            if (distinct == blocks) check(blocks, arrivals, (int32_t)blocks, (int32_t)blocks);
        }
}

/* Any subset of 10 blocks, in ascending order, descending, and all at once. */
static void test_blocks_that_nobody_wants_are_left_out(void) {
    enum { BLOCKS = 10 };

    for (int wanted = 0; wanted < 1 << BLOCKS; wanted++)
        for (int order = 0; order < 3; order++) {
            int32_t step_of[BLOCKS];
            for (int b = 0; b < BLOCKS; b++) {
                int32_t step = order == 0 ? b : order == 1 ? BLOCKS - 1 - b : 0;
                step_of[b] = (wanted >> b & 1) == 1 ? step : -1;
            }
            check_steps(BLOCKS, step_of, BLOCKS, order == 2 ? 0 : 4);
        }
}

int main(void) {
    static const attn_test tests[] = {
        {"one step keeps nothing", test_one_step_keeps_nothing},
        {"ring order gives the same root from every rank",
         test_ring_order_gives_the_same_root_from_every_rank},
        {"aligned shards keep at most 2 log2 of them",
         test_aligned_shards_keep_at_most_2_log2_of_them},
        {"any order gives the same root", test_any_order_gives_the_same_root},
        {"blocks that nobody wants are left out", test_blocks_that_nobody_wants_are_left_out},
    };
    return attn_test_main("unit.merge_tree", tests, ATTN_TEST_COUNT(tests));
}
