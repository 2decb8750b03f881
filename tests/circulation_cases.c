#include "circulation_cases.h"

#include <mpi.h>
#include <stdlib.h>

#include "circulation_world.h"
#include "harness.h"
#include "memory.h"
#include "synthetic.h"

#define WINDOW(l, r) .windowed = 1, .left = (l), .right = (r)

enum { ROWS = ATTN_CASE_ROWS };

static const int64_t halves[] = {0, 512, 1024};
static const int64_t starts[] = {0, 100, 480, 500, 1000, 1024};

static const struct {
    const char *name;
    int64_t length;
    attn_mask_spec mask;
} cases[ATTN_CASES] = {
    [ATTN_CASE_NO_MASK] = {"no mask", ROWS, {.causal = ATTN_NOT_CAUSAL}},
    [ATTN_CASE_CAUSAL] = {"causal", ROWS, {.causal = ATTN_CAUSAL}},
    [ATTN_CASE_LEFT] = {"a window to the left", ROWS, {.causal = ATTN_CAUSAL, WINDOW(70, 0)}},
    [ATTN_CASE_RIGHT] = {"a window to the right", ROWS, {WINDOW(0, 70)}},
    [ATTN_CASE_BOTH_SIDES] = {"a window on both sides", ROWS, {WINDOW(70, 70)}},
    [ATTN_CASE_FIRST_KEYS] = {"a window and first keys",
                              ROWS,
                              {.causal = ATTN_CAUSAL, WINDOW(70, 0), .first = 3}},
    [ATTN_CASE_DOCUMENTS] = {"documents",
                             ROWS,
                             {.causal = ATTN_CAUSAL,
                              .document_count = 5,
                              .document_starts = starts}},
    [ATTN_CASE_FEW_QUERIES] = {"few queries", 100, {.causal = ATTN_CAUSAL}},
    [ATTN_CASE_ONE_QUERY] = {"one query", 1, {.causal = ATTN_CAUSAL}},
    [ATTN_CASE_ONE_QUERY_LEFT] = {"one query, a window",
                                  1,
                                  {.causal = ATTN_CAUSAL, WINDOW(300, 0)}},
    [ATTN_CASE_APART] = {"documents apart", ROWS, {.document_count = 2, .document_starts = halves}},
    [ATTN_CASE_TOP_LEFT] = {"first beside first", 400, {.causal = ATTN_CAUSAL_TOP_LEFT}},
};

const char *const attn_case_layouts[ATTN_CASE_LAYOUTS] = {"contiguous", "zigzag", "striped",
                                                          "balanced"};

const char *attn_case_name(int which) {
    return cases[which].name;
}

attn_problem attn_case_problem(int64_t length, attn_mask_spec mask) {
    return (attn_problem){.batch = 1,
                          .length = length,
                          .kv_length = ROWS,
                          .heads = ATTN_CASE_HEADS,
                          .kv_heads = ATTN_CASE_HEADS,
                          .key_dim = ATTN_CASE_DIM,
                          .value_dim = ATTN_CASE_DIM,
                          .mask = mask};
}

attn_options attn_case_options(const char *layout, const char *circulate, attn_share_nodes share) {
    return (attn_options){.mesh_heads = 1,
                          .mesh_sequence = attn_world_ranks(),
                          .layout = layout,
                          .circulate = circulate,
                          .share_nodes = share,
                          .threads = 1};
}

attn_plan *attn_case_plan(const attn_problem *problem, const attn_options *options) {
    attn_plan *plan;
    attn_error error;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, problem, options, &plan, &error), ATTN_OK);
    return plan;
}

float *attn_case_array(int64_t elems) {
    float *data = attn_alloc((size_t)elems, sizeof *data);

    if (data == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    attn_synthetic_fill(1, ATTN_SYNTHETIC_X, 0, elems, 1, data);
    return data;
}

attn_plan *attn_case_execute(int which, const char *layout, const char *circulate,
                             attn_share_nodes share) {
    const attn_problem problem = attn_case_problem(cases[which].length, cases[which].mask);
    const attn_options options = attn_case_options(layout, circulate, share);
    attn_plan *plan = attn_case_plan(&problem, &options);
    int64_t queries, keys;
    float *q, *k, *out;

    if (plan == NULL) return NULL;
    queries = attn_plan_query_rows(plan).count * ATTN_CASE_HEADS * ATTN_CASE_DIM;
    keys = attn_plan_key_rows(plan).count * ATTN_CASE_HEADS * ATTN_CASE_DIM;
    q = attn_case_array(queries);
    k = attn_case_array(keys);
    out = attn_case_array(queries);
    attn_execute(plan, q, k, k, out, NULL);
    free(out);
    free(k);
    free(q);
    return plan;
}
