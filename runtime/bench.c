#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "measure.h"
#include "memory.h"
#include "synthetic.h"

enum { IN_ORDER = -1 };

/* The command line of a point: the user's --set options, then one for each axis; before that of
 * a mapping, which would refine what is there, one that takes this out. */
typedef struct point_cmdline {
    attn_cmdline cmdline;
    char text[ATTN_SWEEP_AXES][2][2 * ATTN_SWEEP_TEXT + 1];
} point_cmdline;

static int point_cmdline_create(const attn_cmdline *base, const attn_sweep *sweep, int64_t point,
                                point_cmdline *made) {
    int count = base->set_count;

    made->cmdline = *base;
    made->cmdline.sets = malloc(((size_t)base->set_count + (size_t)2 * ATTN_SWEEP_AXES) *
                                sizeof *made->cmdline.sets);
    if (made->cmdline.sets == NULL) return 0;
    memcpy(made->cmdline.sets, base->sets, (size_t)base->set_count * sizeof *base->sets);
    for (int32_t i = 0; i < sweep->axes; i++) {
        const attn_sweep_axis *axis = &sweep->axis[i];
        const char *value = axis->values[attn_sweep_value(sweep, point, i)];
        char *null = made->text[i][0], *text = made->text[i][1];

        snprintf(text, sizeof made->text[i][1], "%s=%s", axis->key, value);
        snprintf(null, sizeof made->text[i][0], "%s=null", axis->key);
        if (value[0] == '{') made->cmdline.sets[count++] = null;
        made->cmdline.sets[count++] = text;
    }
    made->cmdline.set_count = count;
    return 1;
}

static double over_ranks(const attn_job *job, double mine) {
    double all;

    ATTN_MPI(MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_SUM, job->comm));
    return all;
}

static double slowest(const attn_job *job, double mine) {
    double all;

    ATTN_MPI(MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_MAX, job->comm));
    return all;
}

/* What the plan computes with. */
static const attn_kernel *kernel_of(const attn_job *job) {
    attn_storage storage = (attn_storage)job->config.compute.dtype;
    int32_t level = 0;

    while (strcmp(attn_kernel_of(level, storage)->name, job->info.kernel) != 0) level++;
    return attn_kernel_of(level, storage);
}

/* What is measured beside an execution, and with what. */
typedef struct probe {
    const attn_kernel *kernel;
    int reads, multiplies; /* whether memory, and sgemm, are measured */
    float *data;           /* owned; NULL when neither is */
} probe;

/* A few rows for each kv head read all of K and V for little work. */
static int is_memory_bound(const attn_job *job, const attn_kernel *kernel) {
    const attn_problem *problem = &job->inputs.problem;

    return problem->length * (problem->heads / problem->kv_heads) < kernel->query_rows;
}

static attn_status probe_create(const attn_job *job, probe *self, attn_error *error) {
    self->kernel = kernel_of(job);
    self->reads = is_memory_bound(job, self->kernel);
    self->multiplies = job->inputs.problem.model_dim > 0;
    self->data = NULL;
    attn_ok(error);
    if (self->reads || self->multiplies) {
        self->data = attn_alloc(ATTN_MEASURE_ELEMS, sizeof *self->data);
        if (self->data == NULL)
            attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the memory to measure with");
        else
            for (int64_t i = 0; i < ATTN_MEASURE_ELEMS; i++) self->data[i] = (float)(i % 61);
    }
    return attn_agree(job->comm, "probe", error);
}

/* Adds half of what is measured now, of all ranks. */
static void probe_half(const attn_job *job, const probe *self, attn_sample_times *sample) {
    int threads = job->info.threads;

    sample->peak_gflops += over_ranks(job, attn_measure_peak(self->kernel, threads)) / 2;
    if (self->reads)
        sample->read_gbytes += over_ranks(job, attn_measure_read(self->data, threads)) / 2;
    if (self->multiplies)
        sample->sgemm_gflops += over_ranks(job, attn_measure_sgemm(self->data, threads)) / 2;
}

static attn_sample_times take_sample(attn_job *job, const probe *beside) {
    attn_sample_times sample = {0};
    double start;

    for (int64_t i = 0; i < job->config.bench.warmup; i++) attn_job_execute(job);
    probe_half(job, beside, &sample);
    ATTN_MPI(MPI_Barrier(job->comm));
    start = MPI_Wtime();
    attn_job_execute(job);
    sample.total_sec = slowest(job, MPI_Wtime() - start);
    sample.attend_sec = slowest(job, attn_plan_stats(job->plan).attend_sec);
    probe_half(job, beside, &sample);
    sample.gflops_per_sec = job->info.flops / sample.attend_sec * 1e-9;
    return sample;
}

/* x · W of Q and the output, and x, or the memory, · W of K and V. */
static double projection_flops(const attn_problem *p) {
    double dims = (double)p->key_dim + p->value_dim;
    double kv_width = (double)(p->memory_dim > 0 ? p->memory_dim : p->model_dim);
    double queries = (double)p->length * (double)p->model_dim * (double)p->heads;
    double keys = (double)p->kv_length * kv_width * (double)p->kv_heads;

    return 2.0 * (double)p->batch * dims * (queries + keys);
}

/* All ranks of an axis read all keys and values of their kv heads. */
static double kv_bytes(const attn_job *job) {
    const attn_problem *p = &job->inputs.problem;
    int64_t elem_bytes = attn_storage_bytes((attn_storage)job->config.compute.dtype);

    return (double)job->info.mesh_sequence * (double)p->batch * (double)p->kv_heads *
           (double)p->kv_length * ((double)p->key_dim + p->value_dim) * (double)elem_bytes;
}

/* One sample of one point. What is wrong with the point goes to point->refused. */
static void run_point(MPI_Comm comm, const attn_cmdline *cmdline, const attn_sweep *sweep,
                      int64_t number, attn_point *point) {
    point_cmdline *of_point = calloc(1, sizeof *of_point);
    attn_options none = {0};
    attn_error *error = &point->refused;
    attn_job *job = NULL;
    probe beside;

    attn_ok(error);
    if (of_point == NULL || !point_cmdline_create(cmdline, sweep, number, of_point))
        attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    if (attn_agree(comm, "point", error) == ATTN_OK &&
        attn_job_create(comm, &job, error) == ATTN_OK &&
        attn_job_configure(job, &of_point->cmdline, error) == ATTN_OK &&
        attn_job_plan(job, &none, error) == ATTN_OK && attn_job_load(job, error) == ATTN_OK) {
        point->info = job->info;
        point->flops = job->info.flops;
        point->projection_flops = projection_flops(&job->inputs.problem);
        point->kv_bytes = kv_bytes(job);
        if (probe_create(job, &beside, error) == ATTN_OK)
            point->samples[point->count++] = take_sample(job, &beside);
        free(beside.data);
    }
    attn_job_destroy(job);
    if (of_point != NULL) free(of_point->cmdline.sets);
    free(of_point);
}

/* Another order of the points for each repeat, the same on all ranks (Fisher–Yates). The
 * last repeat takes them as they come, because the table grows with it. */
static void shuffle(int64_t *order, int64_t count, int64_t repeat) {
    const uint64_t stream = UINT64_C(0x62656e6368000000); /* apart from all tensors */

    for (int64_t i = 0; i < count; i++) order[i] = i;
    for (int64_t i = count - 1; i > 0 && repeat != IN_ORDER; i--) {
        uint64_t hash = attn_synthetic_hash((uint64_t)repeat, stream, (uint64_t)i);
        int64_t other = (int64_t)(hash % (uint64_t)(i + 1));
        int64_t swapped = order[i];

        order[i] = order[other];
        order[other] = swapped;
    }
}

static attn_status allocate(attn_bench *bench, int64_t **order, attn_error *error) {
    int64_t repeats = bench->config->bench.repeats;

    *order = attn_alloc((size_t)bench->points, sizeof **order);
    bench->point = calloc((size_t)bench->points, sizeof *bench->point);
    attn_ok(error);
    if (*order == NULL || bench->point == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the points of the sweep");
    for (int64_t i = 0; i < bench->points; i++) {
        bench->point[i].samples = attn_alloc((size_t)repeats, sizeof *bench->point[i].samples);
        if (bench->point[i].samples == NULL)
            return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the samples");
    }
    return ATTN_OK;
}

attn_status attn_bench_run(MPI_Comm comm, const attn_cmdline *cmdline, const attn_config *config,
                           void (*on_point)(const attn_bench *bench, int64_t point),
                           attn_bench *bench, attn_error *error) {
    const attn_sweep *sweep = &config->bench.sweep;
    int64_t repeats = config->bench.repeats;
    int64_t *order = NULL;
    int rank;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    *bench = (attn_bench){.config = config, .points = attn_sweep_points(sweep)};
    allocate(bench, &order, error);
    if (attn_agree(comm, "bench", error) != ATTN_OK) goto cleanup;
    for (int64_t repeat = 0; repeat < repeats; repeat++) {
        shuffle(order, bench->points, repeat + 1 < repeats ? repeat : IN_ORDER);
        for (int64_t i = 0; i < bench->points; i++) {
            attn_point *point = &bench->point[order[i]];

            if (point->refused.status == ATTN_OK) run_point(comm, cmdline, sweep, order[i], point);
            if (point->refused.status == ATTN_ERR_IO) {
                *error = point->refused;
                goto cleanup;
            }
            if (rank == 0 && on_point != NULL && repeat + 1 == repeats) on_point(bench, order[i]);
        }
    }

cleanup:
    free(order);
    return error->status;
}

static int compare_doubles(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

typedef double sample_value(const attn_point *point, const attn_sample_times *sample);

static attn_median median_of(const attn_point *point, sample_value *value) {
    double *values = attn_alloc((size_t)point->count, sizeof *values);
    attn_median result = {0, 0, 0};
    int32_t middle = point->count / 2;

    if (values == NULL || point->count == 0) {
        free(values);
        return result;
    }
    for (int32_t i = 0; i < point->count; i++) values[i] = value(point, &point->samples[i]);
    qsort(values, (size_t)point->count, sizeof *values, compare_doubles);
    result.min = values[0];
    result.max = values[point->count - 1];
    result.median =
        point->count % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    free(values);
    return result;
}

/* GFLOP/s at which memory delivers K and V. */
static double memory_roof(const attn_point *point, const attn_sample_times *sample) {
    return sample->read_gbytes * point->flops / point->kv_bytes;
}

static int memory_is_lower(const attn_point *point, const attn_sample_times *sample) {
    return sample->read_gbytes > 0 && memory_roof(point, sample) < sample->peak_gflops;
}

static double gflops(const attn_point *point, const attn_sample_times *sample) {
    (void)point;
    return sample->gflops_per_sec;
}

static double fraction(const attn_point *point, const attn_sample_times *sample) {
    double roof = memory_is_lower(point, sample) ? memory_roof(point, sample) : sample->peak_gflops;

    return roof > 0 ? sample->gflops_per_sec / roof : 0;
}

static double over_parts(const attn_point *point, const attn_sample_times *sample) {
    double projections;

    if (sample->sgemm_gflops <= 0) return 0;
    projections = point->projection_flops / sample->sgemm_gflops * 1e-9;
    return sample->total_sec / (sample->attend_sec + projections);
}

attn_median attn_point_gflops(const attn_point *point) {
    return median_of(point, gflops);
}

attn_median attn_point_fraction(const attn_point *point) {
    return median_of(point, fraction);
}

attn_median attn_point_over_parts(const attn_point *point) {
    return median_of(point, over_parts);
}

const char *attn_point_bound(const attn_point *point) {
    return point->count > 0 && memory_is_lower(point, &point->samples[0]) ? "memory" : "compute";
}

void attn_bench_free(attn_bench *bench) {
    for (int64_t i = 0; i < bench->points && bench->point != NULL; i++)
        free(bench->point[i].samples);
    free(bench->point);
    *bench = (attn_bench){0};
}
