#include "recompute.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "bias.h"
#include "buffers.h"
#include "mask_spec.h"
#include "memory.h"
#include "recompute_prepare.h"
#include "row_list.h"

enum { TILE_ROWS = 64 };

/* Matrices of a layer in fp64; NULL for attention alone, and for absent biases. */
typedef struct fp64_weights {
    double *weight[ATTN_PROJECTIONS], *bias[ATTN_PROJECTIONS], *norm[ATTN_NORMS];
} fp64_weights;

typedef struct oracle_run {
    const attn_job *job;
    const attn_problem *problem;
    double scale;
    attn_mask mask;
    int64_t rows;               /* R */
    const attn_sample *samples; /* borrowed, [R] */
    fp64_weights weights;
    float *bias;           /* [R][H, or 1][own keys]; NULL without a bias */
    double *query;         /* [R][H][d_k] */
    double *max;           /* [R][H] */
    double *sum;           /* [R][H], followed by out so that one reduction sums both */
    double *out;           /* [R][H][d_v] */
    double *input;         /* [TILE_ROWS][d_model, or d_memory] */
    double *keys, *values; /* [TILE_ROWS][H_kv][d_k], [TILE_ROWS][H_kv][d_v] */
} oracle_run;

/* --- set-up ----------------------------------------------------------------- */

/* count zeroed doubles; counts failures in *failed. */
static double *zeros(int64_t count, int *failed) {
    double *array = attn_alloc((size_t)count, sizeof *array);

    if (array == NULL)
        *failed = 1;
    else
        memset(array, 0, (size_t)count * sizeof *array);
    return array;
}

static double *widened(const float *data, int64_t count, int *failed) {
    double *array = data == NULL ? NULL : zeros(count, failed);

    for (int64_t i = 0; array != NULL && i < count; i++) array[i] = data[i];
    return array;
}

static int oracle_run_create(oracle_run *self, const attn_job *job, const attn_sample *samples,
                             int64_t rows) {
    const attn_problem *problem = &job->inputs.problem;
    int64_t heads = problem->heads, kv_heads = problem->kv_heads;
    int failed = 0;

    *self = (oracle_run){.job = job, .problem = problem, .rows = rows, .samples = samples};
    self->scale = problem->scale > 0 ? (double)problem->scale : 1 / sqrt((double)problem->key_dim);
    self->mask = attn_mask_spec_mask(problem);
    self->query = zeros(rows * heads * problem->key_dim, &failed);
    self->max = zeros(rows * heads, &failed);
    self->sum = zeros(rows * heads * (1 + problem->value_dim), &failed);
    if (self->sum != NULL) self->out = self->sum + rows * heads;
    self->input =
        zeros(TILE_ROWS * (problem->model_dim > problem->memory_dim ? problem->model_dim
                                                                    : problem->memory_dim),
              &failed);
    self->keys = zeros(TILE_ROWS * kv_heads * problem->key_dim, &failed);
    self->values = zeros(TILE_ROWS * kv_heads * problem->value_dim, &failed);
    for (int i = 0; i < ATTN_PROJECTIONS && problem->model_dim > 0; i++) {
        self->weights.weight[i] =
            widened(attn_weights_at(&job->weights, i, 0), job->weights.elems[i], &failed);
        self->weights.bias[i] =
            widened(attn_weights_at(&job->weights, i, 1), job->weights.bias_elems[i], &failed);
    }
    for (int i = 0; i < ATTN_NORMS; i++)
        self->weights.norm[i] =
            widened(attn_weights_norm_at(&job->weights, i), job->weights.norm_elems, &failed);
    return !failed;
}

static void oracle_run_destroy(oracle_run *self) {
    for (int i = 0; i < ATTN_NORMS; i++) free(self->weights.norm[i]);
    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        free(self->weights.bias[i]);
        free(self->weights.weight[i]);
    }
    free(self->values);
    free(self->keys);
    free(self->input);
    free(self->sum);
    free(self->max);
    free(self->query);
    free(self->bias);
}

/* The samples' biases at own keys, from the file and not from what the kernels were given.
 * Collective; agreed on at the boundary "verify". */
static attn_status read_biases(oracle_run *self, attn_error *error) {
    const attn_inputs *inputs = &self->job->inputs;
    const attn_row_list own = attn_plan_key_rows(self->job->plan);
    const int64_t heads = self->problem->terms.bias_heads;
    attn_tensor_reader *reader;

    attn_ok(error);
    if (heads == 0) return ATTN_OK;
    self->bias = attn_alloc((size_t)attn_elems(self->rows, heads, own.count), sizeof *self->bias);
    if (self->bias == NULL)
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the oracle; lower verify.rows");
    if (attn_agree(self->job->comm, "verify", error) != ATTN_OK ||
        attn_tensor_reader_open(self->job->comm, &inputs->bias, &reader, error) != ATTN_OK)
        return error->status;
    attn_tensor_reader_allow_minus_infinity(reader);
    for (int64_t i = 0; i < self->rows * heads && error->status == ATTN_OK; i++)
        attn_bias_read(reader, self->problem, i % heads, self->samples[i / heads].row, &own,
                       self->bias + i * own.count, error);
    attn_tensor_reader_close(reader);
    return attn_agree(self->job->comm, "verify", error);
}

/* --- projections in fp64 ----------------------------------------------------- */

/* result [rows][outputs] := input [rows][inputs] · weightᵀ + bias */
static void linear(const double *input, int64_t rows, int64_t inputs, const double *weight,
                   const double *bias, int64_t outputs, double *result) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < outputs; c++)
            result[row * outputs + c] = bias == NULL ? 0 : bias[c];
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)rows, (blasint)outputs,
                (blasint)inputs, 1.0, input, (blasint)inputs, weight, (blasint)inputs, 1.0, result,
                (blasint)outputs);
}

/* Own rows [first, first + count) of [B][own_rows][width], in fp64. */
static void widen_input(const oracle_run *self, const float *data, int64_t own_rows, int64_t width,
                        int64_t item, int64_t first, int64_t count) {
    const float *from = data + (item * own_rows + first) * width;

    for (int64_t i = 0; i < count * width; i++) self->input[i] = from[i];
}

/* Elements as the problem's storage keeps them: what the kernels are given. */
static void round_to_storage(const oracle_run *self, double *data, int64_t count) {
    if (self->job->config.compute.dtype != ATTN_BF16) return;
    for (int64_t i = 0; i < count; i++) {
        float x = (float)data[i];
        uint16_t stored;
        uint32_t bits;

        attn_store(ATTN_BF16, &x, 1, &stored);
        bits = (uint32_t)stored << 16;
        memcpy(&x, &bits, sizeof x);
        data[i] = (double)x;
    }
}

/* The queries of own samples; others stay zero. */
static void make_queries(const oracle_run *self) {
    const attn_problem *problem = self->problem;
    int64_t own_rows = attn_plan_query_rows(self->job->plan).count;
    int64_t width = problem->heads * problem->key_dim;

    for (int64_t i = 0; i < self->rows; i++) {
        const attn_sample *sample = &self->samples[i];
        double *query = self->query + i * width;

        if (sample->own < 0) continue;
        if (problem->model_dim > 0) {
            widen_input(self, self->job->x, own_rows, problem->model_dim, sample->item, sample->own,
                        1);
            linear(self->input, 1, problem->model_dim, self->weights.weight[0],
                   self->weights.bias[0], width, query);
        }
        for (int64_t c = 0; c < width && problem->model_dim == 0; c++) {
            int64_t head = sample->item * problem->heads + c / problem->key_dim;
            query[c] =
                self->job
                    ->q[(head * own_rows + sample->own) * problem->key_dim + c % problem->key_dim];
        }
        attn_recompute_prepare(problem, self->weights.norm[0],
                               attn_recompute_query_position(problem, sample->row), 1,
                               problem->heads, query);
        round_to_storage(self, query, width);
    }
}

/* Copies own rows of k or v [B][H_kv][rows][dim] to [count][H_kv][dim], in fp64. */
static void widen_heads(const oracle_run *self, const float *data, int64_t item, int64_t first,
                        int64_t count, int64_t dim, double *result) {
    int64_t own_rows = attn_plan_key_rows(self->job->plan).count;
    int64_t heads = self->problem->kv_heads;

    for (int64_t row = 0; row < count; row++)
        for (int64_t head = 0; head < heads; head++)
            for (int64_t c = 0; c < dim; c++)
                result[(row * heads + head) * dim + c] =
                    data[((item * heads + head) * own_rows + first + row) * dim + c];
}

/* Keys and values, not prepared yet. */
static void project_keys(const oracle_run *self, int64_t item, int64_t first, int64_t count,
                         int with_values) {
    const attn_problem *problem = self->problem;
    const fp64_weights *weights = &self->weights;
    int is_cross = problem->memory_dim > 0;
    int64_t width = is_cross ? problem->memory_dim : problem->model_dim;

    if (problem->model_dim > 0) {
        widen_input(self, is_cross ? self->job->memory : self->job->x,
                    attn_plan_key_rows(self->job->plan).count, width, item, first, count);
        linear(self->input, count, width, weights->weight[1], weights->bias[1],
               problem->kv_heads * problem->key_dim, self->keys);
        if (with_values)
            linear(self->input, count, width, weights->weight[2], weights->bias[2],
                   problem->kv_heads * problem->value_dim, self->values);
    } else {
        widen_heads(self, self->job->k, item, first, count, problem->key_dim, self->keys);
        if (with_values)
            widen_heads(self, self->job->v, item, first, count, problem->value_dim, self->values);
    }
}

/* Keys, and values where wanted, of own rows [first, first + count), which are those from `row` of
 * the sequence on. */
static void make_keys(const oracle_run *self, int64_t item, int64_t first, int64_t count,
                      int64_t row, int with_values) {
    const attn_problem *problem = self->problem;

    project_keys(self, item, first, count, with_values);
    attn_recompute_prepare(problem, self->weights.norm[1], row, count, problem->kv_heads,
                           self->keys);
    round_to_storage(self, self->keys, count * problem->kv_heads * problem->key_dim);
    if (with_values)
        round_to_storage(self, self->values, count * problem->kv_heads * problem->value_dim);
}

/* --- the two passes ---------------------------------------------------------- */

/* The terms of a sample's scores with own keys from `own_first` on, which are those from `first`
 * of the sequence on. */
static attn_oracle_terms terms_of(const oracle_run *self, int64_t i, int64_t head, int64_t first,
                                  int64_t own_first) {
    const attn_problem *problem = self->problem;
    const attn_terms *terms = &problem->terms;
    const int top_left = problem->mask.causal == ATTN_CAUSAL_TOP_LEFT;
    attn_oracle_terms result = {.softcap = (double)terms->softcap};

    if (terms->slopes != NULL) result.slope = (double)terms->slopes[head];
    result.position =
        self->samples[i].row + (top_left ? 0 : problem->kv_length - problem->length) - first;
    if (self->bias != NULL)
        result.bias = self->bias +
                      (i * terms->bias_heads + head % terms->bias_heads) *
                          attn_plan_key_rows(self->job->plan).count +
                      own_first;
    return result;
}

/* One sample and head against those of the keys at hand, global rows [first, first + count),
 * that lie in `seen`. */
static void visit_span(const oracle_run *self, int64_t i, int64_t head, int64_t first,
                       int64_t count, attn_interval seen, const attn_oracle_terms *terms,
                       int pass) {
    const attn_problem *problem = self->problem;
    int64_t kv_head = head / (problem->heads / problem->kv_heads);
    int64_t at = i * problem->heads + head;
    const double *keys = self->keys + kv_head * problem->key_dim;

    seen.first = (seen.first > first ? seen.first : first) - first;
    seen.last = (seen.last < first + count ? seen.last : first + count) - first;
    if (seen.last <= seen.first) return;
    if (pass == 1)
        self->max[at] = attn_oracle_max(self->query + at * problem->key_dim, keys,
                                        problem->kv_heads * problem->key_dim, problem->key_dim,
                                        seen, self->scale, terms, self->max[at]);
    else
        attn_oracle_add(
            self->query + at * problem->key_dim, keys, problem->kv_heads * problem->key_dim,
            self->values + kv_head * problem->value_dim, problem->kv_heads * problem->value_dim,
            problem->key_dim, problem->value_dim, seen, self->scale, terms, self->max[at],
            &self->sum[at], self->out + at * problem->value_dim);
}

static void visit(const oracle_run *self, int64_t i, int64_t head, int64_t first, int64_t count,
                  int64_t own_first, int pass) {
    const attn_sample *sample = &self->samples[i];
    const attn_oracle_terms terms = terms_of(self, i, head, first, own_first);
    attn_visible seen = attn_mask_visible(&self->mask, sample->item, sample->row);

    for (int span = 0; span < 2; span++)
        visit_span(self, i, head, first, count, seen.span[span], &terms, pass);
}

static void run_pass(const oracle_run *self, int pass) {
    attn_row_list own = attn_plan_key_rows(self->job->plan);
    int64_t heads = self->problem->heads;
    int threads = self->job->info.threads;

    for (int64_t item = 0; item < self->problem->batch; item++)
        for (int64_t first = 0, count; first < own.count; first += count) {
            attn_rows rows = attn_row_list_from(&own, first, TILE_ROWS);

            count = rows.count;
            make_keys(self, item, first, count, rows.first, pass == 2);
#pragma omp parallel for num_threads(threads) schedule(static)
            for (int64_t at = 0; at < self->rows * heads; at++)
                if (self->samples[at / heads].item == item)
                    visit(self, at / heads, at % heads, rows.first, count, first, pass);
        }
}

static void reduce(const oracle_run *self, double *data, int64_t count, MPI_Op op) {
    enum { PIECE = 1 << 24 };

    for (int64_t done = 0; done < count; done += PIECE)
        ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, data + done,
                               (int)(count - done < PIECE ? count - done : PIECE), MPI_DOUBLE, op,
                               self->job->comm));
}

/* After pass 2: with the sinks, normalised, `max` holding the lse. */
static void finish(const oracle_run *self) {
    const float *sinks = self->problem->terms.sinks;
    int64_t heads = self->problem->heads;
    int32_t value_dim = self->problem->value_dim;

    for (int64_t i = 0; sinks != NULL && i < self->rows * heads; i++)
        attn_oracle_sink((double)sinks[i % heads], value_dim, &self->max[i], &self->sum[i],
                         self->out + i * value_dim);
    for (int64_t i = 0; i < self->rows * heads; i++)
        attn_oracle_finish(self->max[i], self->sum[i], value_dim, self->out + i * value_dim,
                           &self->max[i]);
}

static void run(const oracle_run *self, double *y, double *lse) {
    const attn_problem *problem = self->problem;
    int64_t pairs = self->rows * problem->heads;
    int64_t width = problem->heads * problem->value_dim;

    make_queries(self);
    reduce(self, self->query, pairs * problem->key_dim, MPI_SUM);
    for (int64_t i = 0; i < pairs; i++) self->max[i] = -INFINITY;
    run_pass(self, 1);
    reduce(self, self->max, pairs, MPI_MAX);
    run_pass(self, 2);
    reduce(self, self->sum, pairs * (1 + problem->value_dim), MPI_SUM);
    finish(self);
    memcpy(lse, self->max, (size_t)pairs * sizeof *lse);
    if (problem->model_dim > 0)
        linear(self->out, self->rows, width, self->weights.weight[3], self->weights.bias[3],
               problem->model_dim, y);
    else
        memcpy(y, self->out, (size_t)(self->rows * width) * sizeof *y);
}

int64_t attn_recompute_width(const attn_problem *problem) {
    if (problem->model_dim > 0) return problem->model_dim;
    return problem->heads * problem->value_dim;
}

attn_status attn_recompute(const attn_job *job, const attn_sample *samples, int64_t rows, double *y,
                           double *lse, attn_error *error) {
    oracle_run self;
    int blas_threads = openblas_get_num_threads();

    attn_ok(error);
    if (!oracle_run_create(&self, job, samples, rows))
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the oracle; lower verify.rows");
    if (attn_agree(job->comm, "verify", error) == ATTN_OK && read_biases(&self, error) == ATTN_OK) {
        openblas_set_num_threads(job->info.threads);
        run(&self, y, lse);
        openblas_set_num_threads(blas_threads);
    }
    oracle_run_destroy(&self);
    return error->status;
}
