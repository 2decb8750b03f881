#include "calibrate_run.h"

#include <stdlib.h>

#include "agree.h"
#include "memory.h"
#include "synthetic.h"

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double attn_calibrate_median(const attn_calibrator *self, double *seconds, int count) {
    ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, seconds, count, MPI_DOUBLE, MPI_MAX, self->mesh->world));
    qsort(seconds, (size_t)count, sizeof *seconds, compare);
    return seconds[count / 2];
}

/* As many as take about two seconds, by what the first one took; with 0 that one has to do.
 * Collective. */
static int affordable_repeats(const attn_calibrator *self, double first_sec) {
    const double budget_sec = 2;
    double slowest;

    ATTN_MPI(MPI_Allreduce(&first_sec, &slowest, 1, MPI_DOUBLE, MPI_MAX, self->mesh->world));
    return slowest * ATTN_CALIBRATE_REPEATS <= budget_sec ? ATTN_CALIBRATE_REPEATS
                                                          : (int)(budget_sec / slowest / 2);
}

/* A plan of this rank alone, and arrays with small numbers; for a layer one array serves all of
 * its weights. */
typedef struct bare_job {
    attn_plan *plan; /* owned */
    attn_problem problem;
    float *in[4], *out; /* owned; q, k, v; or x and weights */
} bare_job;

float *attn_calibrate_numbers(int64_t elems) {
    float *data = attn_alloc((size_t)elems, sizeof *data);

    if (data != NULL) attn_synthetic_fill(1, ATTN_SYNTHETIC_X, 0, elems, 0.1f, data);
    return data;
}

static void bare_job_destroy(bare_job *self) {
    free(self->out);
    for (int i = 0; i < 4; i++) free(self->in[i]);
    attn_plan_destroy(self->plan);
    *self = (bare_job){0};
}

/* Agreed on by all ranks. */
static attn_status bare_job_create(const attn_calibrator *self, const attn_problem *problem,
                                   attn_storage storage, bare_job *job) {
    const attn_options options = {.storage = storage, .threads = self->threads};
    int64_t queries = problem->length * problem->heads, keys = problem->kv_length * problem->heads;

    *job = (bare_job){.problem = *problem};
    attn_ok(self->error);
    if (attn_plan_create(MPI_COMM_SELF, problem, &options, &job->plan, self->error) == ATTN_OK) {
        if (problem->model_dim > 0) {
            job->in[0] = attn_calibrate_numbers(problem->length * problem->model_dim);
            job->in[1] =
                attn_calibrate_numbers(problem->model_dim * problem->heads * problem->key_dim);
            job->out = attn_calibrate_numbers(problem->length * problem->model_dim);
        } else {
            job->in[0] = attn_calibrate_numbers(queries * problem->key_dim);
            job->in[1] = attn_calibrate_numbers(keys * problem->key_dim);
            job->in[2] = attn_calibrate_numbers(keys * problem->value_dim);
            job->out = attn_calibrate_numbers(queries * problem->value_dim);
        }
        if (job->in[0] == NULL || job->in[1] == NULL || job->out == NULL ||
            (problem->model_dim == 0 && job->in[2] == NULL))
            attn_fail(self->error, ATTN_ERR_MEMORY, "cannot allocate to calibrate");
    }
    return attn_agree(self->mesh->world, "calibrate", self->error);
}

static attn_calibrate_times execute(const attn_calibrator *self, const bare_job *job) {
    attn_stats stats;

    ATTN_MPI(MPI_Barrier(self->mesh->world));
    if (job->problem.model_dim > 0) {
        const attn_weights weights = {
            .query = job->in[1], .key = job->in[1], .value = job->in[1], .output = job->in[1]};

        attn_execute_layer(job->plan, &weights, job->in[0], NULL, job->out, NULL);
    } else {
        attn_execute(job->plan, job->in[0], job->in[1], job->in[2], job->out, NULL);
    }
    stats = attn_plan_stats(job->plan);
    return (attn_calibrate_times){stats.compute_sec, stats.project_sec, stats.output_sec};
}

attn_status attn_calibrate_run(const attn_calibrator *self, const attn_problem *problem,
                               attn_storage storage, attn_calibrate_times *median) {
    double compute[ATTN_CALIBRATE_REPEATS], project[ATTN_CALIBRATE_REPEATS],
        output[ATTN_CALIBRATE_REPEATS];
    bare_job job;

    if (bare_job_create(self, problem, storage, &job) == ATTN_OK) {
        attn_calibrate_times one = execute(self, &job);
        int repeats = affordable_repeats(self, one.compute_sec + one.project_sec + one.output_sec);
        int count = repeats > 0 ? repeats : 1;

        for (int i = 0; i < count; i++) {
            if (repeats > 0) one = execute(self, &job);

            compute[i] = one.compute_sec;
            project[i] = one.project_sec;
            output[i] = one.output_sec;
        }
        median->compute_sec = attn_calibrate_median(self, compute, count);
        median->project_sec = attn_calibrate_median(self, project, count);
        median->output_sec = attn_calibrate_median(self, output, count);
    }
    bare_job_destroy(&job);
    return self->error->status;
}
