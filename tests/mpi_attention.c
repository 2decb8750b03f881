#define _POSIX_C_SOURCE 200809L

/* The library on any number of ranks: one rank gives the oracle's result, and every mesh,
 * circulation, layout and thread count the very bits of the one rank. */
#include "mpi_attention.h"

#include <math.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "attention_execution.h"
#include "attention_naive.h"
#include "harness.h"

static void test_one_rank_agrees_with_the_oracle(void) {
    const attn_kernel *kernel = attn_kernel_of(attn_kernel_best(ATTN_FP32), ATTN_FP32);
    const attn_case *which;

    for (size_t c = 0; (which = attn_case_at(c)) != NULL; c++) {
        attn_arrays a;
        attn_naive naive;

        if (!attn_execution_is_my_turn(c)) continue;
        attn_arrays_create(&which->problem, which->with_biases, &a);
        attn_execution_alone(&which->problem, ATTN_FP32, NULL, &a);
        attn_naive_compute(&which->problem, &a, ATTN_FP32, &naive);
        attn_naive_check_y(&naive, &a, kernel);
        attn_naive_check_lse(&naive, &a);
        attn_naive_free(&naive);
        attn_arrays_destroy(&a);
    }
}

/* All layouts where the sequence alone is shared, one in turn elsewhere and under sanitizers. */
static void check_layouts(const attn_problem *p, const attn_arrays *a, attn_options options,
                          size_t turn) {
    const size_t count = options.mesh_heads == 1 && !ATTN_SANITIZED ? ATTN_CASE_LAYOUTS : 1;

    for (size_t i = turn; i < turn + count; i++) {
        options.layout = attn_case_layouts[i % ATTN_CASE_LAYOUTS];
        options.threads = 1 + (int32_t)(i % 2);
        attn_execution_check_way(p, a, &options);
    }
}

/* All ways of circulation on one mesh. */
static void check_circulations(const attn_problem *p, const attn_arrays *a, attn_options options,
                               size_t turn) {
    static const struct {
        const char *name, *node_ranks[2]; /* of one case, and of the next */
        attn_share_nodes share;
    } ways[] = {
        {"ring", {"8", "8"}, ATTN_SHARE_AUTO},   {"gather", {"8", "8"}, ATTN_SHARE_NEVER},
        {"gather", {"8", "8"}, ATTN_SHARE_AUTO}, {"gather", {"2", "3"}, ATTN_SHARE_AUTO},
        {"reduce", {"8", "8"}, ATTN_SHARE_AUTO},
    };

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        options.circulate = ways[i].name;
        options.share_nodes = ways[i].share;
        setenv("ATTNSPAN_NODE_RANKS", ways[i].node_ranks[turn % 2], 1);
        check_layouts(p, a, options, turn + i + (size_t)options.mesh_heads);
    }
    unsetenv("ATTNSPAN_NODE_RANKS");
}

static void test_every_mesh_circulation_and_layout_gives_the_same_bits(void) {
    const attn_case *which;
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (size_t c = 0; (which = attn_case_at(c)) != NULL; c++) {
        attn_arrays a;

        attn_arrays_create(&which->problem, which->with_biases, &a);
        attn_execution_for_all(&which->problem, ATTN_FP32, NULL, c, &a);
        for (int heads = 1; heads <= ranks; heads++) {
            const attn_options options = {
                .mesh_heads = heads, .mesh_sequence = ranks / heads, .with_lse = 1};

            if (ranks % heads == 0) check_circulations(&which->problem, &a, options, c);
        }
        attn_arrays_destroy(&a);
    }
}

static void test_messages_cut_into_pieces_give_the_same_bits(void) {
    const attn_problem problem = attn_case_problem("grouped heads");
    attn_arrays a;
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    attn_arrays_create(&problem, 0, &a);
    attn_execution_alone(&problem, ATTN_FP32, NULL, &a);
    setenv("ATTNSPAN_MAX_TRANSFER_BYTES", "192", 1);
    for (int heads = 1; heads <= ranks; heads++)
        for (int i = 0; ranks % heads == 0 && i < ATTN_CASE_CIRCULATIONS; i++) {
            const attn_options options = {.mesh_heads = heads,
                                          .circulate = attn_case_circulations[i],
                                          .with_lse = 1,
                                          .threads = 1};

            attn_execution_check_mesh(&problem, &a, &options);
        }
    unsetenv("ATTNSPAN_MAX_TRANSFER_BYTES");
    attn_arrays_destroy(&a);
}

/* Its ranks are in another order than the world's. */
static void test_a_callers_communicator_in_any_order_works(void) {
    const attn_problem problem = attn_case_problem("causal, uneven");
    const attn_options options = {.with_lse = 1, .threads = 1};
    attn_plan *plan;
    attn_error error;
    attn_arrays a;
    MPI_Comm reversed;
    int rank;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_split(MPI_COMM_WORLD, 0, -rank, &reversed);
    attn_arrays_create(&problem, 0, &a);
    attn_execution_alone(&problem, ATTN_FP32, NULL, &a);
    CU_ASSERT_EQUAL(attn_plan_create(reversed, &problem, &options, &plan, &error), ATTN_OK);
    MPI_Comm_free(&reversed); /* the plan has its own */
    if (plan != NULL) {
        float *y, *lse;

        attn_execution_run(plan, &a, &y, &lse);
        attn_execution_check_sends(plan);
        CU_ASSERT(attn_array_has_part(&a.y, attn_plan_query_rows(plan), y));
        free(y);
        free(lse);
    }
    attn_plan_destroy(plan);
    attn_arrays_destroy(&a);
}

/* The published ones, worked out by hand; 12 heads take those of 8 and half of those of 16. */
static void test_slopes_are_the_published_ones(void) {
    static const float of_two[] = {0x1p-4f, 0x1p-8f};
    static const double twelfths[] = {1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5};
    float slopes[12];

    attn_alibi_slopes(2, slopes);
    CU_ASSERT(memcmp(slopes, of_two, sizeof of_two) == 0);
    attn_alibi_slopes(12, slopes);
    for (int i = 0; i < 12; i++) CU_ASSERT(slopes[i] == (float)exp2(-twelfths[i]));
    attn_alibi_slopes(1, slopes);
    CU_ASSERT(slopes[0] == 0x1p-8f);
}

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"every cell of the support table holds", attn_test_every_cell_of_the_support_table_holds},
        {"one rank agrees with the oracle", test_one_rank_agrees_with_the_oracle},
        {"every mesh, circulation and layout gives the same bits",
         test_every_mesh_circulation_and_layout_gives_the_same_bits},
        {"messages cut into pieces give the same bits",
         test_messages_cut_into_pieces_give_the_same_bits},
        {"bf16 agrees with the oracle on rounded inputs",
         attn_test_bf16_agrees_with_the_oracle_on_rounded_inputs},
        {"bf16 gives the same bits on every mesh",
         attn_test_bf16_gives_the_same_bits_on_every_mesh},
        {"a caller's communicator in any order works",
         test_a_callers_communicator_in_any_order_works},
        {"bytes sent are those of the formulas", attn_test_bytes_sent_are_those_of_the_formulas},
        {"biases are counted", attn_test_biases_are_counted},
        {"slopes are the published ones", test_slopes_are_the_published_ones},
        {"tables of positions are counted", attn_test_tables_of_positions_are_counted},
        {"bad requests are refused on all ranks", attn_test_bad_requests_are_refused_on_all_ranks},
    };

    return attn_test_main_mpi(&argc, &argv, "mpi.attention", tests, ATTN_TEST_COUNT(tests));
}
