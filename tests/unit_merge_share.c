/* The merge tree shared out, run on symbols by all ranks together: the root is the whole tree's,
 * and no more is sent than the tree asks for. */
#include "merge_share.h"

#include <stdlib.h>

#include "harness.h"

enum { MAX_SLOTS = 128, MAX_RANKS = 9, MAX_BLOCKS = 64 };

static uint64_t leaf(int64_t block) {
    return (uint64_t)(block + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Not symmetric: left and right may not be swapped. */
static uint64_t joined(uint64_t left, uint64_t right) {
    uint64_t mixed = left * UINT64_C(0xbf58476d1ce4e5b9) + right;
    return (mixed ^ (mixed >> 29)) * UINT64_C(0x94d049bb133111eb);
}

/* Node (level, index): its value, 0 when nothing below is wanted; the rank that holds its leftmost
 * wanted block; and how many joins so far were of two ranks. */
typedef struct node {
    uint64_t value;
    int32_t owner;
} node;

static node expected(int64_t count, const int32_t *owner_of, int level, int64_t index,
                     int64_t *crossings) {
    node left, right;

    if (index << level >= count) return (node){0, -1};
    if (level == 0)
        return owner_of[index] < 0 ? (node){0, -1} : (node){leaf(index), owner_of[index]};
    left = expected(count, owner_of, level - 1, 2 * index, crossings);
    right = expected(count, owner_of, level - 1, 2 * index + 1, crossings);
    if (left.value == 0) return right;
    if (right.value == 0) return left;
    *crossings += left.owner != right.owner;
    return (node){joined(left.value, right.value), left.owner};
}

static int levels_of(int64_t count) {
    int level = 0;

    while ((INT64_C(1) << level) < count) level++;
    return level;
}

/* What one rank holds. */
typedef struct place {
    attn_merge_tree tree;
    uint64_t slots[MAX_SLOTS];
} place;

static void run_step(place *at, const int32_t *owner_of, int32_t rank, int32_t step) {
    const attn_merge_tree *tree = &at->tree;

    for (int32_t s = tree->kept_slots; s < tree->slots; s++) at->slots[s] = 0;
    for (int64_t i = tree->step_first[step]; i < tree->step_first[step + 1]; i++) {
        const attn_merge_op *op = &tree->ops[i];

        CU_ASSERT(op->result >= 0 && op->result < tree->slots);
        if (op->block >= 0) CU_ASSERT_EQUAL(owner_of[op->block], rank);
        at->slots[op->result] =
            op->block >= 0 ? leaf(op->block) : joined(at->slots[op->left], at->slots[op->right]);
    }
}

/* The message of `peer` that is the pair of message number `sent` of `rank`: as many of the same
 * step between the two come before it on both sides. NULL: there is none. */
static const attn_merge_message *pair_of(const place *places, int32_t rank, int64_t sent) {
    const attn_merge_message *message = &places[rank].tree.messages[sent];
    const attn_merge_tree *other = &places[message->peer].tree;
    int64_t before = 0;

    for (int64_t i = 0; i < sent; i++) {
        const attn_merge_message *earlier = &places[rank].tree.messages[i];

        before +=
            earlier->is_sent && earlier->step == message->step && earlier->peer == message->peer;
    }
    for (int64_t i = 0; i < other->message_count; i++)
        if (!other->messages[i].is_sent && other->messages[i].step == message->step &&
            other->messages[i].peer == rank && before-- == 0)
            return &other->messages[i];
    return NULL;
}

static int64_t deliver(place *places, int32_t ranks, int32_t step) {
    int64_t sent = 0;

    for (int32_t rank = 0; rank < ranks; rank++)
        for (int64_t i = 0; i < places[rank].tree.message_count; i++) {
            const attn_merge_message *message = &places[rank].tree.messages[i];
            const attn_merge_message *pair;

            if (!message->is_sent || message->step != step) continue;
            sent++;
            CU_ASSERT_NOT_EQUAL(message->peer, rank);
            pair = pair_of(places, rank, i);
            CU_ASSERT_PTR_NOT_NULL(pair);
            if (pair == NULL) continue;
            CU_ASSERT(message->slot < places[rank].tree.kept_slots);
            CU_ASSERT(pair->slot < places[message->peer].tree.kept_slots);
            CU_ASSERT_EQUAL(pair->blocks.first, message->blocks.first);
            CU_ASSERT_EQUAL(pair->blocks.last, message->blocks.last);
            places[message->peer].slots[pair->slot] = places[rank].slots[message->slot];
        }
    return sent;
}

/* Returns the messages one behind the other, and, unless NULL, all of them in *sent. */
static int32_t check(int64_t blocks, const int32_t *owner_of, int32_t ranks, int32_t home,
                     int64_t *sent) {
    static place places[MAX_RANKS];
    int64_t crossings = 0, messages = 0;
    node root = expected(blocks, owner_of, levels_of(blocks), 0, &crossings);
    int32_t last_step = 0, steps = 0;
    attn_error error;

    for (int32_t rank = 0; rank < ranks; rank++) {
        place *at = &places[rank];

        CU_ASSERT_EQUAL(attn_merge_share_create(blocks, owner_of, rank, home, &at->tree, &error),
                        ATTN_OK);
        CU_ASSERT_EQUAL(at->tree.is_empty, root.value == 0);
        CU_ASSERT_EQUAL(at->tree.root_step >= 0, rank == home);
        CU_ASSERT(at->tree.slots <= MAX_SLOTS && at->tree.slots > at->tree.kept_slots);
        if (at->tree.slots > MAX_SLOTS) return 0;
        if (at->tree.step_count > steps) steps = at->tree.step_count;
        for (int32_t s = 0; s < MAX_SLOTS; s++) at->slots[s] = 0;
    }
    for (int32_t step = 0; step < steps; step++) {
        int64_t of_step;

        for (int32_t rank = 0; rank < ranks; rank++)
            if (step < places[rank].tree.step_count) run_step(&places[rank], owner_of, rank, step);
        if (step == places[home].tree.root_step)
            CU_ASSERT_EQUAL(places[home].slots[places[home].tree.root], root.value);
        of_step = deliver(places, ranks, step);
        messages += of_step;
        if (of_step > 0) last_step = step + 1;
    }
    CU_ASSERT(places[home].tree.root_step < steps);
    CU_ASSERT_EQUAL(messages, crossings + (root.value != 0 && root.owner != home));
    if (sent != NULL) *sent = messages;
    for (int32_t rank = 0; rank < ranks; rank++) attn_merge_tree_destroy(&places[rank].tree);
    return last_step;
}

static void test_runs_of_blocks_give_the_root_wherever_it_is_wanted(void) {
    for (int64_t blocks = 1; blocks <= 40; blocks++)
        for (int32_t ranks = 1; ranks <= MAX_RANKS; ranks++)
            for (int32_t home = 0; home < ranks; home++) {
                int32_t owner_of[MAX_BLOCKS], log = levels_of(ranks);

                for (int32_t rank = 0; rank < ranks; rank++) {
                    attn_range own = attn_deal(blocks, ranks, rank);

                    for (int64_t b = own.first; b < own.last; b++) owner_of[b] = rank;
                }
                /* Up the tree of the ranks, and to its home. */
                CU_ASSERT(check(blocks, owner_of, ranks, home, NULL) <= log + 2);
            }
}

static void test_aligned_runs_send_once_each(void) {
    for (int log = 0; log <= 3; log++) {
        int32_t ranks = 1 << log, owner_of[MAX_BLOCKS];

        for (int64_t b = 0; b < 4 * ranks; b++) owner_of[b] = (int32_t)(b / 4);
        for (int32_t home = 0; home < ranks; home++) {
            int64_t sent;

            CU_ASSERT_EQUAL(check(4 * ranks, owner_of, ranks, home, &sent), log + (home > 0));
            CU_ASSERT_EQUAL(sent, ranks - 1 + (home > 0));
        }
    }
}

/* Any owners of 6 blocks among 3 ranks, or none. */
static void test_any_owners_give_the_root(void) {
    enum { BLOCKS = 6, RANKS = 3 };

    for (int number = 0; number < 4096; number++)
        for (int32_t home = 0; home < RANKS; home++) {
            int32_t owner_of[BLOCKS];

            for (int b = 0; b < BLOCKS; b++) owner_of[b] = (number >> 2 * b & 3) - 1;
            check(BLOCKS, owner_of, RANKS, home, NULL);
        }
}

/* Dealt in stripes of one block, the worst there is. */
static void test_stripes_give_the_root(void) {
    for (int64_t blocks = 1; blocks <= 40; blocks++)
        for (int32_t ranks = 1; ranks <= MAX_RANKS; ranks++) {
            int32_t owner_of[MAX_BLOCKS];

            for (int64_t b = 0; b < blocks; b++)
                owner_of[b] = b % 7 == 3 ? -1 : (int32_t)(b % ranks);
            check(blocks, owner_of, ranks, ranks - 1, NULL);
        }
}

int main(void) {
    static const attn_test tests[] = {
        {"runs of blocks give the root wherever it is wanted",
         test_runs_of_blocks_give_the_root_wherever_it_is_wanted},
        {"aligned runs send once each", test_aligned_runs_send_once_each},
        {"any owners give the root", test_any_owners_give_the_root},
        {"stripes give the root", test_stripes_give_the_root},
    };
    return attn_test_main("unit.merge_share", tests, ATTN_TEST_COUNT(tests));
}
