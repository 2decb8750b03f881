#include "attention_execution.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "plan_sends.h"

/* Own heads, or the one, and the rows of the shard. */
static void give_bias(attn_plan *plan, const attn_array *bias) {
    attn_plan_info info;
    attn_array own = *bias;
    float *part;

    if (bias->data == NULL) return;
    attn_plan_get_info(plan, &info);
    if (bias->outer > 1) {
        own.outer = info.head_count;
        own.data += info.first_head * bias->length * bias->width;
    }
    part = attn_array_part(&own, info.shard_queries);
    memcpy(attn_plan_bias(plan), part,
           (size_t)(own.outer * info.shard_queries.count * own.width) * sizeof *part);
    free(part);
}

void attn_execution_run(attn_plan *plan, const attn_arrays *a, float **y, float **lse) {
    const attn_row_list rows = attn_plan_query_rows(plan), keys = attn_plan_key_rows(plan);
    float *own_lse = NULL;

    give_bias(plan, &a->bias);
    *y = attn_array_unwritten_part(&a->y, rows);
    if (lse != NULL) own_lse = *lse = attn_array_unwritten_part(&a->lse, rows);
    if (a->x.data != NULL) {
        float *x = attn_array_part(&a->x, rows), *memory = attn_array_part(&a->memory, keys);

        attn_execute_layer(plan, &a->layer, x, memory, *y, own_lse);
        free(x);
        free(memory);
    } else {
        float *q = attn_array_part(&a->q, rows);
        float *k = attn_array_part(&a->k, keys), *v = attn_array_part(&a->v, keys);

        attn_execute(plan, q, k, v, *y, own_lse);
        free(q);
        free(k);
        free(v);
    }
}

/* --- what was sent ----------------------------------------------------------- */

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

void attn_execution_check_sends(const attn_plan *plan) {
    attn_stats stats = attn_plan_stats(plan);
    told_sends told = {0, 0};

    attn_plan_sends(plan, add_send, &told);
    CU_ASSERT_EQUAL(stats.sent_bytes, told.bytes);
    CU_ASSERT_EQUAL(stats.sent_messages, told.messages);
}

/* --- one rank alone ---------------------------------------------------------- */

void attn_execution_alone(const attn_problem *p, attn_storage storage, const char *kernel,
                          attn_arrays *a) {
    attn_options options = {.with_lse = 1, .threads = 1, .storage = storage, .kernel = kernel};
    attn_plan *plan;
    attn_error error;
    float *y, *lse;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_SELF, p, &options, &plan, &error), ATTN_OK);
    if (plan == NULL) return;
    attn_execution_run(plan, a, &y, &lse);
    attn_execution_check_sends(plan);
    free(a->y.data);
    free(a->lse.data);
    a->y.data = y; /* all rows */
    a->lse.data = lse;
    attn_plan_destroy(plan);
}

static int rank_of_turn(size_t turn) {
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    return (int)(turn % (size_t)ranks);
}

int attn_execution_is_my_turn(size_t turn) {
    int rank;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank_of_turn(turn) == rank;
}

static void share(attn_array *array, int root) {
    MPI_Bcast(array->data, (int)attn_array_elems(array), MPI_FLOAT, root, MPI_COMM_WORLD);
}

void attn_execution_for_all(const attn_problem *p, attn_storage storage, const char *kernel,
                            size_t turn, attn_arrays *a) {
    if (attn_execution_is_my_turn(turn)) attn_execution_alone(p, storage, kernel, a);
    share(&a->y, rank_of_turn(turn));
    share(&a->lse, rank_of_turn(turn));
}

/* --- meshes of all ranks ------------------------------------------------------ */

void attn_execution_check_mesh(const attn_problem *p, const attn_arrays *a,
                               const attn_options *options) {
    attn_plan *plan;
    attn_error error;

    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, p, options, &plan, &error), ATTN_OK);
    if (plan == NULL) return;
    for (int repeat = 0; repeat < 2; repeat++) { /* a plan serves many executions */
        const attn_row_list rows = attn_plan_query_rows(plan);
        float *y, *lse;

        attn_execution_run(plan, a, &y, &lse);
        attn_execution_check_sends(plan);
        CU_ASSERT(attn_array_has_part(&a->y, rows, y));
        CU_ASSERT(attn_array_has_part(&a->lse, rows, lse));
        free(y);
        free(lse);
    }
    attn_plan_destroy(plan);
}

/* Queries that move leave their biases behind: refused. */
static int bias_would_travel(const attn_problem *p, const attn_options *options) {
    return p->terms.bias_heads > 0 && options->circulate != NULL &&
           strcmp(options->circulate, "reduce") == 0;
}

void attn_execution_check_way(const attn_problem *p, const attn_arrays *a,
                              const attn_options *options) {
    attn_plan *plan;
    attn_error error;

    if (!bias_would_travel(p, options)) {
        attn_execution_check_mesh(p, a, options);
        return;
    }
    CU_ASSERT_EQUAL(attn_plan_create(MPI_COMM_WORLD, p, options, &plan, &error), ATTN_ERR_CONFIG);
    attn_plan_destroy(plan);
}
