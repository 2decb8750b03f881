/* The merge tree, run on symbols: a value is a hash of the expression that made it,
 * so two roots are equal only when the same merges were made in the same places. */
#include "merge_tree.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { MAX_SLOTS = 256, MAX_STEPS = 64 };

static uint64_t leaf(int64_t block) {
    return (uint64_t)(block + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Not symmetric: left and right may not be swapped. */
static uint64_t joined(uint64_t left, uint64_t right) {
    uint64_t mixed = left * UINT64_C(0xbf58476d1ce4e5b9) + right;
    return (mixed ^ (mixed >> 29)) * UINT64_C(0x94d049bb133111eb);
}

/* The tree's definition: node (level, index) over `count` blocks. */
static uint64_t expected(int64_t count, int level, int64_t index) {
    int64_t right_first;

    if (level == 0) return leaf(index);
    right_first = (2 * index + 1) << (level - 1);
    if (right_first >= count) return expected(count, level - 1, 2 * index);
    return joined(expected(count, level - 1, 2 * index), expected(count, level - 1, 2 * index + 1));
}

static uint64_t expected_root(int64_t count) {
    int level = 0;

    while ((INT64_C(1) << level) < count) level++;
    return expected(count, level, 0);
}

/* Runs the program; between steps, what is not kept is destroyed. */
static uint64_t run(const attn_merge_tree *tree, const attn_range *arrivals) {
    uint64_t slots[MAX_SLOTS] = {0}, root = 0;
    int32_t last_step = -1;

    CU_ASSERT(tree->slots <= MAX_SLOTS);
    if (tree->slots > MAX_SLOTS) return 0;
    for (int32_t step = 0; step < tree->step_count; step++) {
        for (int32_t s = tree->kept_slots; s < tree->slots; s++) slots[s] = 0;
        for (int64_t i = tree->step_first[step]; i < tree->step_first[step + 1]; i++) {
            const attn_merge_op *op = &tree->ops[i];
            CU_ASSERT(op->result >= 0 && op->result < tree->slots);
            if (op->block >= 0)
                CU_ASSERT(op->block >= arrivals[step].first && op->block < arrivals[step].last);
            root = op->block >= 0 ? leaf(op->block) : joined(slots[op->left], slots[op->right]);
            slots[op->result] = root;
            last_step = step;
        }
    }
    CU_ASSERT_EQUAL(tree->root_step, last_step);
    return root;
}

static void check(int64_t blocks, const attn_range *arrivals, int32_t steps, int32_t most_kept) {
    attn_merge_tree tree;
    attn_error error;

    CU_ASSERT_EQUAL(attn_merge_tree_create(blocks, arrivals, steps, &tree, &error), ATTN_OK);
    CU_ASSERT_EQUAL(run(&tree, arrivals), expected_root(blocks));
    CU_ASSERT(tree.kept_slots <= most_kept);
    attn_merge_tree_destroy(&tree);
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

int main(void) {
    static const attn_test tests[] = {
        {"one step keeps nothing", test_one_step_keeps_nothing},
        {"ring order gives the same root from every rank",
         test_ring_order_gives_the_same_root_from_every_rank},
        {"aligned shards keep at most 2 log2 of them",
         test_aligned_shards_keep_at_most_2_log2_of_them},
        {"any order gives the same root", test_any_order_gives_the_same_root},
    };
    return attn_test_main("unit.merge_tree", tests, ATTN_TEST_COUNT(tests));
}
