/* What circulates: each rank sends the messages and bytes that circulation_expected.c counts, and
 * in known cases those that are written down here. And what a plan holds for it: no copy and no
 * partial that nobody waits for. */
#include <stdio.h>
#include <string.h>

#include "circulation_cases.h"
#include "circulation_expected.h"
#include "circulation_sharing.h"
#include "circulation_world.h"
#include "harness.h"
#include "plan_state.h"

enum { HEADS = ATTN_CASE_HEADS, DIM = ATTN_CASE_DIM, MAX_RANKS = ATTN_WORLD_MOST_RANKS };

/* --- in every case -------------------------------------------------------------------- */

static void check_traffic(const char *circulate, attn_share_nodes share,
                          attn_expected (*expected)(const attn_plan *plan)) {
    for (int c = 0; c < ATTN_CASES; c++)
        for (int l = 0; l < ATTN_CASE_LAYOUTS; l++) {
            attn_plan *plan = attn_case_execute(c, attn_case_layouts[l], circulate, share);
            attn_expected wanted;
            attn_stats stats;

            if (plan == NULL) continue;
            attn_expected_look_through(plan);
            wanted = expected(plan);
            stats = attn_plan_stats(plan);
            CU_ASSERT_EQUAL(stats.circulated_messages, wanted.messages);
            CU_ASSERT_EQUAL(stats.circulated_bytes, wanted.bytes);
            CU_ASSERT_EQUAL(stats.sent_messages, wanted.messages); /* one head group */
            if (stats.circulated_messages != wanted.messages)
                fprintf(stderr, "\n%s, %s, %s, rank %d: %d messages, not %d\n", circulate,
                        attn_case_name(c), attn_case_layouts[l], attn_world_rank(),
                        (int)stats.circulated_messages, (int)wanted.messages);
            attn_plan_destroy(plan);
        }
}

static void test_a_ring_sends_a_shard_as_far_as_it_is_needed(void) {
    check_traffic("ring", ATTN_SHARE_AUTO, attn_expected_of_ring);
}

static void test_a_gather_sends_slices_to_those_that_need_them(void) {
    check_traffic("gather", ATTN_SHARE_NEVER, attn_expected_of_gather);
}

static void test_a_reduce_sends_queries_and_what_the_tree_joins(void) {
    check_traffic("reduce", ATTN_SHARE_AUTO, attn_expected_of_reduce);
}

static void test_a_shared_gather_sends_slices_once_to_each_node(void) {
    for (int size = 2; size <= MAX_RANKS && attn_world_ranks() > 1; size++) {
        if (size == 6 || size == 7) continue;
        attn_world_make_nodes_of(size);
        check_traffic("gather", ATTN_SHARE_ALWAYS, attn_expected_of_shared_gather);
    }
    attn_world_make_nodes_of(MAX_RANKS);
}

/* --- known counts --------------------------------------------------------------------- */

/* One query that sees all of 16 blocks, which belong to the first shard with queries. */
static void test_the_known_counts_of_a_reduce(void) {
    const int64_t ranks = attn_world_ranks();
    attn_plan *plan;
    attn_stats stats;

    if (ranks == 3 || ranks == 5) return; /* their shards are no nodes of the tree */
    plan = attn_case_execute(ATTN_CASE_ONE_QUERY, "contiguous", "reduce", ATTN_SHARE_AUTO);
    if (plan == NULL) return;
    stats = attn_plan_stats(plan);
    CU_ASSERT_EQUAL(attn_world_all(stats.circulated_messages, MPI_SUM),
                    2 * (ranks - 1)); /* the query to all, and a join each */
    CU_ASSERT_EQUAL(attn_world_all(stats.circulated_bytes, MPI_SUM),
                    (ranks - 1) * HEADS * (DIM + DIM + 2) * (int64_t)sizeof(float));
    attn_plan_destroy(plan);
}

/* On the whole axis, written down: for shards of two blocks and more. */
static void test_the_known_counts_of_a_ring(void) {
    const int ranks = attn_world_ranks();
    const int all = ranks * (ranks - 1), half = all / 2, one_side = ranks - 1;
    const struct {
        const char *layout;
        int which, messages;
    } known[] = {
        {"contiguous", ATTN_CASE_NO_MASK, all},
        {"contiguous", ATTN_CASE_CAUSAL, half},
        {"zigzag", ATTN_CASE_CAUSAL, all},
        {"contiguous", ATTN_CASE_LEFT, one_side},
        {"contiguous", ATTN_CASE_RIGHT, one_side},
        {"contiguous", ATTN_CASE_BOTH_SIDES, 2 * one_side},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        attn_plan *plan =
            attn_case_execute(known[i].which, known[i].layout, "ring", ATTN_SHARE_AUTO);

        if (plan == NULL) continue;
        CU_ASSERT_EQUAL(attn_world_all(attn_plan_stats(plan).circulated_messages, MPI_SUM),
                        known[i].messages);
        attn_plan_destroy(plan);
    }
}

/* Of the bytes, those between different nodes: of a ring, what the last of a node sends up. */
static void test_bytes_that_cross_nodes_are_counted(void) {
    const int rank = attn_world_rank(), ranks = attn_world_ranks();

    for (int size = 1; size <= MAX_RANKS; size++) {
        attn_plan *plan;
        int is_last;

        attn_world_make_nodes_of(size);
        is_last = attn_world_node_of(rank) != attn_world_node_of((rank + 1) % ranks);
        /* No mask: all go up. */
        plan = attn_case_execute(ATTN_CASE_NO_MASK, "contiguous", "ring", ATTN_SHARE_AUTO);
        if (plan != NULL) {
            attn_stats stats = attn_plan_stats(plan);
            CU_ASSERT_EQUAL(stats.crossed_bytes, is_last ? stats.sent_bytes : 0);
        }
        attn_plan_destroy(plan);
        plan = attn_case_execute(ATTN_CASE_NO_MASK, "contiguous", "gather", ATTN_SHARE_AUTO);
        if (plan != NULL) {
            attn_stats stats = attn_plan_stats(plan);
            CU_ASSERT_EQUAL(stats.crossed_bytes, stats.sent_bytes);
            CU_ASSERT_EQUAL(stats.crossed_bytes, attn_layout_rows(&plan->key_layout, rank) *
                                                     ATTN_CASE_ROW_BYTES *
                                                     (attn_world_nodes() - 1));
        }
        attn_plan_destroy(plan);
    }
    attn_world_make_nodes_of(MAX_RANKS);
}

/* --- what is held --------------------------------------------------------------------- */

/* With twice the keys, in as many blocks, the plan has the caller's more keys to count and no
 * byte besides: not packed, not copied. */
static void test_a_few_queries_use_the_callers_keys_in_place(void) {
    const attn_options options = attn_case_options(NULL, "reduce", ATTN_SHARE_AUTO);
    int64_t bytes[2], rows[2];

    for (int i = 0; i < 2; i++) {
        attn_problem problem = attn_case_problem(2, (attn_mask_spec){.causal = ATTN_CAUSAL});
        attn_plan_info info;
        attn_plan *plan;

        problem.kv_length <<= i;
        problem.heads *= 4;
        plan = attn_case_plan(&problem, &options);
        if (plan == NULL) return;
        attn_plan_get_info(plan, &info);
        bytes[i] = info.bytes;
        rows[i] = attn_plan_key_rows(plan).count;
        attn_plan_destroy(plan);
    }
    CU_ASSERT_EQUAL(bytes[1] - bytes[0], (rows[1] - rows[0]) * ATTN_CASE_ROW_BYTES);
}

/* Steps that have nothing for a rank have no operation in its merge tree. */
static void test_steps_without_a_needed_block_run_nothing(void) {
    const int rank = attn_world_rank();
    attn_plan *plan = attn_case_execute(ATTN_CASE_CAUSAL, "contiguous", "ring", ATTN_SHARE_AUTO);

    if (plan == NULL) return;
    for (int step = 0; step < plan->attend.tree.step_count; step++) {
        const int64_t *first = plan->attend.tree.step_first;

        CU_ASSERT_EQUAL(first[step] < first[step + 1], step <= rank);
    }
    CU_ASSERT_EQUAL(plan->attend.tree.root_step, rank);
    attn_plan_destroy(plan);
}

/* Pairs of kept slot and tile that have memory: just those of which some row of the tile sees a key
 * of a block that goes into the slot. */
static void check_kept(const attn_plan *plan) {
    const attn_merge_tree *tree = &plan->attend.tree;
    const attn_tiling *tiling = &plan->attend.tiling;
    const attn_row_list *queries = &plan->attend.queries;
    attn_range covers[64]; /* of slots */
    int64_t wrong = 0;

    for (int64_t at = 0; at < tree->kept_slots * tiling->along; at++) {
        int64_t slot = at / tiling->along, first = at % tiling->along * tiling->tile_rows;
        int sees = 0;

        for (int64_t i = 0; i < tree->step_first[tree->step_count]; i++) {
            const attn_merge_op *op = &tree->ops[i];
            attn_range blocks = {op->block, op->block + 1};

            if (op->block < 0)
                blocks = (attn_range){covers[op->left].first, covers[op->right].last};
            covers[op->result] = blocks;
            if (op->result != slot) continue;
            for (int64_t own = first; own < first + tiling->tile_rows && own < queries->count;
                 own++)
                sees |= attn_expected_row_sees(attn_row_list_at(queries, own), blocks);
        }
        wrong += sees != (plan->attend.kept.place[at] >= 0);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void test_partials_wait_only_for_tiles_that_have_them(void) {
    for (int c = 0; c < ATTN_CASES; c++)
        for (int l = 0; l < ATTN_CASE_LAYOUTS; l++) {
            attn_plan *plan = attn_case_execute(c, attn_case_layouts[l],
                                                l % 2 == 0 ? "ring" : "gather", ATTN_SHARE_AUTO);

            if (plan == NULL) continue;
            CU_ASSERT(plan->attend.tree.slots <= 64);
            attn_expected_look_through(plan);
            check_kept(plan);
            attn_plan_destroy(plan);
        }
}

static const attn_test own_tests[] = {
    {"a ring sends a shard as far as it is needed",
     test_a_ring_sends_a_shard_as_far_as_it_is_needed},
    {"a gather sends slices to those that need them",
     test_a_gather_sends_slices_to_those_that_need_them},
    {"a reduce sends queries and what the tree joins",
     test_a_reduce_sends_queries_and_what_the_tree_joins},
    {"a shared gather sends slices once to each node",
     test_a_shared_gather_sends_slices_once_to_each_node},
    {"the known counts of a reduce", test_the_known_counts_of_a_reduce},
    {"the known counts of a ring", test_the_known_counts_of_a_ring},
    {"bytes that cross nodes are counted", test_bytes_that_cross_nodes_are_counted},
    {"a few queries use the caller's keys in place",
     test_a_few_queries_use_the_callers_keys_in_place},
    {"steps without a needed block run nothing", test_steps_without_a_needed_block_run_nothing},
    {"partials wait only for tiles that have them",
     test_partials_wait_only_for_tiles_that_have_them},
};

int main(int argc, char **argv) {
    enum { OWN_TESTS = ATTN_TEST_COUNT(own_tests), TESTS = OWN_TESTS + ATTN_SHARING_TESTS };
    attn_test tests[TESTS];

    memcpy(tests, own_tests, sizeof own_tests);
    memcpy(tests + OWN_TESTS, attn_sharing_tests, sizeof attn_sharing_tests);
    return attn_test_main_mpi(&argc, &argv, "mpi.circulation", tests, TESTS);
}
