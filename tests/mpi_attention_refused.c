/* Requests that cannot be served: every rank gets the status and a message, and no plan. */
#include <math.h>
#include <mpi.h>

#include "attention_cases.h"
#include "harness.h"
#include "mpi_attention.h"

#define WINDOW(l, r) .windowed = 1, .left = (l), .right = (r)

static void check_refused(const attn_problem *problem, attn_options options, attn_status expected) {
    attn_plan *plan;
    attn_error error;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, problem, &options, &plan, &error), expected);
    CU_ASSERT_PTR_NULL(plan);
    CU_ASSERT(error.message[0] != '\0');
    attn_plan_destroy(plan);
}

static int world_size(void) {
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    return ranks;
}

static void check_options(attn_problem good) {
    const attn_options bad[] = {
        {.mesh_heads = world_size() + 1},
        {.mesh_heads = 2, .mesh_sequence = world_size()},
        {.circulate = "square"},
        {.layout = "spiral"},
        {.kernel = "abacus"},
        {.storage = (attn_storage)7},
        {.threads = -1},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused(&good, bad[i], ATTN_ERR_CONFIG);
}

/* In each one thing is wrong. */
static void check_problems(attn_problem good) {
    enum { BAD = 10 };
    attn_problem bad[BAD];

    for (int i = 0; i < BAD; i++) bad[i] = good;
    bad[0].kv_heads = 2;
    bad[1].length = 0;
    bad[2].scale = NAN;
    bad[3].model_dim = 8; /* a layer attends to itself */
    bad[3].kv_length += 1;
    bad[4].memory_dim = 8; /* without a layer */
    bad[5].rope = (attn_rope){.dim = 23, .theta = 1e4};
    bad[6].rope = (attn_rope){.dim = 26, .theta = 1e4};
    bad[7].qk_norm_eps = -1;
    bad[8].qk_norm_eps = NAN;
    bad[9] = attn_case_problem("layer");
    bad[9].memory_dim = -1;
    for (int i = 0; i < BAD; i++) check_refused(&bad[i], (attn_options){0}, ATTN_ERR_CONFIG);
}

static void check_masks(attn_problem problem) {
    static const int64_t gap[] = {0, 5, 5, 301}, short_of_rows[] = {0, 300}, late[] = {1, 301};
    static const int64_t more_keys[] = {302}, negative[] = {-1};
    static const attn_mask_spec bad[] = {
        {.causal = (attn_causal)3},
        {WINDOW(-2, 0)},
        {WINDOW(0, -2)},
        {.causal = ATTN_CAUSAL, WINDOW(0, 1)},
        {.causal = ATTN_CAUSAL, .prefix = -1},
        {.prefix = 1},
        {WINDOW(1, 1), .first = -1},
        {.causal = ATTN_CAUSAL, .first = 1},
        {.document_count = 3, .document_starts = gap},
        {.document_count = 1, .document_starts = short_of_rows},
        {.document_count = 1, .document_starts = late},
        {.document_count = 1},
        {.key_lengths = more_keys},
        {.key_lengths = negative},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        problem.mask = bad[i];
        check_refused(&problem, (attn_options){0}, ATTN_ERR_CONFIG);
    }
    problem = attn_case_problem("documents that see themselves");
    problem.kv_length += 1;
    check_refused(&problem, (attn_options){0}, ATTN_ERR_CONFIG);
}

static void check_terms(attn_problem problem) {
    static const float infinite[] = {1, 1, INFINITY, 1, 1}, not_numbers[] = {1, NAN, 1, 1, 1};
    static const float large[] = {0, 0, 0, 3e38f, 0};
    const attn_terms bad[] = {
        {.softcap = -1},      {.softcap = NAN},        {.softcap = INFINITY},
        {.slopes = infinite}, {.slopes = not_numbers}, {.sinks = not_numbers},
        {.sinks = infinite},  {.bias_heads = -1},      {.bias_heads = problem.heads - 1},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        problem.terms = bad[i];
        check_refused(&problem, (attn_options){0}, ATTN_ERR_CONFIG);
    }
    problem.terms = (attn_terms){.sinks = large};
    problem.scale = 0.5f; /* which the sink is divided by */
    check_refused(&problem, (attn_options){0}, ATTN_ERR_CONFIG);
}

static void check_memory(attn_problem good) {
    attn_problem large = good, large_bias = {.batch = 1,
                                             .length = INT64_C(1) << 30,
                                             .kv_length = INT64_C(1) << 30,
                                             .heads = 1,
                                             .kv_heads = 1,
                                             .key_dim = 1,
                                             .value_dim = 1,
                                             .terms = {.bias_heads = 1}};

    large.length = large.kv_length = INT64_C(1) << 40;
    check_refused(&large, (attn_options){0}, ATTN_ERR_MEMORY);
    check_refused(&large_bias, (attn_options){0}, ATTN_ERR_MEMORY); /* its rows alone would fit */
    check_refused(&good, (attn_options){.memory_fraction = 1e-12}, ATTN_ERR_MEMORY);
}

void attn_test_bad_requests_are_refused_on_all_ranks(void) {
    const attn_problem good = attn_case_problem("causal, uneven");

    check_options(good);
    check_problems(good);
    check_masks(good);
    check_terms(good);
    check_memory(good);
}
