/* Bytes as they are promised: those that an execution sends, by the formulas of exchange.h and
 * circulate_ring.c, and those that a plan has for tables of positions and for biases. */
#include <mpi.h>
#include <stdlib.h>

#include "attention_execution.h"
#include "harness.h"
#include "mpi_attention.h"

/* --- sent ----------------------------------------------------------------------- */

/* Without lse. */
static void check_sent_bytes(const attn_problem *p, const attn_options *options, int64_t expected) {
    attn_plan *plan;
    attn_error error;
    attn_arrays a;

    attn_arrays_create(p, 0, &a);
    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, p, options, &plan, &error), ATTN_OK);
    if (plan != NULL) {
        float *y;

        attn_execution_run(plan, &a, &y, NULL);
        CU_ASSERT_EQUAL(attn_plan_stats(plan).sent_bytes, expected);
        free(y);
    }
    attn_plan_destroy(plan);
    attn_arrays_destroy(&a);
}

/* For equal shards of whole panels, and heads that divide. */
static void check_formulas(attn_storage storage) {
    enum { OWN_ROWS = 32, DIM = 16 };
    const int64_t elem_bytes = attn_storage_bytes(storage);
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (int64_t heads = 1; heads <= ranks; heads++) {
        const int64_t shards = ranks / heads, own_heads = ranks / heads;
        const int64_t shard_rows = OWN_ROWS * heads, length = OWN_ROWS * (int64_t)ranks;
        const attn_problem p = {.batch = 1,
                                .length = length,
                                .kv_length = length,
                                .heads = ranks,
                                .kv_heads = ranks,
                                .key_dim = DIM,
                                .value_dim = DIM};
        const attn_options options = {.mesh_heads = heads,
                                      .mesh_sequence = shards,
                                      .circulate = "ring",
                                      .threads = 1,
                                      .storage = storage};
        /* q, k, v forth and out, which is fp32, back: own rows, of the heads not kept. */
        const int64_t exchanged = OWN_ROWS * (ranks - own_heads) * DIM * (3 * elem_bytes + 4);
        const int64_t circulated = (shards - 1) * shard_rows * own_heads * 2 * DIM * elem_bytes;

        if (ranks % heads == 0) check_sent_bytes(&p, &options, exchanged + circulated);
    }
}

void attn_test_bytes_sent_are_those_of_the_formulas(void) {
    check_formulas(ATTN_FP32);
    check_formulas(ATTN_BF16);
}

/* --- held ----------------------------------------------------------------------- */

typedef struct two_plans {
    attn_plan *plan[2];
    attn_plan_info info[2];
} two_plans;

/* Plans two problems on shards alone; whether that went well. */
static int make_plans(const attn_problem *first, const attn_problem *second, two_plans *made) {
    const attn_options options = {.mesh_heads = 1, .circulate = "ring", .threads = 1};
    attn_error error;
    int both;

    attn_plan_create(MPI_COMM_WORLD, first, &options, &made->plan[0], &error);
    attn_plan_create(MPI_COMM_WORLD, second, &options, &made->plan[1], &error);
    both = made->plan[0] != NULL && made->plan[1] != NULL;
    CU_ASSERT(both);
    for (int i = 0; i < 2 && both; i++) attn_plan_get_info(made->plan[i], &made->info[i]);
    return both;
}

static void destroy_plans(two_plans *made) {
    attn_plan_destroy(made->plan[0]);
    attn_plan_destroy(made->plan[1]);
}

/* Whether the second has so many floats more than the first. */
static int has_more(const two_plans *made, int64_t floats) {
    return made->info[1].bytes - made->info[0].bytes == floats * (int64_t)sizeof(float);
}

/* One table, with a row of scratch, where queries and keys share their positions, two where
 * not; and the turned keys: others are used in place. */
void attn_test_tables_of_positions_are_counted(void) {
    enum { DIM = 12 };
    attn_problem plain = {1, 301, 301, 4, 2, 16, 16, .mask = {.causal = ATTN_CAUSAL}};

    for (int tables = 1; tables <= 2; tables++) {
        attn_problem turned;
        two_plans made;

        plain.kv_length = tables == 1 ? 301 : 378;
        turned = plain;
        turned.rope = (attn_rope){.dim = DIM, .theta = 1e4};
        if (make_plans(&plain, &turned, &made)) {
            const int64_t rows = attn_plan_query_rows(made.plan[1]).count;
            const int64_t keys = attn_plan_key_rows(made.plan[1]).count;
            const int64_t of_tables = (tables == 1 ? rows : rows + keys) * DIM;
            const int64_t of_scratch = tables * (int64_t)plain.key_dim;
            const int64_t of_keys = keys * plain.kv_heads * plain.key_dim;

            CU_ASSERT(has_more(&made, of_tables + of_scratch + of_keys));
        }
        destroy_plans(&made);
    }
}

/* This rank's part, which can be empty, and nothing else but the pointers to its rows, which any
 * term has. */
void attn_test_biases_are_counted(void) {
    const attn_problem plain = {1, 301, 250, 4, 2, 16, 16, .mask = {0}};

    for (int i = 0; i < 2; i++) {
        attn_problem capped = plain, biased = plain;
        two_plans made;

        capped.terms.softcap = 3;
        biased.terms.bias_heads = i == 0 ? 1 : plain.heads;
        if (make_plans(&capped, &biased, &made)) {
            const int64_t heads = i == 0 ? 1 : made.info[1].head_count;

            CU_ASSERT(has_more(&made, heads * made.info[1].shard_queries.count * plain.kv_length));
            CU_ASSERT_PTR_NULL(attn_plan_bias(made.plan[0]));
        }
        destroy_plans(&made);
    }
}
