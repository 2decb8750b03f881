#include "verify.h"

#include <cblas.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "synthetic.h"

enum { TILE_ROWS = 64 };

/* A sampled query row. */
typedef struct sampled_row {
    int64_t item, row; /* batch item, global row */
    int64_t own;       /* row among this rank's own, −1 when another rank holds it */
} sampled_row;

/* Matrices of a layer in fp64; NULL for attention alone, and for absent biases. */
typedef struct fp64_weights {
    double *weight[ATTN_PROJECTIONS], *bias[ATTN_PROJECTIONS];
} fp64_weights;

typedef struct verifier {
    const attn_job *job;
    const attn_problem *problem;
    double scale;
    attn_mask mask;
    int64_t rows; /* R */
    sampled_row *samples;
    fp64_weights weights;
    double *query;         /* [R][H][d_k] */
    double *max;           /* [R][H] */
    double *sum;           /* [R][H], followed by out so that one reduction sums both */
    double *out;           /* [R][H][d_v] */
    double *input;         /* [TILE_ROWS][d_model] */
    double *keys, *values; /* [TILE_ROWS][H_kv][d_k], [TILE_ROWS][H_kv][d_v] */
    double *y;             /* [R][outputs] */
} verifier;

static int64_t output_width(const verifier *self) {
    if (self->problem->model_dim > 0) return self->problem->model_dim;
    return self->problem->heads * self->problem->value_dim;
}

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

static int verifier_create(verifier *self, const attn_job *job, int64_t rows) {
    const attn_problem *problem = &job->inputs.problem;
    int64_t heads = problem->heads, kv_heads = problem->kv_heads;
    int failed = 0;

    *self = (verifier){.job = job, .problem = problem, .rows = rows};
    self->scale = problem->scale > 0 ? (double)problem->scale : 1 / sqrt((double)problem->key_dim);
    self->mask = (attn_mask){problem->mask, problem->length, problem->kv_length};
    self->samples = attn_alloc((size_t)rows, sizeof *self->samples);
    if (self->samples == NULL) failed = 1;
    self->query = zeros(rows * heads * problem->key_dim, &failed);
    self->max = zeros(rows * heads, &failed);
    self->sum = zeros(rows * heads * (1 + problem->value_dim), &failed);
    if (self->sum != NULL) self->out = self->sum + rows * heads;
    self->input = zeros(TILE_ROWS * problem->model_dim, &failed);
    self->keys = zeros(TILE_ROWS * kv_heads * problem->key_dim, &failed);
    self->values = zeros(TILE_ROWS * kv_heads * problem->value_dim, &failed);
    self->y = zeros(rows * output_width(self), &failed);
    for (int i = 0; i < ATTN_PROJECTIONS && problem->model_dim > 0; i++) {
        self->weights.weight[i] =
            widened(attn_weights_at(&job->weights, i, 0), job->weights.elems[i], &failed);
        self->weights.bias[i] =
            widened(attn_weights_at(&job->weights, i, 1), job->weights.bias_elems[i], &failed);
    }
    return !failed;
}

static void verifier_destroy(verifier *self) {
    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        free(self->weights.bias[i]);
        free(self->weights.weight[i]);
    }
    free(self->y);
    free(self->values);
    free(self->keys);
    free(self->input);
    free(self->sum);
    free(self->max);
    free(self->query);
    free(self->samples);
}

/* One row in each of R equal stretches, so that every shard is looked at. */
static void choose_rows(verifier *self) {
    const uint64_t stream = UINT64_C(0x7665726966790000); /* apart from all tensors */
    attn_rows own = attn_plan_query_rows(self->job->plan);
    int64_t all = self->problem->batch * self->problem->length;

    for (int64_t i = 0; i < self->rows; i++) {
        int64_t first = (int64_t)((double)all / (double)self->rows * (double)i);
        int64_t last = (int64_t)((double)all / (double)self->rows * (double)(i + 1));
        int64_t chosen = first;
        sampled_row *sample = &self->samples[i];

        if (last > first + 1)
            chosen +=
                (int64_t)(attn_synthetic_hash(0, stream, (uint64_t)i) % (uint64_t)(last - first));
        if (chosen >= all) chosen = all - 1;
        sample->item = chosen / self->problem->length;
        sample->row = chosen % self->problem->length;
        sample->own = sample->row >= own.first && sample->row < own.first + own.count
                          ? sample->row - own.first
                          : -1;
    }
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

/* Own rows [first, first + count) of x, in fp64. */
static void widen_input(const verifier *self, int64_t item, int64_t first, int64_t count) {
    int64_t width = self->problem->model_dim;
    const float *x =
        self->job->x + (item * attn_plan_query_rows(self->job->plan).count + first) * width;

    for (int64_t i = 0; i < count * width; i++) self->input[i] = x[i];
}

/* The queries of own samples; others stay zero. */
static void make_queries(const verifier *self) {
    const attn_problem *problem = self->problem;
    int64_t own_rows = attn_plan_query_rows(self->job->plan).count;
    int64_t width = problem->heads * problem->key_dim;

    for (int64_t i = 0; i < self->rows; i++) {
        const sampled_row *sample = &self->samples[i];
        double *query = self->query + i * width;

        if (sample->own < 0) continue;
        if (problem->model_dim > 0) {
            widen_input(self, sample->item, sample->own, 1);
            linear(self->input, 1, problem->model_dim, self->weights.weight[0],
                   self->weights.bias[0], width, query);
            continue;
        }
        for (int64_t c = 0; c < width; c++) {
            int64_t head = sample->item * problem->heads + c / problem->key_dim;
            query[c] =
                self->job
                    ->q[(head * own_rows + sample->own) * problem->key_dim + c % problem->key_dim];
        }
    }
}

/* Copies own rows of k or v [B][H_kv][rows][dim] to [count][H_kv][dim], in fp64. */
static void widen_heads(const verifier *self, const float *data, int64_t item, int64_t first,
                        int64_t count, int64_t dim, double *result) {
    int64_t own_rows = attn_plan_key_rows(self->job->plan).count;
    int64_t heads = self->problem->kv_heads;

    for (int64_t row = 0; row < count; row++)
        for (int64_t head = 0; head < heads; head++)
            for (int64_t c = 0; c < dim; c++)
                result[(row * heads + head) * dim + c] =
                    data[((item * heads + head) * own_rows + first + row) * dim + c];
}

/* Keys, and values where wanted, of own rows [first, first + count). */
static void make_keys(const verifier *self, int64_t item, int64_t first, int64_t count,
                      int with_values) {
    const attn_problem *problem = self->problem;
    const fp64_weights *weights = &self->weights;

    if (problem->model_dim > 0) {
        widen_input(self, item, first, count);
        linear(self->input, count, problem->model_dim, weights->weight[1], weights->bias[1],
               problem->kv_heads * problem->key_dim, self->keys);
        if (with_values)
            linear(self->input, count, problem->model_dim, weights->weight[2], weights->bias[2],
                   problem->kv_heads * problem->value_dim, self->values);
        return;
    }
    widen_heads(self, self->job->k, item, first, count, problem->key_dim, self->keys);
    if (with_values)
        widen_heads(self, self->job->v, item, first, count, problem->value_dim, self->values);
}

/* --- the two passes ---------------------------------------------------------- */

/* One sample and head against the keys at hand, global rows [first, first + count). */
static void visit(const verifier *self, int64_t i, int64_t head, int64_t first, int64_t count,
                  int pass) {
    const attn_problem *problem = self->problem;
    int64_t kv_head = head / (problem->heads / problem->kv_heads);
    int64_t at = i * problem->heads + head;
    const double *keys = self->keys + kv_head * problem->key_dim;
    attn_interval seen = attn_mask_visible(&self->mask, self->samples[i].row);

    seen.first = (seen.first > first ? seen.first : first) - first;
    seen.last = (seen.last < first + count ? seen.last : first + count) - first;
    if (seen.last <= seen.first) return;
    if (pass == 1)
        self->max[at] = attn_oracle_max(self->query + at * problem->key_dim, keys,
                                        problem->kv_heads * problem->key_dim, problem->key_dim,
                                        seen, self->scale, self->max[at]);
    else
        attn_oracle_add(
            self->query + at * problem->key_dim, keys, problem->kv_heads * problem->key_dim,
            self->values + kv_head * problem->value_dim, problem->kv_heads * problem->value_dim,
            problem->key_dim, problem->value_dim, seen, self->scale, self->max[at], &self->sum[at],
            self->out + at * problem->value_dim);
}

static void run_pass(const verifier *self, int pass) {
    attn_rows own = attn_plan_key_rows(self->job->plan);
    int64_t heads = self->problem->heads;
    int threads = self->job->info.threads;

    for (int64_t item = 0; item < self->problem->batch; item++)
        for (int64_t first = 0; first < own.count; first += TILE_ROWS) {
            int64_t count = own.count - first < TILE_ROWS ? own.count - first : TILE_ROWS;

            make_keys(self, item, first, count, pass == 2);
#pragma omp parallel for num_threads(threads) schedule(static)
            for (int64_t at = 0; at < self->rows * heads; at++)
                if (self->samples[at / heads].item == item)
                    visit(self, at / heads, at % heads, own.first + first, count, pass);
        }
}

static void reduce(const verifier *self, double *data, int64_t count, MPI_Op op) {
    enum { PIECE = 1 << 24 };

    for (int64_t done = 0; done < count; done += PIECE)
        ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, data + done,
                               (int)(count - done < PIECE ? count - done : PIECE), MPI_DOUBLE, op,
                               self->job->comm));
}

static void recompute(const verifier *self) {
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
    for (int64_t i = 0; i < pairs; i++)
        attn_oracle_finish(self->max[i], self->sum[i], problem->value_dim,
                           self->out + i * problem->value_dim, &self->max[i]);
    if (problem->model_dim > 0)
        linear(self->out, self->rows, width, self->weights.weight[3], self->weights.bias[3],
               problem->model_dim, self->y);
    else
        memcpy(self->y, self->out, (size_t)(self->rows * width) * sizeof *self->y);
}

/* --- comparing ---------------------------------------------------------------- */

/* Element c of the oracle's row against this rank's result. */
static double own_y(const verifier *self, const sampled_row *sample, int64_t c) {
    const attn_problem *problem = self->problem;
    int64_t own_rows = attn_plan_query_rows(self->job->plan).count;
    int64_t head = sample->item * problem->heads + c / problem->value_dim;

    if (problem->model_dim > 0)
        return self->job->y[(sample->item * own_rows + sample->own) * problem->model_dim + c];
    return self->job
        ->y[(head * own_rows + sample->own) * problem->value_dim + c % problem->value_dim];
}

static double lse_error(const verifier *self, int64_t i, int64_t head) {
    const sampled_row *sample = &self->samples[i];
    int64_t own_rows = attn_plan_query_rows(self->job->plan).count;
    double expected = self->max[i * self->problem->heads + head]; /* recompute left lse here */
    double actual =
        self->job->lse[(sample->item * self->problem->heads + head) * own_rows + sample->own];

    if (isinf(expected) && actual == expected) return 0;
    return fabs(actual - expected) / fmax(1, fabs(expected));
}

/* NaN counts as the largest error. */
static double larger(double a, double b) {
    return b > a || isnan(b) ? b : a;
}

static void compare(const verifier *self, attn_verification *result) {
    int64_t width = output_width(self);
    double squares = 0, error_squares = 0, most = 0, most_lse = 0, rms;

    for (int64_t i = 0; i < self->rows * width; i++) squares += self->y[i] * self->y[i];
    for (int64_t i = 0; i < self->rows; i++) {
        if (self->samples[i].own < 0) continue;
        for (int64_t c = 0; c < width; c++) {
            double error = own_y(self, &self->samples[i], c) - self->y[i * width + c];
            most = larger(most, fabs(error));
            error_squares += error * error;
        }
        for (int64_t head = 0; head < self->problem->heads; head++)
            most_lse = larger(most_lse, lse_error(self, i, head));
    }
    if (isnan(most)) most = INFINITY; /* MPI_MAX need not keep a NaN */
    if (isnan(most_lse)) most_lse = INFINITY;
    reduce(self, &most, 1, MPI_MAX);
    reduce(self, &most_lse, 1, MPI_MAX);
    reduce(self, &error_squares, 1, MPI_SUM);
    rms = sqrt(squares / (double)(self->rows * width));
    if (rms <= 0) rms = 1; /* all zero: the error counts as it is */
    result->max_error_over_rms = most / rms;
    result->rms_error_over_rms = sqrt(error_squares / (double)(self->rows * width)) / rms;
    result->lse_max_error = most_lse;
    result->passed = result->max_error_over_rms <= result->tolerance &&
                     result->lse_max_error <= result->tolerance;
}

attn_status attn_verify(const attn_job *job, attn_verification *result, attn_error *error) {
    const attn_problem *problem = &job->inputs.problem;
    int64_t all = problem->batch * problem->length;
    int64_t rows = job->config.verify.rows < all ? job->config.verify.rows : all;
    verifier self;

    *result = (attn_verification){.rows = rows, .tolerance = job->config.verify.tolerance};
    attn_ok(error);
    if (rows == 0) return ATTN_OK;
    if (!verifier_create(&self, job, rows))
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the oracle; lower verify.rows");
    if (attn_agree(job->comm, "verify", error) == ATTN_OK) {
        int blas_threads = openblas_get_num_threads();

        openblas_set_num_threads(job->info.threads);
        choose_rows(&self);
        recompute(&self);
        compare(&self, result);
        openblas_set_num_threads(blas_threads);
        if (!result->passed)
            attn_fail(error, ATTN_ERR_VERIFY,
                      "verification: over %" PRId64
                      " rows the largest error of y is %.2e of their "
                      "RMS, that of lse %.2e; verify.tolerance allows %.1e",
                      rows, result->max_error_over_rms, result->lse_max_error, result->tolerance);
        attn_agree(job->comm, "verify", error);
    }
    verifier_destroy(&self);
    return error->status;
}
