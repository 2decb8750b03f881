/* Predictions, and what auto makes of them: on ranks that nobody starts. */
#include <math.h>
#include <string.h>

#include "choose.h"
#include "harness.h"
#include "layout.h"

static attn_problem problem_of(int64_t length, int64_t kv_length, int64_t heads,
                               attn_causal causal) {
    return (attn_problem){.batch = 1,
                          .length = length,
                          .kv_length = kv_length,
                          .heads = heads,
                          .kv_heads = heads,
                          .key_dim = 64,
                          .value_dim = 64,
                          .mask = {.causal = causal}};
}

/* Rates that make the expected times round. */
static attn_cluster cluster_of(int64_t ranks, int64_t ranks_per_node) {
    return (attn_cluster){.ranks = ranks,
                          .ranks_per_node = ranks_per_node,
                          .threads = 1,
                          .machine = {.attention = {{1e9, 0, 0, 0}, {1e9, 0, 0, 0}},
                                      .gemm_flops = 1e9,
                                      .copy_bytes = INFINITY,
                                      .read_bytes = INFINITY,
                                      .node = {0, INFINITY},
                                      .network = {0, 1e6}}};
}

static attn_cost cost_of(const attn_problem *problem, const attn_cluster *cluster, attn_way way) {
    attn_cost cost;
    attn_error error;

    CU_ASSERT_EQUAL(attn_cost_predict(problem, ATTN_FP32, cluster, &way, &cost, &error), ATTN_OK);
    return cost;
}

static attn_choice choose(const attn_problem *problem, const attn_cluster *cluster,
                          attn_wish wish) {
    attn_choice choice = {.way = {0, 0, "", 0}};
    attn_error error;

    CU_ASSERT_EQUAL(attn_choose(problem, &wish, cluster, &choice, &error), ATTN_OK);
    return choice;
}

static const attn_wish anything = {.layout = -1};

/* Compute alone: flops over the rate, on one rank and shared by heads and by rows. */
static void test_compute_is_flops_over_rate(void) {
    const attn_problem problem = problem_of(4096, 4096, 8, ATTN_NOT_CAUSAL);
    const attn_cluster one = cluster_of(1, 1), eight = cluster_of(8, 8);
    const double flops = 2.0 * 128 * 8 * 4096.0 * 4096.0;

    CU_ASSERT_DOUBLE_EQUAL(cost_of(&problem, &one, (attn_way){1, 1, "ring", 0}).total_sec,
                           flops * 1e-9, 1e-9 * flops * 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(cost_of(&problem, &eight, (attn_way){8, 1, "ring", 0}).total_sec,
                           flops * 1e-9 / 8, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(cost_of(&problem, &eight, (attn_way){2, 4, "gather", 0}).total_sec,
                           flops * 1e-9 / 8, 1e-6);
}

/* A ring whose step takes longer than its compute waits for each but the first. */
static void test_a_slow_ring_takes_its_transfers(void) {
    const attn_problem problem = problem_of(4096, 4096, 1, ATTN_NOT_CAUSAL);
    const double shard_bytes = 4.0 * 1024 * 128;
    const double compute = 2.0 * 128 * 4096.0 * 4096.0 / 4 * 1e-9;
    attn_cluster cluster = cluster_of(4, 1);
    attn_cost cost = cost_of(&problem, &cluster, (attn_way){1, 4, "ring", 0});

    CU_ASSERT_DOUBLE_EQUAL(cost.circulate_bytes, 3 * shard_bytes, 1e-6);
    CU_ASSERT(shard_bytes / 1e6 > compute / 4);
    CU_ASSERT_DOUBLE_EQUAL(cost.attend_sec, compute / 4 + 3 * shard_bytes / 1e6, 1e-9);
    cluster.machine.network.bytes_per_sec = 1e7; /* hidden at that rate */
    cost = cost_of(&problem, &cluster, (attn_way){1, 4, "ring", 0});
    CU_ASSERT_DOUBLE_EQUAL(cost.attend_sec, compute, 1e-9);
}

/* Under a causal mask and a contiguous layout half of the shards are needed. */
static void test_what_nobody_needs_does_not_count(void) {
    const attn_problem problem = problem_of(8192, 8192, 1, ATTN_CAUSAL);
    const attn_cluster cluster = cluster_of(8, 1);
    const double shard_bytes = 4.0 * 1024 * 128;

    CU_ASSERT_DOUBLE_EQUAL(
        cost_of(&problem, &cluster, (attn_way){1, 8, "gather", 0}).circulate_bytes,
        7 * shard_bytes / 2, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(
        cost_of(&problem, &cluster, (attn_way){1, 8, "gather", attn_layout_find("zigzag")})
            .circulate_bytes,
        7 * shard_bytes, 1e-6);
}

/* 4 ranks of each of 2 nodes: a shard goes once to the other one, not seven times. */
static void test_a_shared_gather_sends_to_nodes(void) {
    const attn_problem problem = problem_of(8192, 8192, 1, ATTN_NOT_CAUSAL);
    const double shard_bytes = 4.0 * 1024 * 128;
    attn_cluster cluster = cluster_of(8, 4);
    attn_way gather = {1, 8, "gather", 0};
    double alone = cost_of(&problem, &cluster, gather).transfer_sec;

    CU_ASSERT_DOUBLE_EQUAL(cost_of(&problem, &cluster, gather).circulate_bytes, 7 * shard_bytes,
                           1e-6);
    cluster.share_nodes = 1;
    CU_ASSERT_DOUBLE_EQUAL(cost_of(&problem, &cluster, gather).circulate_bytes, shard_bytes, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(cost_of(&problem, &cluster, gather).transfer_sec, alone / 7, 1e-9);
    gather.shards = 6; /* four of them on one node, two on the other */
    cluster.ranks = 6;
    CU_ASSERT_DOUBLE_EQUAL(cost_of(&problem, &cluster, gather).circulate_bytes, 4.0 * 1366 * 128,
                           4 * 128);
}

/* With nodes of two ranks, only one head group leaves two ranks of an axis on a node. */
static void test_auto_finds_what_shares(void) {
    const attn_problem problem = problem_of(4096, 4096, 8, ATTN_CAUSAL);
    const attn_wish sharing = {.layout = -1, .share_nodes = ATTN_SHARE_ALWAYS};
    attn_cluster cluster = cluster_of(8, 2);
    attn_choice choice = choose(&problem, &cluster, sharing);
    attn_wish rings = sharing;
    attn_error error;

    CU_ASSERT_EQUAL(choice.way.members, 1);
    CU_ASSERT_STRING_EQUAL(choice.way.circulate, "gather");
    rings.circulate = "ring";
    CU_ASSERT_EQUAL(attn_choose(&problem, &rings, &cluster, &choice, &error), ATTN_ERR_CONFIG);
    cluster = cluster_of(8, 1);
    CU_ASSERT_EQUAL(attn_choose(&problem, &sharing, &cluster, &choice, &error), ATTN_ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "share_nodes: no mesh of these ranks"));
}

typedef struct expected_choice {
    const char *what;
    int64_t length, heads;
    attn_causal causal;
    int64_t ranks, members, shards;
} expected_choice;

static void test_auto_takes_the_least_loaded_mesh(void) {
    static const expected_choice choices[] = {
        {"heads divide: no imbalance", 4096, 8, ATTN_CAUSAL, 4, 4, 1},
        {"as many heads as ranks", 4096, 8, ATTN_NOT_CAUSAL, 8, 8, 1},
        {"one head: only the sequence can be shared", 4096, 1, ATTN_NOT_CAUSAL, 4, 1, 4},
        {"more ranks than heads, no mask", 4096, 2, ATTN_NOT_CAUSAL, 8, 2, 4},
        {"6 heads on 4: two halves of 3 heads beat 2, 2, 1, 1", 4096, 6, ATTN_NOT_CAUSAL, 4, 2, 2},
        {"a prime number of ranks", 4096, 5, ATTN_CAUSAL, 5, 5, 1},
        {"one row cannot be shared", 1, 4, ATTN_NOT_CAUSAL, 4, 4, 1},
    };

    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        const expected_choice *c = &choices[i];
        const attn_problem problem = problem_of(c->length, c->length, c->heads, c->causal);
        const attn_cluster cluster = cluster_of(c->ranks, c->ranks);
        const attn_choice choice = choose(&problem, &cluster, anything);

        CU_ASSERT_EQUAL(choice.way.members, c->members);
        CU_ASSERT_EQUAL(choice.way.shards, c->shards);
    }
}

/* Where the network is slow, heads are exchanged inside nodes. */
static void test_auto_keeps_the_exchange_inside_a_node(void) {
    const attn_problem problem = problem_of(65536, 65536, 16, ATTN_CAUSAL);
    const attn_cluster cluster = cluster_of(16, 4);
    const attn_choice choice = choose(&problem, &cluster, anything);

    CU_ASSERT(choice.way.members <= 4);
    CU_ASSERT_PTR_NOT_NULL(strstr(choice.why, "predicted, next "));
}

static void test_what_is_stated_is_kept(void) {
    const attn_problem problem = problem_of(4096, 4096, 4, ATTN_CAUSAL);
    const attn_cluster cluster = cluster_of(12, 12);
    attn_choice choice = choose(
        &problem, &cluster,
        (attn_wish){.shards = 6, .circulate = "gather", .layout = attn_layout_find("striped")});

    CU_ASSERT_EQUAL(choice.way.members, 2);
    CU_ASSERT_STRING_EQUAL(choice.way.circulate, "gather");
    CU_ASSERT_EQUAL(choice.way.layout, attn_layout_find("striped"));
    choice = choose(&problem, &cluster,
                    (attn_wish){.members = 2, .shards = 6, .circulate = "ring", .layout = 0});
    CU_ASSERT_STRING_EQUAL(choice.why, ""); /* nothing was open */
}

/* One query: only its own shard computes, unless keys stay. */
static void test_a_reduce_shares_out_the_keys_of_one_query(void) {
    attn_problem problem = problem_of(1, INT64_C(1) << 20, 1, ATTN_CAUSAL);
    const attn_cluster cluster = cluster_of(8, 8);
    attn_choice choice =
        choose(&problem, &cluster, (attn_wish){.members = 1, .circulate = "reduce", .layout = -1});

    CU_ASSERT(choice.cost.imbalance < 1.01);
    choice = choose(&problem, &cluster, (attn_wish){.members = 1, .layout = -1});
    CU_ASSERT_STRING_EQUAL(choice.way.circulate, "reduce");
    problem.terms.bias_heads = 1;
    choice = choose(&problem, &cluster, (attn_wish){.members = 1, .layout = -1});
    CU_ASSERT_STRING_NOT_EQUAL(choice.way.circulate, "reduce");
}

static void check_refused(int64_t members, int64_t shards, const char *words) {
    const attn_wish wish = {.members = members, .shards = shards, .layout = -1};
    attn_error error;

    CU_ASSERT_EQUAL(attn_choose_fits(&wish, 12, &error), ATTN_ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, words));
}

static void test_what_does_not_fit_is_refused(void) {
    check_refused(3, 5, "needs 15 ranks, but there are 12");
    check_refused(5, ATTN_PLAN_AUTO, "5 does not divide the number of ranks, which is 12");
    check_refused(ATTN_PLAN_AUTO, 7, "7 does not divide");
}

/* Many ranks take no longer than it takes to say so. */
static void test_a_hundred_thousand_ranks(void) {
    const attn_problem problem = problem_of(INT64_C(1) << 24, INT64_C(1) << 24, 64, ATTN_CAUSAL);
    const attn_cluster cluster = cluster_of(65536, 64);
    const attn_choice choice = choose(&problem, &cluster, anything);

    CU_ASSERT_EQUAL(choice.way.members * choice.way.shards, 65536);
    CU_ASSERT(choice.cost.total_sec > 0);
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.cost.compute_is_flops_over_rate", test_compute_is_flops_over_rate},
        {"unit.cost.a_slow_ring_takes_its_transfers", test_a_slow_ring_takes_its_transfers},
        {"unit.cost.what_nobody_needs_does_not_count", test_what_nobody_needs_does_not_count},
        {"unit.cost.a_shared_gather_sends_to_nodes", test_a_shared_gather_sends_to_nodes},
        {"unit.choose.what_shares", test_auto_finds_what_shares},
        {"unit.choose.least_loaded_mesh", test_auto_takes_the_least_loaded_mesh},
        {"unit.choose.exchange_inside_a_node", test_auto_keeps_the_exchange_inside_a_node},
        {"unit.choose.what_is_stated_is_kept", test_what_is_stated_is_kept},
        {"unit.choose.a_reduce_shares_out_the_keys_of_one_query",
         test_a_reduce_shares_out_the_keys_of_one_query},
        {"unit.choose.what_does_not_fit_is_refused", test_what_does_not_fit_is_refused},
        {"unit.choose.a_hundred_thousand_ranks", test_a_hundred_thousand_ranks},
    };

    return attn_test_main("unit_choose", tests, ATTN_TEST_COUNT(tests));
}
