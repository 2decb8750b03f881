#include "job_arrays.h"

#include <math.h>
#include <stdlib.h>

#include "agree.h"
#include "bias.h"
#include "job_rows.h"
#include "memory.h"
#include "simulate.h"
#include "synthetic.h"

/* Own rows of a tensor [outer][length][width]. */
static attn_rows_view view_of(const attn_job *job, int64_t heads, attn_row_list rows,
                              int64_t length, int64_t width) {
    return (attn_rows_view){job->inputs.problem.batch * heads, length, width, rows};
}

static attn_rows_view x_view(const attn_job *job) {
    const attn_problem *p = &job->inputs.problem;
    return view_of(job, 1, attn_plan_query_rows(job->plan), p->length, p->model_dim);
}

static attn_rows_view memory_view(const attn_job *job) {
    const attn_problem *p = &job->inputs.problem;
    return view_of(job, 1, attn_plan_key_rows(job->plan), p->kv_length, p->memory_dim);
}

static attn_rows_view q_view(const attn_job *job) {
    const attn_problem *p = &job->inputs.problem;
    return view_of(job, p->heads, attn_plan_query_rows(job->plan), p->length, p->key_dim);
}

static attn_rows_view k_view(const attn_job *job, int64_t width) {
    const attn_problem *p = &job->inputs.problem;
    return view_of(job, p->kv_heads, attn_plan_key_rows(job->plan), p->kv_length, width);
}

static attn_rows_view y_view(const attn_job *job) {
    const attn_problem *p = &job->inputs.problem;
    if (job->inputs.form == ATTN_INPUT_LAYER) return x_view(job);
    return view_of(job, p->heads, attn_plan_query_rows(job->plan), p->length, p->value_dim);
}

static attn_rows_view lse_view(const attn_job *job) {
    const attn_problem *p = &job->inputs.problem;
    return view_of(job, p->heads, attn_plan_query_rows(job->plan), p->length, 1);
}

static attn_status allocate(float **array, attn_rows_view view, attn_error *error) {
    size_t elems = (size_t)attn_rows_view_elems(&view);

    *array = ATTN_SIMULATED ? attn_simulate_alloc((int64_t)(elems * sizeof **array))
                            : attn_alloc(elems, sizeof **array);
    if (*array == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate an array");
    if (!ATTN_SIMULATED) attn_touch(*array, elems * sizeof **array);
    return attn_ok(error);
}

static attn_status allocate_arrays(attn_job *job, attn_error *error) {
    const attn_problem *problem = &job->inputs.problem;
    int32_t has_bias[ATTN_PROJECTIONS];

    if (allocate(&job->y, y_view(job), error) != ATTN_OK) return error->status;
    if (attn_job_wants_lse(job) && allocate(&job->lse, lse_view(job), error) != ATTN_OK)
        return error->status;
    if (job->inputs.form == ATTN_INPUT_QKV) {
        if (allocate(&job->q, q_view(job), error) == ATTN_OK &&
            allocate(&job->k, k_view(job, problem->key_dim), error) == ATTN_OK)
            allocate(&job->v, k_view(job, problem->value_dim), error);
        return error->status;
    }
    for (int i = 0; i < ATTN_PROJECTIONS; i++)
        has_bias[i] = job->inputs.synthetic || job->inputs.weights.parts[i].has_bias;
    if (allocate(&job->x, x_view(job), error) != ATTN_OK) return error->status;
    if (problem->memory_dim > 0 && allocate(&job->memory, memory_view(job), error) != ATTN_OK)
        return error->status;
    return attn_weights_allocate(problem, has_bias, &job->weights, error);
}

/* --- loading ---------------------------------------------------------------- */

/* About 1, as after training. */
static void make_norm(const attn_job *job, int which) {
    const float scale = 0.1f;
    float *norm = attn_weights_norm_at(&job->weights, which);

    attn_synthetic_fill(job->config.input.synthetic_seed, ATTN_SYNTHETIC_NORM + which, 0,
                        job->weights.norm_elems, scale, norm);
    for (int64_t i = 0; i < job->weights.norm_elems; i++) norm[i] += 1;
}

/* Biases are small beside x; weights keep the variance of their input. */
static void make_layer(attn_job *job) {
    const float bias_scale = 0.1f;
    attn_weight_memory *weights = &job->weights;
    int64_t seed = job->config.input.synthetic_seed;
    attn_rows_view view = x_view(job), memory = memory_view(job);

    attn_rows_view_generate(&view, seed, ATTN_SYNTHETIC_X, job->x);
    if (job->memory != NULL)
        attn_rows_view_generate(&memory, seed, ATTN_SYNTHETIC_MEMORY, job->memory);
    for (int i = 0; i < ATTN_NORMS; i++) make_norm(job, i);
    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        int64_t inputs = attn_weights_inputs(&job->inputs.problem, i);
        attn_synthetic_fill(seed, ATTN_SYNTHETIC_WEIGHT + i, 0, weights->elems[i],
                            (float)(1 / sqrt((double)inputs)), attn_weights_at(weights, i, 0));
        attn_synthetic_fill(seed, ATTN_SYNTHETIC_BIAS + i, 0, weights->bias_elems[i], bias_scale,
                            attn_weights_at(weights, i, 1));
    }
}

static void make_qkv(attn_job *job) {
    int64_t seed = job->config.input.synthetic_seed;
    attn_rows_view q = q_view(job);
    attn_rows_view k = k_view(job, job->inputs.problem.key_dim);
    attn_rows_view v = k_view(job, job->inputs.problem.value_dim);

    attn_rows_view_generate(&q, seed, ATTN_SYNTHETIC_Q, job->q);
    attn_rows_view_generate(&k, seed, ATTN_SYNTHETIC_K, job->k);
    attn_rows_view_generate(&v, seed, ATTN_SYNTHETIC_V, job->v);
}

static attn_status read_layer(attn_job *job, attn_error *error) {
    attn_rows_view view = x_view(job), memory = memory_view(job);

    if (attn_rows_view_read(&view, job->comm, &job->inputs.x, job->x, error) != ATTN_OK)
        return error->status;
    if (job->memory != NULL &&
        attn_rows_view_read(&memory, job->comm, &job->inputs.memory, job->memory, error) != ATTN_OK)
        return error->status;
    return attn_weights_load(job->comm, &job->inputs.weights, &job->weights, error);
}

static attn_status read_qkv(attn_job *job, attn_error *error) {
    attn_rows_view q = q_view(job);
    attn_rows_view k = k_view(job, job->inputs.problem.key_dim);
    attn_rows_view v = k_view(job, job->inputs.problem.value_dim);

    if (attn_rows_view_read(&q, job->comm, &job->inputs.q, job->q, error) != ATTN_OK ||
        attn_rows_view_read(&k, job->comm, &job->inputs.k, job->k, error) != ATTN_OK)
        return error->status;
    return attn_rows_view_read(&v, job->comm, &job->inputs.v, job->v, error);
}

attn_status attn_job_load(attn_job *job, attn_error *error) {
    int layer = job->inputs.form == ATTN_INPUT_LAYER;

    allocate_arrays(job, error);
    if (attn_agree(job->comm, "arrays", error) != ATTN_OK) return error->status;
    if (ATTN_SIMULATED) return attn_ok(error); /* what is in them means nothing */
    if (attn_bias_load(job->comm, &job->inputs, job->plan, &job->info, error) != ATTN_OK)
        return error->status;
    if (!job->inputs.synthetic) return layer ? read_layer(job, error) : read_qkv(job, error);
    if (layer)
        make_layer(job);
    else
        make_qkv(job);
    return attn_ok(error);
}

/* --- the result ------------------------------------------------------------- */

/* Every rank commits, also one that failed to write: the writer keeps a failure,
 * and the commit agrees on it. */
static attn_status write_one(attn_rows_view view, attn_tensor_writer *writer, const float *data,
                             attn_error *error) {
    if (writer == NULL) return attn_ok(error);
    attn_rows_view_write(&view, writer, data, error);
    return attn_tensor_writer_commit(writer, error);
}

attn_status attn_job_write(attn_job *job, attn_error *error) {
    if (write_one(y_view(job), job->y_writer, job->y, error) != ATTN_OK) return error->status;
    return write_one(lse_view(job), job->lse_writer, job->lse, error);
}

attn_status attn_job_check_finite(const attn_job *job, attn_error *error) {
    attn_rows_view y = y_view(job);
    attn_rows_view lse = lse_view(job);
    int64_t y_elems = attn_rows_view_elems(&y);
    int64_t lse_elems = job->lse == NULL ? 0 : attn_rows_view_elems(&lse);
    int64_t bad = 0;

    for (int64_t i = 0; i < y_elems; i++) bad += !isfinite(job->y[i]);
    for (int64_t i = 0; i < lse_elems; i++) bad += isnan(job->lse[i]) || job->lse[i] == INFINITY;
    attn_ok(error);
    if (bad > 0)
        attn_fail(error, ATTN_ERR_INPUT,
                  "the result has NaN or infinite elements: a projection or a score exceeds what "
                  "fp32 can hold; scale the input or the weights down");
    return attn_agree(job->comm, "compute", error);
}

void attn_job_free_arrays(attn_job *job) {
    if (ATTN_SIMULATED) return; /* attn_simulate_alloc's */
    free(job->lse);
    free(job->y);
    free(job->v);
    free(job->k);
    free(job->q);
    free(job->memory);
    free(job->x);
}
