#define _POSIX_C_SOURCE 200809L

/* The library on any number of ranks: every mesh, circulation, layout and thread count gives
 * the oracle's result, and the very bits that one rank alone gives. */
#include <math.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "attnspan/attnspan.h"
#include "circulate.h"
#include "harness.h"
#include "layout.h"
#include "memory.h"
#include "plan_sends.h"
#include "recompute_prepare.h"
#include "status.h"
#include "support.h"
#include "synthetic.h"

typedef struct problem_case {
    const char *what;
    attn_problem problem;
    int biases; /* of a layer */
} problem_case;

static const char *const layouts[] = {"contiguous", "zigzag", "striped", "balanced"};

static const char *const circulations[] = {"ring", "gather", "reduce"};

enum {
    LAYOUTS = sizeof layouts / sizeof *layouts,
    CIRCULATIONS = sizeof circulations / sizeof *circulations
};

#define WINDOW(l, r) .windowed = 1, .left = (l), .right = (r)
#define DOCUMENTS    .document_count = 5, .document_starts = starts

static const int64_t starts[] = {0, 1, 90, 200, 209, 301};
static const int64_t lengths[] = {64, 0, 37};
static const float head_slopes[] = {0.5f, 0.03f, 0.25f, 0, 0.125f, 0.0625f};
static const float head_sinks[] = {0.5f, -3, 2, 0, 4, -20};

/* With 32-key blocks up to N = 512, these have 1 to 10 blocks: shards are uneven or
 * empty for most rank counts. */
static const problem_case cases[] = {
    {"causal, uneven", {1, 301, 301, 5, 5, 24, 24, 0, 0, .mask = {.causal = ATTN_CAUSAL}}, 0},
    {"no mask, uneven", {1, 250, 250, 3, 3, 16, 16, 0, 0, .mask = {0}}, 0},
    {"grouped heads", {1, 200, 200, 6, 3, 20, 20, 0, 0, .mask = {.causal = ATTN_CAUSAL}}, 0},
    {"more head groups than kv heads",
     {1, 130, 130, 8, 2, 8, 8, 0, 0, .mask = {.causal = ATTN_CAUSAL}},
     0},
    {"one kv head", {2, 96, 96, 4, 1, 12, 12, 0, 0, .mask = {0}}, 0},
    {"one head for many ranks",
     {1, 160, 160, 1, 1, 32, 32, 0, 0, .mask = {.causal = ATTN_CAUSAL}},
     0},
    {"wider values than keys",
     {1, 100, 100, 2, 2, 7, 33, 0, 0, .mask = {.causal = ATTN_CAUSAL}},
     0},
    {"batch", {3, 70, 70, 4, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL}}, 0},
    {"one row", {1, 1, 1, 4, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL}}, 0},
    {"fewer rows than ranks", {2, 3, 3, 3, 3, 8, 8, 0, 0, .mask = {.causal = ATTN_CAUSAL}}, 0},
    {"decode: one query, many keys",
     {1, 1, 300, 4, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL}},
     0},
    {"decode: as many rows as are few",
     {1, 2, 700, 8, 2, 24, 40, 0, 0, .mask = {.causal = ATTN_CAUSAL}},
     0},
    {"decode: one row more than few",
     {1, 3, 700, 9, 3, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL}},
     0},
    {"decode: a batch of one kv head, some keys hidden",
     {3, 4, 90, 2, 1, 20, 12, 0, 0, .mask = {.key_lengths = lengths}},
     0},
    {"decode: more head groups than kv heads, a window",
     {1, 1, 1100, 8, 1, 8, 8, 0, 0, .mask = {.causal = ATTN_CAUSAL, WINDOW(200, 0)}},
     0},
    {"few queries in a layer with a memory",
     {2, 7, 300, 3, 3, 8, 8, 24, 0, .mask = {0}, .memory_dim = 20},
     1},
    {"fewer queries than keys",
     {1, 90, 310, 3, 1, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL}},
     0},
    {"more queries than keys: some see none",
     {1, 210, 75, 2, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL}},
     0},
    {"a window",
     {1, 301, 301, 5, 5, 24, 24, 0, 0, .mask = {.causal = ATTN_CAUSAL, WINDOW(40, 0)}},
     0},
    {"a window on both sides, more keys",
     {1, 120, 250, 3, 3, 16, 16, 0, 0, .mask = {WINDOW(9, 70)}},
     0},
    {"a window and first keys, in one block or in two",
     {1, 310, 310, 3, 1, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL, WINDOW(20, 0), .first = 5}},
     0},
    {"first keys of a decoded row",
     {2, 1, 300, 4, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL, WINDOW(33, 0), .first = 4}},
     0},
    {"first query beside first key",
     {1, 90, 310, 3, 1, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL_TOP_LEFT}},
     0},
    {"a prefix",
     {1, 250, 250, 3, 3, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL, .prefix = 70}},
     0},
    {"a prefix and a window without causal",
     {1, 200, 230, 2, 2, 16, 16, 0, 0, .mask = {WINDOW(12, 3), .prefix = 33}},
     0},
    {"documents", {2, 301, 301, 3, 3, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL, DOCUMENTS}}, 0},
    {"documents that see themselves", {1, 301, 301, 2, 1, 8, 8, 0, 0, .mask = {DOCUMENTS}}, 0},
    {"documents with window, first keys and prefix",
     {1, 301, 301, 2, 1, 8, 8, 0, 0,
      .mask = {.causal = ATTN_CAUSAL, WINDOW(30, 0), .prefix = 2, .first = 6, DOCUMENTS}},
     0},
    {"key lengths, one of them 0",
     {3, 70, 90, 4, 2, 16, 16, 0, 0, .mask = {.key_lengths = lengths}},
     0},
    {"everything, in a layer",
     {3, 301, 301, 4, 2, 8, 8, 24, 0,
      .mask = {.causal = ATTN_CAUSAL,
               WINDOW(30, 0),
               .prefix = 2,
               .first = 6,
               DOCUMENTS,
               .key_lengths = lengths}},
     1},
    {"own scale", {1, 64, 64, 2, 2, 16, 16, 0, 0.9f, .mask = {0}}, 0},
    {"layer", {1, 301, 301, 6, 3, 20, 20, 72, 0, .mask = {.causal = ATTN_CAUSAL}}, 1},
    {"layer without biases", {2, 77, 77, 5, 5, 9, 9, 33, 0, .mask = {0}}, 0},
    {"halves turned",
     {1, 301, 301, 6, 3, 20, 20, 0, 0, .mask = {.causal = ATTN_CAUSAL},
      .rope = {.dim = 20, .theta = 1e4}},
     0},
    {"neighbours of a part turned, stretched linearly",
     {2, 70, 70, 4, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL},
      .rope = {.dim = 6, .theta = 500, .pairing = ATTN_ROPE_INTERLEAVED, ATTN_ROPE_LINEAR, 2.5}},
     0},
    {"decode, turned",
     {1, 1, 300, 4, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL},
      .rope = {.dim = 16, .theta = 1e4}},
     0},
    {"fewer queries than keys, normed and turned",
     {1, 90, 310, 3, 1, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL}, .qk_norm_eps = 1e-5,
      .rope = {.dim = 16, .theta = 1e4, .pairing = ATTN_ROPE_HALF, ATTN_ROPE_NTK, 4}},
     0},
    {"more queries than keys, turned",
     {1, 210, 75, 2, 2, 16, 16, 0, 0, .mask = {0}, .rope = {.dim = 8, .theta = 1e4}},
     0},
    {"layer, turned",
     {1, 301, 301, 6, 3, 20, 20, 72, 0, .mask = {.causal = ATTN_CAUSAL},
      .rope = {.dim = 20, .theta = 1e4, .pairing = ATTN_ROPE_HALF, ATTN_ROPE_YARN, 8, 64}},
     1},
    {"layer, normed and turned",
     {2, 77, 77, 5, 5, 9, 9, 33, 0, .mask = {.causal = ATTN_CAUSAL}, .qk_norm_eps = 1e-6,
      .rope = {.dim = 8, .theta = 1e4, .pairing = ATTN_ROPE_INTERLEAVED}},
     1},
    {"layer, normed", {1, 130, 130, 8, 2, 8, 8, 40, 0, .mask = {0}, .qk_norm_eps = 1}, 0},
    {"cross-attention, longer memory",
     {1, 100, 301, 6, 3, 20, 20, 72, 0, .mask = {0}, .memory_dim = 31},
     1},
    {"cross-attention, shorter and wider memory",
     {2, 180, 70, 4, 2, 16, 16, 33, 0, .mask = {0}, .memory_dim = 90},
     0},
    {"cross-attention to one row", {1, 70, 1, 3, 1, 8, 8, 24, 0, .mask = {0}, .memory_dim = 24}, 1},
    {"cross-attention, tiles of two heights", /* N has larger blocks */
     {1, 1100, 40, 2, 2, 8, 8, 8, 0, .mask = {0}, .memory_dim = 200},
     0},
    {"cross-attention, causal, normed and turned",
     {1, 150, 250, 4, 4, 12, 12, 40, 0, .mask = {.causal = ATTN_CAUSAL}, .memory_dim = 20,
      .qk_norm_eps = 1e-6, .rope = {.dim = 12, .theta = 1e4}},
     1},
    {"first query beside first key, turned",
     {1, 90, 310, 3, 1, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL_TOP_LEFT}, .qk_norm_eps = 1e-5,
      .rope = {.dim = 16, .theta = 1e4}},
     0},
    {"first query beside first key, more queries, turned",
     {1, 210, 75, 2, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL_TOP_LEFT, WINDOW(30, 0)},
      .rope = {.dim = 16, .theta = 1e4}},
     0},
    {"a window and first keys, turned",
     {1, 310, 310, 3, 1, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL, WINDOW(20, 0), .first = 5},
      .rope = {.dim = 16, .theta = 1e4}},
     0},
    {"layer, documents, normed and turned",
     {2, 301, 301, 4, 2, 12, 12, 24, 0, .mask = {.causal = ATTN_CAUSAL, DOCUMENTS},
      .qk_norm_eps = 1e-6, .rope = {.dim = 12, .theta = 1e4}},
     1},
    {"cross-attention, a window, first keys and key lengths",
     {3, 70, 90, 4, 2, 16, 16, 24, 0, .mask = {WINDOW(9, 20), .first = 3, .key_lengths = lengths},
      .memory_dim = 31},
     1},
    {"softcap",
     {1, 301, 301, 5, 5, 24, 24, 0, 0, .mask = {.causal = ATTN_CAUSAL}, .terms = {.softcap = 2}},
     0},
    {"ALiBi, fewer queries than keys",
     {1, 90, 310, 3, 1, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL},
      .terms = {.slopes = head_slopes}},
     0},
    {"ALiBi to both sides, with softcap, decoded rows of several heads",
     {2, 5, 300, 6, 2, 16, 16, 0, 0, .mask = {0}, .terms = {.softcap = 3, .slopes = head_slopes}},
     0},
    {"ALiBi, first query beside first key, a window and first keys",
     {1, 250, 310, 3, 3, 16, 16, 0, 0,
      .mask = {.causal = ATTN_CAUSAL_TOP_LEFT, WINDOW(40, 0), .first = 3},
      .terms = {.slopes = head_slopes}},
     0},
    {"a bias for each head, batch",
     {2, 150, 130, 6, 3, 16, 16, 0, 0, .mask = {0}, .terms = {.bias_heads = 6}},
     0},
    {"one bias for all heads, decode",
     {1, 3, 300, 4, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL}, .terms = {.bias_heads = 1}},
     0},
    {"sinks, some queries see no key",
     {1, 210, 75, 2, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL},
      .terms = {.sinks = head_sinks}},
     0},
    {"sinks of several heads in a tile",
     {3, 7, 300, 6, 2, 16, 16, 0, 0.3f, .mask = {WINDOW(9, 70)}, .terms = {.sinks = head_sinks}},
     0},
    {"all terms, in a layer",
     {2, 301, 301, 4, 2, 8, 8, 24, 0, .mask = {.causal = ATTN_CAUSAL, WINDOW(60, 0), .first = 6},
      .rope = {.dim = 8, .theta = 1e4},
      .terms = {.softcap = 5, .slopes = head_slopes, .sinks = head_sinks, .bias_heads = 4}},
     1},
    {"layer of one row", {1, 1, 1, 2, 1, 8, 8, 16, 0, .mask = {.causal = ATTN_CAUSAL}}, 1},
};

enum { CASES = sizeof cases / sizeof *cases, WEIGHTS = 8, NORMS = 2 };

/* Whole arrays: inputs, and a result. */
typedef struct arrays {
    int64_t q_elems, k_elems, v_elems, x_elems, memory_elems, y_elems, lse_elems;
    float *q, *k, *v, *x, *memory;
    float *weights[WEIGHTS], *norms[NORMS];
    attn_weights layer;
    float *bias; /* [H or 1][N][N_kv] */
    float *y, *lse;
} arrays;

static float *make(int64_t elems, int32_t tensor, float scale) {
    float *data = attn_alloc((size_t)elems, sizeof *data);

    if (data == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    attn_synthetic_fill(5, tensor, 0, elems, scale, data);
    return data;
}

static void make_layer(const problem_case *which, arrays *a) {
    const attn_problem *p = &which->problem;
    int64_t outputs[4] = {p->heads * p->key_dim, p->kv_heads * p->key_dim,
                          p->kv_heads * p->value_dim, p->model_dim};

    for (int i = 0; i < 4; i++) {
        int64_t kv_inputs = p->memory_dim > 0 ? p->memory_dim : p->model_dim;
        int64_t inputs = i == 3 ? p->heads * p->value_dim : i == 0 ? p->model_dim : kv_inputs;
        a->weights[2 * i] =
            make(outputs[i] * inputs, ATTN_SYNTHETIC_WEIGHT + i, 1 / sqrtf((float)inputs));
        a->weights[2 * i + 1] =
            which->biases ? make(outputs[i], ATTN_SYNTHETIC_BIAS + i, 0.3f) : NULL;
    }
    for (int i = 0; i < NORMS && p->qk_norm_eps > 0; i++)
        a->norms[i] = make(p->key_dim, ATTN_SYNTHETIC_NORM + i, 1);
    a->layer =
        (attn_weights){a->weights[0], a->weights[1], a->weights[2], a->weights[3], a->weights[4],
                       a->weights[5], a->weights[6], a->weights[7], a->norms[0],   a->norms[1]};
}

/* Hides some keys, and from query 2 of head 0 all. */
static float *make_bias(const attn_problem *p) {
    const int64_t elems = p->terms.bias_heads * p->length * p->kv_length;
    float *bias = make(elems, ATTN_SYNTHETIC_BIAS, 2);

    for (int64_t i = 0; i < elems; i++)
        if (i % 7 == 3 || i / p->kv_length == 2) bias[i] = -INFINITY;
    return bias;
}

static void arrays_create(const problem_case *which, arrays *a) {
    const attn_problem *p = &which->problem;

    *a = (arrays){0};
    a->lse_elems = p->batch * p->heads * p->length;
    a->y_elems =
        p->model_dim > 0 ? p->batch * p->length * p->model_dim : a->lse_elems * p->value_dim;
    if (p->model_dim > 0) {
        a->x_elems = p->batch * p->length * p->model_dim;
        a->x = make(a->x_elems, ATTN_SYNTHETIC_X, 1);
        a->memory_elems = p->batch * p->kv_length * p->memory_dim;
        if (p->memory_dim > 0) a->memory = make(a->memory_elems, ATTN_SYNTHETIC_MEMORY, 1);
        make_layer(which, a);
    } else {
        a->q_elems = p->batch * p->heads * p->length * p->key_dim;
        a->k_elems = p->batch * p->kv_heads * p->kv_length * p->key_dim;
        a->v_elems = p->batch * p->kv_heads * p->kv_length * p->value_dim;
        a->q = make(a->q_elems, ATTN_SYNTHETIC_Q, 1);
        a->k = make(a->k_elems, ATTN_SYNTHETIC_K, 1);
        a->v = make(a->v_elems, ATTN_SYNTHETIC_V, 1);
    }
    if (p->terms.bias_heads > 0) a->bias = make_bias(p);
    a->y = make(a->y_elems, ATTN_SYNTHETIC_X, 1);
    a->lse = make(a->lse_elems, ATTN_SYNTHETIC_X, 1);
}

static void arrays_destroy(arrays *a) {
    for (int i = 0; i < WEIGHTS; i++) free(a->weights[i]);
    for (int i = 0; i < NORMS; i++) free(a->norms[i]);
    free(a->bias);
    free(a->memory);
    free(a->q);
    free(a->k);
    free(a->v);
    free(a->x);
    free(a->y);
    free(a->lse);
}

/* Rows `rows` of [outer][length][width], between the whole array and own rows. */
static float *own_part(const float *whole, int64_t outer, int64_t length, int64_t width,
                       attn_row_list rows) {
    float *own = attn_alloc((size_t)(outer * rows.count * width), sizeof *own), *next = own;

    if (own == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    for (int64_t i = 0; i < outer * rows.run_count; i++) {
        const attn_rows *run = &rows.runs[i % rows.run_count];
        int64_t elems = run->count * width;

        memcpy(next, whole + (i / rows.run_count * length + run->first) * width,
               (size_t)elems * sizeof *own);
        next += elems;
    }
    return own;
}

/* Own heads, or the one, and the rows of the shard. */
static void give_bias(attn_plan *plan, const attn_problem *p, const arrays *a) {
    attn_plan_info info;
    float *part;

    if (a->bias == NULL) return;
    attn_plan_get_info(plan, &info);
    part = own_part(
        a->bias + (p->terms.bias_heads > 1 ? info.first_head : 0) * p->length * p->kv_length,
        p->terms.bias_heads > 1 ? info.head_count : 1, p->length, p->kv_length, info.shard_queries);
    memcpy(attn_plan_bias(plan), part,
           (size_t)((p->terms.bias_heads > 1 ? info.head_count : 1) * info.shard_queries.count *
                    p->kv_length) *
               sizeof *part);
    free(part);
}

/* Executes on own rows of `a`; y and lse are new arrays. */
/* What the plan told of; bytes and messages. */
typedef struct told_sends {
    int64_t bytes, messages;
} told_sends;

static void add_send(void *context, attn_send_phase phase, int to, int64_t bytes) {
    told_sends *told = context;

    (void)phase;
    (void)to;
    told->bytes += bytes;
    told->messages++;
}

static void check_sends_are_as_told(const attn_plan *plan) {
    attn_stats stats = attn_plan_stats(plan);
    told_sends told = {0, 0};

    attn_plan_sends(plan, add_send, &told);
    CU_ASSERT_EQUAL(stats.sent_bytes, told.bytes);
    CU_ASSERT_EQUAL(stats.sent_messages, told.messages);
}

static void execute(attn_plan *plan, const attn_problem *p, const arrays *a, float **y,
                    float **lse) {
    attn_row_list rows = attn_plan_query_rows(plan), keys = attn_plan_key_rows(plan);
    int64_t queries = p->batch * p->heads, kv = p->batch * p->kv_heads;

    give_bias(plan, p, a);
    *lse = own_part(a->lse, queries, p->length, 1, rows);
    if (p->model_dim > 0) {
        float *x = own_part(a->x, p->batch, p->length, p->model_dim, rows);
        float *memory = a->memory == NULL
                            ? NULL
                            : own_part(a->memory, p->batch, p->kv_length, p->memory_dim, keys);
        *y = own_part(a->y, p->batch, p->length, p->model_dim, rows);
        attn_execute_layer(plan, &a->layer, x, memory, *y, *lse);
        free(memory);
        free(x);
    } else {
        float *q = own_part(a->q, queries, p->length, p->key_dim, rows);
        float *k = own_part(a->k, kv, p->kv_length, p->key_dim, keys);
        float *v = own_part(a->v, kv, p->kv_length, p->value_dim, keys);
        *y = own_part(a->y, queries, p->length, p->value_dim, rows);
        attn_execute(plan, q, k, v, *y, *lse);
        free(q);
        free(k);
        free(v);
    }
    check_sends_are_as_told(plan);
}

/* The result of this rank alone in that storage, by that kernel, to a->y and a->lse. */
static void compute_stored(const attn_problem *p, arrays *a, attn_storage storage,
                           const char *kernel) {
    attn_options options = {.with_lse = 1, .threads = 1, .storage = storage, .kernel = kernel};
    attn_plan *plan;
    attn_error error;
    float *y, *lse;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_SELF, p, &options, &plan, &error), ATTN_OK);
    if (plan == NULL) return;
    execute(plan, p, a, &y, &lse);
    memcpy(a->y, y, (size_t)a->y_elems * sizeof *y);
    memcpy(a->lse, lse, (size_t)a->lse_elems * sizeof *lse);
    free(y);
    free(lse);
    attn_plan_destroy(plan);
}

static void compute_alone(const attn_problem *p, arrays *a) {
    compute_stored(p, a, ATTN_FP32, NULL);
}

/* What a rank does alone is done by one rank for all, a case each. */
static int is_my_turn(size_t turn) {
    int rank, ranks;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    return (int)(turn % (size_t)ranks) == rank;
}

/* The result of the rank whose turn it is, alone, to a->y and a->lse of all ranks. Collective. */
static void compute_for_all(const attn_problem *p, arrays *a, attn_storage storage,
                            const char *kernel, size_t turn) {
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (is_my_turn(turn)) compute_stored(p, a, storage, kernel);
    MPI_Bcast(a->y, (int)a->y_elems, MPI_FLOAT, (int)(turn % (size_t)ranks), MPI_COMM_WORLD);
    MPI_Bcast(a->lse, (int)a->lse_elems, MPI_FLOAT, (int)(turn % (size_t)ranks), MPI_COMM_WORLD);
}

static void widen(const float *from, int64_t count, double *to) {
    for (int64_t i = 0; i < count; i++) to[i] = (double)from[i];
}

static double *doubles(int64_t count) {
    double *data = calloc((size_t)count + 1, sizeof *data);

    if (data == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    return data;
}

/* out [rows][outputs] = in · weightᵀ + bias, naively. */
static double *linear(const double *in, int64_t rows, int64_t inputs, const float *weight,
                      const float *bias, int64_t outputs) {
    double *out = doubles(rows * outputs);

    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < outputs; o++) {
            double sum = bias == NULL ? 0 : (double)bias[o];
            for (int64_t i = 0; i < inputs; i++)
                sum += in[r * inputs + i] * (double)weight[o * inputs + i];
            out[r * outputs + o] = sum;
        }
    return out;
}

/* A tensor with heads in fp64, at element (item, head, row) · strides. */
typedef struct headed {
    double *data;
    int64_t item, head, row; /* strides */
} headed;

static headed project(const attn_problem *p, const arrays *a, int which, int64_t heads,
                      int64_t dim) {
    int is_of_memory = which > 0 && p->memory_dim > 0;
    int64_t rows = is_of_memory ? p->kv_length : p->length;
    int64_t width = is_of_memory ? p->memory_dim : p->model_dim;
    double *x = doubles(p->batch * rows * width);
    headed result = {NULL, rows * heads * dim, dim, heads * dim};

    widen(is_of_memory ? a->memory : a->x, p->batch * rows * width, x);
    result.data = linear(x, p->batch * rows, width, a->weights[2 * which],
                         a->weights[2 * which + 1], heads * dim);
    free(x);
    return result;
}

/* Norm and rotation in fp64, head by head; row 0 stands at position `first`. */
static void prepare(const attn_problem *p, const float *norm, headed tensor, int64_t heads,
                    int64_t rows, int64_t first) {
    double *head = doubles(p->key_dim), *weights = doubles(p->key_dim);
    size_t bytes = (size_t)p->key_dim * sizeof *head;

    if (norm != NULL) widen(norm, p->key_dim, weights);
    for (int64_t i = 0; i < p->batch * heads * rows; i++) {
        int64_t b = i / (heads * rows), h = i / rows % heads, row = i % rows;
        double *at = tensor.data + b * tensor.item + h * tensor.head + row * tensor.row;

        memcpy(head, at, bytes);
        attn_recompute_prepare(p, norm == NULL ? NULL : weights, first + row, 1, 1, head);
        memcpy(at, head, bytes);
    }
    free(head);
    free(weights);
}

static headed given(const float *data, int64_t batch, int64_t heads, int64_t rows, int64_t dim) {
    headed result = {doubles(batch * heads * rows * dim), heads * rows * dim, rows * dim, dim};

    widen(data, batch * heads * rows * dim, result.data);
    return result;
}

/* Where query 0 stands: given q and k end at the same position, or begin there. */
static int64_t first_position(const attn_problem *p) {
    int from_start = p->model_dim > 0 || p->mask.causal == ATTN_CAUSAL_TOP_LEFT;

    return from_start ? 0 : p->kv_length - p->length;
}

static attn_oracle_terms terms_of(const attn_problem *p, const float *bias, int64_t head,
                                  int64_t row) {
    attn_oracle_terms terms = {.softcap = (double)p->terms.softcap, .position = row};

    if (p->mask.causal != ATTN_CAUSAL_TOP_LEFT) terms.position += p->kv_length - p->length;
    if (p->terms.slopes != NULL) terms.slope = (double)p->terms.slopes[head];
    if (bias != NULL)
        terms.bias = bias + (head % p->terms.bias_heads * p->length + row) * p->kv_length;
    return terms;
}

/* Attention by the oracle; out as [B][N][H][d_v] for a layer, else [B][H][N][d_v]. */
static void attend_naively(const attn_problem *p, const float *bias, headed q, headed k, headed v,
                           double *out, double *lse) {
    attn_mask mask = {p->mask, p->length, p->kv_length, p->batch};
    double scale = p->scale > 0 ? (double)p->scale : 1 / sqrt((double)p->key_dim);

    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t h = 0; h < p->heads; h++)
            for (int64_t i = 0; i < p->length; i++) {
                int64_t kv = h / (p->heads / p->kv_heads);
                int64_t at = (b * p->heads + h) * p->length + i;
                int64_t place = p->model_dim > 0 ? (b * p->length + i) * p->heads + h : at;
                const double *query = q.data + b * q.item + h * q.head + i * q.row;
                const double *keys = k.data + b * k.item + kv * k.head;
                attn_visible seen = attn_mask_visible(&mask, b, i);
                const attn_oracle_terms terms = terms_of(p, bias, h, i);
                double sum = 0, max = -INFINITY;

                for (int run = 0; run < 2; run++)
                    max = attn_oracle_max(query, keys, k.row, p->key_dim, seen.span[run], scale,
                                          &terms, max);
                for (int run = 0; run < 2; run++)
                    attn_oracle_add(query, keys, k.row, v.data + b * v.item + kv * v.head, v.row,
                                    p->key_dim, p->value_dim, seen.span[run], scale, &terms, max,
                                    &sum, out + place * p->value_dim);
                if (p->terms.sinks != NULL)
                    attn_oracle_sink((double)p->terms.sinks[h], p->value_dim, &max, &sum,
                                     out + place * p->value_dim);
                attn_oracle_finish(max, sum, p->value_dim, out + place * p->value_dim, &lse[at]);
            }
}

static void compute_naively(const attn_problem *p, const arrays *a, double **y, double **lse) {
    double *out = doubles(p->batch * p->heads * p->length * p->value_dim);
    headed q, k, v;

    *lse = doubles(a->lse_elems);
    if (p->model_dim > 0) {
        q = project(p, a, 0, p->heads, p->key_dim);
        k = project(p, a, 1, p->kv_heads, p->key_dim);
        v = project(p, a, 2, p->kv_heads, p->value_dim);
    } else {
        q = given(a->q, p->batch, p->heads, p->length, p->key_dim);
        k = given(a->k, p->batch, p->kv_heads, p->kv_length, p->key_dim);
        v = given(a->v, p->batch, p->kv_heads, p->kv_length, p->value_dim);
    }
    prepare(p, a->norms[0], q, p->heads, p->length, first_position(p));
    prepare(p, a->norms[1], k, p->kv_heads, p->kv_length, 0);
    attend_naively(p, a->bias, q, k, v, out, *lse);
    *y = out;
    if (p->model_dim > 0) {
        *y = linear(out, p->batch * p->length, p->heads * p->value_dim, a->weights[6],
                    a->weights[7], p->model_dim);
        free(out);
    }
    free(q.data);
    free(k.data);
    free(v.data);
}

/* max |a − b| over the RMS of b. */
static double error_over_rms(const float *a, const double *b, int64_t count) {
    double most = 0, squares = 0;

    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)a[i] - b[i]);
        if (!(error <= most)) most = error;
        squares += b[i] * b[i];
    }
    return squares > 0 ? most / sqrt(squares / (double)count) : most;
}

/* The scores here stay below about 10; fp32 has 24 bits, so a score errs by a few
 * 2^-22 and a result by as much, relatively: 5e-6 leaves room for the longest sums. */
static const double error_allowed = 5e-6;

static void test_one_rank_agrees_with_the_oracle(void) {
    for (size_t c = 0; c < CASES; c++) {
        arrays a;
        double *y, *lse;
        int64_t wrong = 0;

        if (!is_my_turn(c)) continue;
        arrays_create(&cases[c], &a);
        compute_alone(&cases[c].problem, &a);
        compute_naively(&cases[c].problem, &a, &y, &lse);
        CU_ASSERT(error_over_rms(a.y, y, a.y_elems) <= error_allowed);
        for (int64_t i = 0; i < a.lse_elems; i++)
            wrong += isinf(lse[i]) ? (double)a.lse[i] != lse[i]
                                   : !(fabs((double)a.lse[i] - lse[i]) <= 1e-5);
        CU_ASSERT_EQUAL(wrong, 0);
        free(y);
        free(lse);
        arrays_destroy(&a);
    }
}

static int same_bits(const float *own, const float *whole, int64_t outer, int64_t length,
                     int64_t width, attn_row_list rows) {
    float *expected = own_part(whole, outer, length, width, rows);
    int same = memcmp(own, expected, (size_t)(outer * rows.count * width) * sizeof *own) == 0;

    free(expected);
    return same;
}

/* Queries that move leave their biases behind: refused. */
static int bias_would_travel(const attn_problem *p, const attn_options *options) {
    return p->terms.bias_heads > 0 && options->circulate != NULL &&
           strcmp(options->circulate, "reduce") == 0;
}

/* One mesh of all ranks against the bits of one rank alone. */
static void check_mesh(const attn_problem *p, const arrays *a, const attn_options *options) {
    attn_plan *plan;
    attn_error error;
    attn_row_list rows;
    float *y, *lse;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, p, options, &plan, &error),
                    bias_would_travel(p, options) ? ATTN_ERR_CONFIG : ATTN_OK);
    if (plan == NULL) return;
    rows = attn_plan_query_rows(plan);
    for (int repeat = 0; repeat < 2; repeat++) { /* a plan serves many executions */
        execute(plan, p, a, &y, &lse);
        if (p->model_dim > 0)
            CU_ASSERT(same_bits(y, a->y, p->batch, p->length, p->model_dim, rows))
        else
            CU_ASSERT(same_bits(y, a->y, p->batch * p->heads, p->length, p->value_dim, rows));
        CU_ASSERT(same_bits(lse, a->lse, p->batch * p->heads, p->length, 1, rows));
        free(y);
        free(lse);
    }
    attn_plan_destroy(plan);
}

/* All layouts where the sequence alone is shared, one in turn elsewhere and under sanitizers. */
static void check_layouts(const attn_problem *p, const arrays *a, attn_options options, int turn) {
    for (int i = 0; i < (options.mesh_heads == 1 && !ATTN_SANITIZED ? LAYOUTS : 1); i++) {
        options.layout = layouts[(turn + i) % LAYOUTS];
        options.threads = 1 + (turn + i) % 2;
        check_mesh(p, a, &options);
    }
}

static void test_every_mesh_circulation_and_layout_gives_the_same_bits(void) {
    static const struct {
        const char *name, *node_ranks[2]; /* of one case, and of the next */
        attn_share_nodes share;
    } ways[] = {
        {"ring", {"8", "8"}, ATTN_SHARE_AUTO},   {"gather", {"8", "8"}, ATTN_SHARE_NEVER},
        {"gather", {"8", "8"}, ATTN_SHARE_AUTO}, {"gather", {"2", "3"}, ATTN_SHARE_AUTO},
        {"reduce", {"8", "8"}, ATTN_SHARE_AUTO},
    };
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (size_t c = 0; c < CASES; c++) {
        arrays a;

        arrays_create(&cases[c], &a);
        compute_for_all(&cases[c].problem, &a, ATTN_FP32, NULL, c);
        for (int heads = 1; heads <= ranks; heads++) {
            if (ranks % heads != 0) continue;
            for (int i = 0; i < (int)(sizeof ways / sizeof *ways); i++) {
                attn_options options = {.mesh_heads = heads,
                                        .mesh_sequence = ranks / heads,
                                        .circulate = ways[i].name,
                                        .share_nodes = ways[i].share,
                                        .with_lse = 1};
                setenv("ATTNSPAN_NODE_RANKS", ways[i].node_ranks[c % 2], 1);
                check_layouts(&cases[c].problem, &a, options, (int)c + heads + i);
            }
        }
        arrays_destroy(&a);
    }
    unsetenv("ATTNSPAN_NODE_RANKS");
}

static void test_messages_cut_into_pieces_give_the_same_bits(void) {
    const problem_case *which = &cases[2];
    arrays a;
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    arrays_create(which, &a);
    compute_alone(&which->problem, &a);
    setenv("ATTNSPAN_MAX_TRANSFER_BYTES", "192", 1);
    for (int heads = 1; heads <= ranks; heads++) {
        attn_options options = {.mesh_heads = heads, .with_lse = 1, .threads = 1};

        if (ranks % heads != 0) continue;
        for (int i = 0; i < CIRCULATIONS; i++) {
            options.circulate = circulations[i];
            check_mesh(&which->problem, &a, &options);
        }
    }
    unsetenv("ATTNSPAN_MAX_TRANSFER_BYTES");
    arrays_destroy(&a);
}

/* Each level whose kernel for bf16 runs here, and is its own. */
static const char *bf16_kernel(int32_t level) {
    const attn_kernel *kernel = attn_kernel_of(level, ATTN_BF16);

    return kernel->supported() && strcmp(kernel->name, attn_kernel_name(level)) == 0 ? kernel->name
                                                                                     : NULL;
}

static void round_to_bf16(float *data, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t stored;
        uint32_t bits;

        attn_store(ATTN_BF16, &data[i], 1, &stored);
        bits = (uint32_t)stored << 16;
        memcpy(&data[i], &bits, sizeof bits);
    }
}

static double largest(const float *data, int64_t count) {
    double most = 0;

    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs((double)data[i]));
    return most;
}

static double rms_of(const double *data, int64_t count) {
    double squares = 0;

    for (int64_t i = 0; i < count; i++) squares += data[i] * data[i];
    return sqrt(squares / (double)count);
}

/* Norm and rotation of given [heads][rows][dim] in fp32, whose bits bf16 is rounded from. */
static void prepare_floats(const attn_problem *p, float *data, int64_t heads, int64_t rows,
                           int64_t first) {
    float *table = attn_alloc((size_t)p->key_dim, sizeof *table);

    if (table == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    for (int64_t i = 0; i < heads * rows; i++, data += p->key_dim) {
        if (p->qk_norm_eps > 0) attn_rms_norm(data, p->key_dim, p->qk_norm_eps, NULL);
        if (p->rope.dim == 0) continue;
        attn_rope_table(&p->rope, first + i % rows, 1, table);
        attn_rope_turn(&p->rope, table, data);
    }
    free(table);
}

/* The result of the oracle on what the kernels get: q and k are rounded once prepared. */
static void compute_rounded(const problem_case *which, double **y, double **lse) {
    attn_problem p = which->problem;
    arrays a;

    arrays_create(which, &a);
    prepare_floats(&p, a.q, p.batch * p.heads, p.length, first_position(&p));
    prepare_floats(&p, a.k, p.batch * p.kv_heads, p.kv_length, 0);
    p.qk_norm_eps = 0;
    p.rope.dim = 0;
    round_to_bf16(a.q, a.q_elems);
    round_to_bf16(a.k, a.k_elems);
    round_to_bf16(a.v, a.v_elems);
    compute_naively(&p, &a, y, lse);
    arrays_destroy(&a);
}

/* The oracle gets what the kernels get. Weights rounded to bf16 (depth 2) are wrong by at most
 * 2^-8 of themselves, and so is their sum with the values by 2^-8 of the largest value. */
static void test_bf16_agrees_with_the_oracle_on_rounded_inputs(void) {
    for (size_t c = 0; c < CASES; c++) {
        const attn_problem *p = &cases[c].problem;
        arrays a;
        double *y, *lse, rounding;

        if (p->model_dim > 0) continue; /* its q, k and v are rounded on their way */
        if (!is_my_turn(c)) continue;
        arrays_create(&cases[c], &a);
        compute_rounded(&cases[c], &y, &lse);
        rounding = 0x1p-8 * largest(a.v, a.v_elems) / rms_of(y, a.y_elems);
        for (int32_t level = 0; level < attn_kernel_levels(); level++) {
            const attn_kernel *kernel = attn_kernel_of(level, ATTN_BF16);

            if (bf16_kernel(level) == NULL) continue;
            compute_stored(p, &a, ATTN_BF16, kernel->name);
            CU_ASSERT(error_over_rms(a.y, y, a.y_elems) <=
                      error_allowed + (kernel->depth == 2 ? rounding : 0));
        }
        free(y);
        free(lse);
        arrays_destroy(&a);
    }
}

/* On every level; under sanitizers on one in turn, another one with another number of ranks. */
static void test_bf16_gives_the_same_bits_on_every_mesh(void) {
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    for (size_t c = 0; c < CASES; c++)
        for (int32_t level = 0; level < attn_kernel_levels(); level++) {
            arrays a;

            if (bf16_kernel(level) == NULL) continue;
            if (ATTN_SANITIZED &&
                (c + (size_t)ranks) % (size_t)attn_kernel_levels() != (size_t)level)
                continue;
            arrays_create(&cases[c], &a);
            compute_for_all(&cases[c].problem, &a, ATTN_BF16, bf16_kernel(level), c);
            for (int heads = 1; heads <= ranks; heads++) {
                attn_options options = {
                    .mesh_heads = heads,
                    .circulate = circulations[(c + (size_t)heads) % CIRCULATIONS],
                    .layout = layouts[c % LAYOUTS],
                    .storage = ATTN_BF16,
                    .kernel = bf16_kernel(level),
                    .with_lse = 1,
                    .threads = 1 + heads % 2};
                if (ranks % heads == 0) check_mesh(&cases[c].problem, &a, &options);
            }
            arrays_destroy(&a);
        }
}

/* A cell of the support table on all ranks: refused in the words of the table, or the bits of one
 * rank alone. */
static void check_cell(const attn_support_row *row, const arrays *a, const char *circulation,
                       const char *layout, attn_storage storage) {
    int ranks;
    attn_options options = {.mesh_heads = 1,
                            .circulate = circulation,
                            .layout = layout,
                            .storage = storage,
                            .with_lse = 1,
                            .threads = 1};
    attn_error in_table, error;
    attn_plan *plan;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    options.mesh_sequence = ranks;
    if (attn_support_cell(&row->problem, circulation, layout, storage, &in_table) == ATTN_OK) {
        check_mesh(&row->problem, a, &options);
        return;
    }
    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &row->problem, &options, &plan, &error),
                    in_table.status);
    CU_ASSERT_STRING_EQUAL(error.message, in_table.message);
}

/* fp64 agrees with what is in `a`. */
static void check_against_oracle(const attn_support_row *row, const arrays *a,
                                 attn_storage storage) {
    const problem_case which = {row->name, row->problem, 0};
    double *y, *lse, rounding = 0;

    if (storage == ATTN_FP32)
        compute_naively(&row->problem, a, &y, &lse);
    else
        compute_rounded(&which, &y, &lse);
    if (attn_kernel_of(attn_kernel_best(storage), storage)->depth == 2)
        rounding = 0x1p-8 * largest(a->v, a->v_elems) / rms_of(y, a->y_elems);
    CU_ASSERT(error_over_rms(a->y, y, a->y_elems) <= error_allowed + rounding);
    free(y);
    free(lse);
}

/* In all layouts; under sanitizers in one in turn. */
static void check_row(const attn_support_row *row, attn_storage storage, size_t turn) {
    const problem_case which = {row->name, row->problem, 0};
    const int rounds_on_the_way = storage != ATTN_FP32 && row->problem.model_dim > 0;
    arrays a;

    arrays_create(&which, &a);
    compute_for_all(&row->problem, &a, storage, NULL, turn);
    if (is_my_turn(turn) && !rounds_on_the_way) check_against_oracle(row, &a, storage);
    for (int c = 0; attn_circulation_name(c) != NULL; c++)
        for (int l = 0; attn_layout_name(l) != NULL; l++)
            if (!ATTN_SANITIZED || (turn + (size_t)c) % LAYOUTS == (size_t)l)
                check_cell(row, &a, attn_circulation_name(c), attn_layout_name(l), storage);
    arrays_destroy(&a);
}

static void test_every_cell_of_the_support_table_holds(void) {
    const attn_support_row *row;

    for (int i = 0; (row = attn_support_row_at(i)) != NULL; i++)
        for (int storage = 0; storage < ATTN_STORAGES; storage++)
            check_row(row, (attn_storage)storage, (size_t)(i * ATTN_STORAGES + storage));
}

/* A communicator whose ranks are in another order than the world's. */
static void test_a_callers_communicator_in_any_order_works(void) {
    const problem_case *which = &cases[0];
    attn_options options = {.with_lse = 1, .threads = 1};
    attn_plan *plan;
    attn_error error;
    attn_row_list rows;
    arrays a;
    float *y, *lse;
    MPI_Comm reversed;
    int rank;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_split(MPI_COMM_WORLD, 0, -rank, &reversed);
    arrays_create(which, &a);
    compute_alone(&which->problem, &a);
    CU_ASSERT_EQUAL(attn_plan_create(reversed, &which->problem, &options, &plan, &error), ATTN_OK);
    MPI_Comm_free(&reversed); /* the plan has its own */
    if (plan != NULL) {
        rows = attn_plan_query_rows(plan);
        execute(plan, &which->problem, &a, &y, &lse);
        CU_ASSERT(same_bits(y, a.y, which->problem.heads, which->problem.length,
                            which->problem.value_dim, rows));
        free(y);
        free(lse);
    }
    attn_plan_destroy(plan);
    arrays_destroy(&a);
}

/* Bytes as exchange.h and circulate_ring.c promise, for d = 16, equal shards of whole
 * panels, and heads that divide. */
static void check_bytes_sent(attn_storage storage) {
    const int64_t elem_bytes = attn_storage_bytes(storage);
    attn_problem p = {1, 0, 0, 0, 0, 16, 16, 0, 0, .mask = {0}};
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    p.length = p.kv_length = 32 * ranks;
    p.heads = p.kv_heads = ranks;
    for (int heads = 1; heads <= ranks; heads++) {
        int shards = ranks / heads;
        attn_options options = {.mesh_heads = heads,
                                .mesh_sequence = shards,
                                .circulate = "ring",
                                .threads = 1,
                                .storage = storage};
        problem_case which = {"", p, 0};
        int64_t exchanged, circulated;
        attn_plan *plan;
        attn_error error;
        arrays a;
        float *y, *lse;

        if (ranks % heads != 0) continue;
        /* q, k, v forth and out, which is fp32, back: each rank's rows, of the heads it does not
         * keep. */
        exchanged = (p.length / ranks) * (p.heads - p.heads / heads) * 16 * (3 * elem_bytes + 4);
        circulated = (shards - 1) * (p.length / shards) * (p.heads / heads) * 32 * elem_bytes;
        arrays_create(&which, &a);
        options.with_lse = 0;
        CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &p, &options, &plan, &error), ATTN_OK);
        if (plan != NULL) {
            attn_row_list rows = attn_plan_query_rows(plan);
            float *q = own_part(a.q, p.heads, p.length, 16, rows);
            float *k = own_part(a.k, p.heads, p.length, 16, rows);
            float *v = own_part(a.v, p.heads, p.length, 16, rows);
            y = own_part(a.y, p.heads, p.length, 16, rows);
            lse = NULL;
            attn_execute(plan, q, k, v, y, lse);
            CU_ASSERT_EQUAL(attn_plan_stats(plan).sent_bytes, exchanged + circulated);
            free(q);
            free(k);
            free(v);
            free(y);
        }
        attn_plan_destroy(plan);
        arrays_destroy(&a);
    }
}

static void test_bytes_sent_are_those_of_the_formulas(void) {
    check_bytes_sent(ATTN_FP32);
    check_bytes_sent(ATTN_BF16);
}

/* One table, with a row of scratch, where queries and keys share their positions, two where not. */
static void test_tables_of_positions_are_counted(void) {
    enum { DIM = 12 };
    attn_problem plain = {1, 301, 301, 4, 2, 16, 16, 0, 0, .mask = {.causal = ATTN_CAUSAL}};
    attn_options options = {.mesh_heads = 1, .circulate = "ring", .threads = 1};

    for (int i = 0; i < 2; i++) {
        attn_problem turned;
        attn_plan *plans[2] = {NULL, NULL};
        attn_plan_info info[2];
        attn_error error;
        int64_t rows, keys, turned_keys;

        plain.kv_length += i * 77;
        turned = plain;
        turned.rope = (attn_rope){.dim = DIM, .theta = 1e4};
        attn_plan_create(MPI_COMM_WORLD, &plain, &options, &plans[0], &error);
        attn_plan_create(MPI_COMM_WORLD, &turned, &options, &plans[1], &error);
        CU_ASSERT(plans[0] != NULL && plans[1] != NULL);
        if (plans[0] != NULL && plans[1] != NULL) {
            rows = attn_plan_query_rows(plans[1]).count;
            keys = attn_plan_key_rows(plans[1]).count;
            if (i == 1) rows += keys;
            attn_plan_get_info(plans[0], &info[0]);
            attn_plan_get_info(plans[1], &info[1]);
            /* Where no heads are exchanged, keys that are not turned are used in place. */
            turned_keys = info[1].mesh_heads == 1 ? keys * plain.kv_heads * plain.key_dim : 0;
            CU_ASSERT_EQUAL(
                info[1].bytes - info[0].bytes,
                (rows * DIM + (1 + i) * plain.key_dim + turned_keys) * (int64_t)sizeof(float));
        }
        attn_plan_destroy(plans[0]);
        attn_plan_destroy(plans[1]);
    }
}

static void check_refused(attn_problem problem, attn_options options, attn_status expected) {
    attn_plan *plan;
    attn_error error;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, &problem, &options, &plan, &error), expected);
    CU_ASSERT_PTR_NULL(plan);
    CU_ASSERT(error.message[0] != '\0');
    attn_plan_destroy(plan);
}

static void check_refused_masks(attn_problem problem) {
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
        check_refused(problem, (attn_options){0}, ATTN_ERR_CONFIG);
    }
    problem.mask = (attn_mask_spec){DOCUMENTS};
    problem.kv_length += 1;
    check_refused(problem, (attn_options){0}, ATTN_ERR_CONFIG);
}

/* This rank's part, which can be empty, and nothing else but the pointers to its rows. */
static void test_biases_are_counted(void) {
    attn_problem plain = {1, 301, 250, 4, 2, 16, 16, 0, 0, .mask = {0}};
    attn_options options = {.mesh_heads = 1, .circulate = "ring", .threads = 1};

    for (int i = 0; i < 2; i++) {
        attn_problem capped = plain, biased = plain;
        attn_plan *plans[2] = {NULL, NULL};
        attn_plan_info info[2];
        attn_error error;

        capped.terms.softcap = 3;
        biased.terms.bias_heads = i == 0 ? 1 : plain.heads;
        attn_plan_create(MPI_COMM_WORLD, &capped, &options, &plans[0], &error);
        attn_plan_create(MPI_COMM_WORLD, &biased, &options, &plans[1], &error);
        CU_ASSERT(plans[0] != NULL && plans[1] != NULL);
        if (plans[0] != NULL && plans[1] != NULL) {
            attn_plan_get_info(plans[0], &info[0]);
            attn_plan_get_info(plans[1], &info[1]);
            CU_ASSERT_EQUAL(info[1].bytes - info[0].bytes,
                            (i == 0 ? 1 : info[1].head_count) * info[1].shard_queries.count *
                                plain.kv_length * (int64_t)sizeof(float));
            CU_ASSERT_PTR_NULL(attn_plan_bias(plans[0]));
        }
        attn_plan_destroy(plans[0]);
        attn_plan_destroy(plans[1]);
    }
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

static void check_refused_terms(attn_problem problem) {
    static const float infinite[] = {1, 1, INFINITY, 1, 1}, not_numbers[] = {1, NAN, 1, 1, 1};
    static const float large[] = {0, 0, 0, 3e38f, 0};
    const attn_terms bad[] = {
        {.softcap = -1},      {.softcap = NAN},        {.softcap = INFINITY},
        {.slopes = infinite}, {.slopes = not_numbers}, {.sinks = not_numbers},
        {.sinks = infinite},  {.bias_heads = -1},      {.bias_heads = problem.heads - 1},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        problem.terms = bad[i];
        check_refused(problem, (attn_options){0}, ATTN_ERR_CONFIG);
    }
    problem.terms = (attn_terms){.sinks = large};
    problem.scale = 0.5f;
    check_refused(problem, (attn_options){0}, ATTN_ERR_CONFIG);
    problem.terms = (attn_terms){.bias_heads = 1};
    problem.length = INT64_C(1) << 30; /* whose rows alone would fit, but for their biases */
    problem.kv_length = INT64_C(1) << 30;
    problem.heads = problem.kv_heads = 1;
    problem.key_dim = problem.value_dim = 1;
    check_refused(problem, (attn_options){0}, ATTN_ERR_MEMORY);
}

static void test_bad_requests_are_refused_on_all_ranks(void) {
    attn_problem good = cases[0].problem, bad;
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    check_refused(good, (attn_options){.mesh_heads = ranks + 1}, ATTN_ERR_CONFIG);
    check_refused(good, (attn_options){.mesh_heads = 2, .mesh_sequence = ranks}, ATTN_ERR_CONFIG);
    check_refused(good, (attn_options){.circulate = "square"}, ATTN_ERR_CONFIG);
    check_refused(good, (attn_options){.layout = "spiral"}, ATTN_ERR_CONFIG);
    check_refused(good, (attn_options){.kernel = "abacus"}, ATTN_ERR_CONFIG);
    check_refused(good, (attn_options){.storage = (attn_storage)7}, ATTN_ERR_CONFIG);
    check_refused(good, (attn_options){.threads = -1}, ATTN_ERR_CONFIG);
    bad = good;
    bad.kv_heads = 2;
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    bad = good;
    bad.length = 0;
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    bad = good;
    bad.scale = NAN;
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    bad = good;
    bad.model_dim = 8;
    bad.kv_length += 1;
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    check_refused_masks(good);
    check_refused_terms(good);
    bad = good;
    bad.rope = (attn_rope){.dim = 23, .theta = 1e4};
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    bad.rope = (attn_rope){.dim = 26, .theta = 1e4};
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    bad = good;
    bad.qk_norm_eps = -1;
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    bad.qk_norm_eps = NAN;
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    bad = good;
    bad.memory_dim = 8;
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    bad = cases[14].problem;
    bad.memory_dim = -1;
    check_refused(bad, (attn_options){0}, ATTN_ERR_CONFIG);
    bad = good;
    bad.length = bad.kv_length = INT64_C(1) << 40;
    check_refused(bad, (attn_options){0}, ATTN_ERR_MEMORY);
    check_refused(good, (attn_options){.memory_fraction = 1e-12}, ATTN_ERR_MEMORY);
}

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"every cell of the support table holds", test_every_cell_of_the_support_table_holds},
        {"one rank agrees with the oracle", test_one_rank_agrees_with_the_oracle},
        {"every mesh, circulation and layout gives the same bits",
         test_every_mesh_circulation_and_layout_gives_the_same_bits},
        {"messages cut into pieces give the same bits",
         test_messages_cut_into_pieces_give_the_same_bits},
        {"bf16 agrees with the oracle on rounded inputs",
         test_bf16_agrees_with_the_oracle_on_rounded_inputs},
        {"bf16 gives the same bits on every mesh", test_bf16_gives_the_same_bits_on_every_mesh},
        {"a caller's communicator in any order works",
         test_a_callers_communicator_in_any_order_works},
        {"bytes sent are those of the formulas", test_bytes_sent_are_those_of_the_formulas},
        {"biases are counted", test_biases_are_counted},
        {"slopes are the published ones", test_slopes_are_the_published_ones},
        {"tables of positions are counted", test_tables_of_positions_are_counted},
        {"bad requests are refused on all ranks", test_bad_requests_are_refused_on_all_ranks},
    };
    return attn_test_main_mpi(&argc, &argv, "mpi.attention", tests, ATTN_TEST_COUNT(tests));
}
