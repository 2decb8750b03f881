#include "verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "agree.h"
#include "memory.h"
#include "partition.h"
#include "recompute.h"
#include "row_list.h"
#include "synthetic.h"

/* What is compared. */
typedef struct comparison {
    const attn_job *job;
    const attn_problem *problem;
    int64_t rows, width;
    attn_sample *samples; /* [rows] */
    double *y;            /* [rows][width], the oracle's */
    double *lse;          /* [rows][H], the oracle's */
} comparison;

/* One row in each of equal stretches, so that every shard is looked at. */
static void choose_rows(const comparison *self) {
    const uint64_t stream = UINT64_C(0x7665726966790000); /* apart from all tensors */
    attn_row_list own = attn_plan_query_rows(self->job->plan);
    int64_t length = self->problem->length;
    attn_range stretch;

    for (int64_t i = 0; i < self->rows; i++) {
        attn_sample *sample = &self->samples[i];
        int64_t chosen;

        stretch = attn_deal(self->problem->batch * length, self->rows, i);
        chosen = stretch.first + (int64_t)(attn_synthetic_hash(0, stream, (uint64_t)i) %
                                           (uint64_t)attn_range_count(stretch));
        sample->item = chosen / length;
        sample->row = chosen % length;
        sample->own = attn_row_list_find(&own, sample->row);
    }
}

/* Element c of the sample in this rank's result. */
static double own_y(const comparison *self, const attn_sample *sample, int64_t c) {
    const attn_problem *problem = self->problem;
    int64_t own_rows = attn_plan_query_rows(self->job->plan).count;
    int64_t head = sample->item * problem->heads + c / problem->value_dim;

    if (problem->model_dim > 0)
        return (double)
            self->job->y[(sample->item * own_rows + sample->own) * problem->model_dim + c];
    return (double)
        self->job->y[(head * own_rows + sample->own) * problem->value_dim + c % problem->value_dim];
}

static double lse_error(const comparison *self, int64_t i, int64_t head) {
    const attn_sample *sample = &self->samples[i];
    int64_t own_rows = attn_plan_query_rows(self->job->plan).count;
    int64_t heads = self->problem->heads;
    double expected = self->lse[i * heads + head];
    double actual = (double)self->job->lse[(sample->item * heads + head) * own_rows + sample->own];

    if (isinf(expected) && actual == expected) return 0;
    return fabs(actual - expected) / fmax(1, fabs(expected));
}

/* The larger one; NaN is larger than everything, and counts as infinite, because
 * MPI_MAX need not keep a NaN. */
static double larger(double a, double b) {
    if (isnan(b)) return INFINITY;
    return b > a ? b : a;
}

static double over_ranks(const comparison *self, double mine, MPI_Op op) {
    double all;

    ATTN_MPI(MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, op, self->job->comm));
    return all;
}

static void compare(const comparison *self, attn_verification *result) {
    double count = (double)self->rows * (double)self->width;
    double squares = 0, error_squares = 0, most = 0, most_lse = 0, rms;

    for (int64_t i = 0; i < self->rows * self->width; i++) squares += self->y[i] * self->y[i];
    for (int64_t i = 0; i < self->rows; i++) {
        if (self->samples[i].own < 0) continue;
        for (int64_t c = 0; c < self->width; c++) {
            double error = own_y(self, &self->samples[i], c) - self->y[i * self->width + c];
            most = larger(most, fabs(error));
            error_squares += error * error;
        }
        for (int64_t head = 0; head < self->problem->heads; head++)
            most_lse = larger(most_lse, lse_error(self, i, head));
    }
    rms = sqrt(squares / count);
    if (rms <= 0) rms = 1; /* all zero: the error counts as it is */
    result->max_error_over_rms = over_ranks(self, most, MPI_MAX) / rms;
    result->rms_error_over_rms = sqrt(over_ranks(self, error_squares, MPI_SUM) / count) / rms;
    result->lse_max_error = over_ranks(self, most_lse, MPI_MAX);
    result->passed = result->max_error_over_rms <= result->tolerance &&
                     result->lse_max_error <= result->tolerance;
}

static attn_status run(comparison *self, attn_verification *result, attn_error *error) {
    attn_ok(error);
    self->samples = attn_alloc((size_t)self->rows, sizeof *self->samples);
    self->y = attn_alloc((size_t)(self->rows * self->width), sizeof *self->y);
    self->lse = attn_alloc((size_t)(self->rows * self->problem->heads), sizeof *self->lse);
    if (self->samples == NULL || self->y == NULL || self->lse == NULL)
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the oracle; lower verify.rows");
    if (attn_agree(self->job->comm, "verify", error) != ATTN_OK) return error->status;
    choose_rows(self);
    if (attn_recompute(self->job, self->samples, self->rows, self->y, self->lse, error) != ATTN_OK)
        return error->status;
    compare(self, result);
    if (!result->passed)
        attn_fail(error, ATTN_ERR_VERIFY,
                  "verification: over %" PRId64
                  " rows the largest error of y is %.2e of their "
                  "RMS, that of lse %.2e; verify.tolerance allows %.1e",
                  self->rows, result->max_error_over_rms, result->lse_max_error, result->tolerance);
    return attn_agree(self->job->comm, "verify", error);
}

attn_status attn_verify(const attn_job *job, attn_verification *result, attn_error *error) {
    const attn_problem *problem = &job->inputs.problem;
    int64_t all = problem->batch * problem->length;
    int64_t rows = job->config.verify.rows < all ? job->config.verify.rows : all;
    comparison self = {.job = job, .problem = problem, .rows = rows};

    *result = (attn_verification){.rows = rows, .tolerance = job->config.verify.tolerance};
    if (rows == 0) return attn_ok(error);
    self.width = attn_recompute_width(problem);
    run(&self, result, error);
    free(self.lse);
    free(self.y);
    free(self.samples);
    return error->status;
}
