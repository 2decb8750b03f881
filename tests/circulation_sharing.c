#define _POSIX_C_SOURCE 200809L

/* Nodes whose ranks share one copy of keys and values: these bring equally much of it, and
 * overwrite nothing that another still reads. Where it cannot be or saves nothing, they do not
 * share. */
#include "circulation_sharing.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "circulation_cases.h"
#include "circulation_expected.h"
#include "circulation_world.h"
#include "gather_deal.h"
#include "plan_state.h"

enum { MAX_RANKS = ATTN_WORLD_MOST_RANKS };

/* --- who brings what ------------------------------------------------------------------ */

/* Each slice that a node needs has one receiver there, and these have the same to do. */
static void check_deal(const attn_plan *plan) {
    const attn_circulate *circulate = &plan->circulate;
    const int rank = attn_world_rank(), ranks = attn_world_ranks();
    const int node = attn_world_node_of(rank);

    for (int64_t slice = 0; slice < circulate->slice_count; slice++) {
        int64_t loads[MAX_RANKS] = {0}, largest = 0, most = 0, least = INT64_MAX;

        for (int k = 0; k < ranks; k++) {
            attn_range rows = attn_expected_slice(plan, k, slice);
            int64_t bytes = attn_range_count(rows) * ATTN_CASE_ROW_BYTES;
            int receiver = attn_gather_deal_at(circulate->state, circulate, slice, k)->receiver;
            int is_needed =
                attn_world_node_of(k) != node && attn_expected_node_needs(plan, node, k, rows);

            CU_ASSERT_EQUAL(receiver >= 0, is_needed);
            if (receiver < 0) continue;
            CU_ASSERT_EQUAL(attn_world_node_of(receiver), node);
            loads[receiver] += bytes;
            if (bytes > largest) largest = bytes;
        }
        for (int i = 0; i < ranks; i++) {
            if (attn_world_node_of(i) != node) continue;
            if (loads[i] > most) most = loads[i];
            if (loads[i] < least) least = loads[i];
        }
        CU_ASSERT(most - least <= largest);
        CU_ASSERT(circulate->share.part_bytes[1 + slice % 2] >= loads[rank]);
    }
}

static void test_slices_are_dealt_evenly_to_the_ranks_of_a_node(void) {
    for (int size = 2; size <= 4 && attn_world_ranks() > 1; size++) {
        attn_world_make_nodes_of(size);
        for (int c = 0; c < ATTN_CASES; c++) {
            attn_plan *plan = attn_case_execute(c, attn_case_layouts[c % ATTN_CASE_LAYOUTS],
                                                "gather", ATTN_SHARE_ALWAYS);

            if (plan == NULL) continue;
            attn_expected_look_through(plan);
            check_deal(plan);
            attn_plan_destroy(plan);
        }
    }
    attn_world_make_nodes_of(MAX_RANKS);
}

/* With all ranks on one node: K and V of all rows, and nothing besides. */
static void test_a_node_holds_one_copy(void) {
    attn_plan *plan;
    int64_t bytes = 0;

    if (attn_world_ranks() == 1) return;
    plan = attn_case_execute(ATTN_CASE_NO_MASK, "contiguous", "gather", ATTN_SHARE_AUTO);
    if (plan == NULL) return;
    for (int i = 0; i < ATTN_SHARE_PARTS; i++) bytes += plan->circulate.share.part_bytes[i];
    CU_ASSERT_EQUAL(attn_world_all(bytes, MPI_SUM), ATTN_CASE_BYTES);
    CU_ASSERT_EQUAL(plan->circulate.arrivals.steps, 2);
    CU_ASSERT_EQUAL(attn_plan_stats(plan).circulated_messages, 0);
    attn_plan_destroy(plan);
}

/* --- whether they share --------------------------------------------------------------- */

static int is_shared(int which, const char *circulate, attn_share_nodes share) {
    attn_plan *plan = attn_case_execute(which, "contiguous", circulate, share);
    attn_plan_info info = {0};
    int64_t shares;

    if (plan != NULL) attn_plan_get_info(plan, &info);
    attn_plan_destroy(plan);
    shares = info.share_ranks > 1;
    CU_ASSERT_EQUAL(attn_world_all(shares, MPI_MIN), attn_world_all(shares, MPI_MAX));
    return (int)shares;
}

static void test_nodes_share_by_themselves_where_it_saves(void) {
    const int ranks = attn_world_ranks();

    for (int size = 1; size <= MAX_RANKS; size *= 2) {
        attn_world_make_nodes_of(size);
        CU_ASSERT_EQUAL(is_shared(ATTN_CASE_NO_MASK, "gather", ATTN_SHARE_AUTO),
                        ranks > 1 && size > 1);
        CU_ASSERT_EQUAL(is_shared(ATTN_CASE_NO_MASK, "gather", ATTN_SHARE_NEVER), 0);
        CU_ASSERT_EQUAL(is_shared(ATTN_CASE_NO_MASK, "ring", ATTN_SHARE_AUTO), 0);
        /* Nobody's window reaches into another's shard of two documents. */
        if (ranks == 2) CU_ASSERT_EQUAL(is_shared(ATTN_CASE_APART, "gather", ATTN_SHARE_AUTO), 0);
    }
    attn_world_make_nodes_of(MAX_RANKS);
}

static void check_refused(const char *circulate, attn_status status) {
    const attn_problem problem = attn_case_problem(ATTN_CASE_ROWS, (attn_mask_spec){0});
    const attn_options options = attn_case_options(NULL, circulate, ATTN_SHARE_ALWAYS);
    attn_plan *plan;
    attn_error error;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &problem, &options, &plan, &error), status);
    CU_ASSERT_PTR_NULL(plan);
    attn_plan_destroy(plan);
}

static void test_sharing_that_cannot_be_is_refused(void) {
    check_refused("ring", ATTN_ERR_CONFIG);
    attn_world_make_nodes_of(1);
    check_refused("gather", ATTN_ERR_CONFIG);
    attn_world_make_nodes_of(MAX_RANKS);
}

/* After the window was made, which is then freed. */
static void test_a_failure_beside_a_window_ends_on_all_ranks(void) {
    if (attn_world_ranks() == 1) return;
    setenv("ATTNSPAN_INJECT", "share:1", 1);
    check_refused("gather", ATTN_ERR_IO);
    unsetenv("ATTNSPAN_INJECT");
}

/* --- while others go on --------------------------------------------------------------- */

static void rest(void *context, double done) {
    const struct timespec while_others_go_on = {0, 2000000};

    (void)context;
    (void)done;
    nanosleep(&while_others_go_on, NULL);
}

/* Striped, for several slices; the outputs of own rows, of two executions on other keys. */
static float *execute_resting(attn_share_nodes share, int rests, int64_t *elems, int64_t *slices) {
    const attn_problem problem = attn_case_problem(ATTN_CASE_ROWS, (attn_mask_spec){0});
    attn_options options = attn_case_options("striped", "gather", share);
    attn_plan *plan;
    float *q, *k, *out;

    options.on_progress = rests ? rest : NULL;
    plan = attn_case_plan(&problem, &options);
    if (plan == NULL) return NULL;
    *elems = attn_plan_query_rows(plan).count * ATTN_CASE_HEADS * ATTN_CASE_DIM;
    *slices = plan->circulate.slice_count;
    q = attn_case_array(*elems);
    k = attn_case_array(*elems);
    out = attn_case_array(2 * *elems);
    for (int execution = 0; execution < 2; execution++) {
        for (int64_t i = 0; i < *elems; i++) k[i] *= 2 + 0.125f * (float)attn_world_rank();
        attn_execute(plan, q, k, k, out + execution * *elems, NULL);
    }
    free(k);
    free(q);
    attn_plan_destroy(plan);
    return out;
}

static void check_resting(int slow) {
    int64_t elems = 0, slices = 0;
    float *alone = execute_resting(ATTN_SHARE_NEVER, 0, &elems, &slices);
    float *shared = execute_resting(ATTN_SHARE_ALWAYS, attn_world_rank() == slow, &elems, &slices);

    if (attn_world_nodes() > 1 && attn_world_ranks() <= 4)
        CU_ASSERT(slices >= 3); /* a buffer is used again */
    CU_ASSERT(alone != NULL && shared != NULL &&
              memcmp(alone, shared, 2 * (size_t)elems * sizeof *shared) == 0);
    free(shared);
    free(alone);
}

/* Others are then a step ahead, or an execution, as far as they can be. */
static void test_what_a_slow_rank_still_reads_is_not_overwritten(void) {
    const int ranks = attn_world_ranks();

    for (int slow = 0; slow < ranks && ranks > 1; slow++) {
        attn_world_make_nodes_of(2);
        check_resting(slow);
        attn_world_make_nodes_of(MAX_RANKS);
        check_resting(slow);
    }
}

const attn_test attn_sharing_tests[ATTN_SHARING_TESTS] = {
    {"slices are dealt evenly to the ranks of a node",
     test_slices_are_dealt_evenly_to_the_ranks_of_a_node},
    {"a node holds one copy", test_a_node_holds_one_copy},
    {"nodes share by themselves where it saves", test_nodes_share_by_themselves_where_it_saves},
    {"sharing that cannot be is refused", test_sharing_that_cannot_be_is_refused},
    {"a failure beside a window ends on all ranks",
     test_a_failure_beside_a_window_ends_on_all_ranks},
    {"what a slow rank still reads is not overwritten",
     test_what_a_slow_rank_still_reads_is_not_overwritten},
};
