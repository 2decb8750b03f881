/* A sample: plan, load, warm up, measure what bounds it, execute, measure that again.
 *
 * Weak scaling: a point on P ranks has P / P0 times the rows of the same point on P0 ranks, the
 * fewest of the sweep: tokens of a rank are kept. (Pairs of queries and keys, and with them
 * flops, grow with the square of that.)
 *
 * parallel.threads: auto is, where ranks are swept, what a rank has when all compute: a rank is the
 * same part of the machine on every number of ranks.
 */
#include "bench_point.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "bench_columns.h"
#include "bench_probe.h"
#include "config_bench.h"
#include "job_arrays.h"
#include "mask_spec.h"

enum { WEAK_SETS = 2, SET_BYTES = 2 * ATTN_SWEEP_TEXT };

/* --- the point's config ------------------------------------------------------- */

/* The command line of a point: the user's --set options, then one for each axis; before that of
 * a mapping, which would refine what is there, one that takes this out; and those of weak
 * scaling. */
typedef struct point_cmdline {
    attn_cmdline cmdline;
    char text[ATTN_SWEEP_AXES][2][SET_BYTES];
    char weak[WEAK_SETS][SET_BYTES];
} point_cmdline;

static const char *value_at(const attn_bench *bench, int64_t number, int32_t axis) {
    const attn_sweep *sweep = &bench->config->bench.sweep;

    return sweep->axis[axis].values[attn_sweep_value(sweep, number, axis)];
}

/* The point's value of a key that is an integer: from its axis, or the config's `otherwise`. */
static int64_t integer_at(const attn_bench *bench, int64_t number, const char *key,
                          int64_t otherwise) {
    int32_t axis = attn_sweep_axis_of(&bench->config->bench.sweep, key);

    return axis < 0 ? otherwise : strtoll(value_at(bench, number, axis), NULL, 10);
}

int64_t attn_bench_ranks_of(const attn_bench *bench, int64_t point) {
    return integer_at(bench, point, ATTN_SWEEP_RANKS, bench->ranks.all.ranks);
}

static int64_t fewest_ranks(const attn_sweep *sweep) {
    const attn_sweep_axis *axis = &sweep->axis[attn_sweep_ranks_axis(sweep)];
    int64_t fewest = INT64_MAX;

    for (int32_t i = 0; i < axis->count; i++) {
        int64_t ranks = strtoll(axis->values[i], NULL, 10);
        if (ranks < fewest) fewest = ranks;
    }
    return fewest;
}

/* rows · P / P0; too many to say are as many as an integer holds, which the config refuses. */
static int64_t weak_rows(const attn_bench *bench, int64_t number, int64_t rows) {
    int64_t ranks = attn_bench_ranks_of(bench, number);

    if (rows > INT64_MAX / ranks) return INT64_MAX;
    return rows * ranks / fewest_ranks(&bench->config->bench.sweep);
}

/* Adds the --set of one length that grows with the ranks; ATTN_AUTO follows another. */
static void add_weak(const attn_bench *bench, int64_t number, const char *key, int64_t base,
                     char *text, point_cmdline *made) {
    int64_t rows = integer_at(bench, number, key, base);

    if (bench->mode != ATTN_BENCH_WEAK || rows == ATTN_AUTO) return;
    snprintf(text, SET_BYTES, "%s=%" PRId64, key, weak_rows(bench, number, rows));
    made->cmdline.sets[made->cmdline.set_count++] = text;
}

static int point_cmdline_create(const attn_bench *bench, int64_t number, point_cmdline *made) {
    const attn_cmdline *base = bench->cmdline;
    const attn_sweep *sweep = &bench->config->bench.sweep;
    size_t most = (size_t)base->set_count + (size_t)2 * ATTN_SWEEP_AXES + WEAK_SETS;

    made->cmdline = *base;
    made->cmdline.sets = malloc(most * sizeof *made->cmdline.sets);
    if (made->cmdline.sets == NULL) return 0;
    memcpy(made->cmdline.sets, base->sets, (size_t)base->set_count * sizeof *base->sets);
    for (int32_t i = 0; i < sweep->axes; i++) {
        const char *key = sweep->axis[i].key, *value = value_at(bench, number, i);
        char *null = made->text[i][0], *text = made->text[i][1];

        if (i == attn_sweep_ranks_axis(sweep)) continue;
        snprintf(text, SET_BYTES, "%s=%s", key, value);
        snprintf(null, SET_BYTES, "%s=null", key);
        if (value[0] == '{') made->cmdline.sets[made->cmdline.set_count++] = null;
        made->cmdline.sets[made->cmdline.set_count++] = text;
    }
    add_weak(bench, number, "sequence.length", bench->config->sequence.length, made->weak[0], made);
    add_weak(bench, number, "sequence.kv_length", bench->config->sequence.kv_length, made->weak[1],
             made);
    return 1;
}

void attn_bench_point_describe(const attn_bench *bench, int64_t number, attn_point_facts *facts) {
    const attn_sweep *sweep = &bench->config->bench.sweep;
    size_t used = 0;

    *facts = (attn_point_facts){.point = number, .ranks = attn_bench_ranks_of(bench, number)};
    facts->predicted_sec = NAN;
    snprintf(facts->mode, sizeof facts->mode, "%s", attn_config_bench_mode_name((int)bench->mode));
    for (int32_t i = 0; i < sweep->axes; i++)
        used += (size_t)snprintf(facts->set + used, sizeof facts->set - used, "%s%s=%s",
                                 i == 0 ? "" : " ", sweep->axis[i].key, value_at(bench, number, i));
}

/* --- over ranks --------------------------------------------------------------- */

static double over_ranks(const attn_job *job, double mine, MPI_Op op) {
    double all;

    ATTN_MPI(MPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, op, job->comm));
    return all;
}

static double slowest(const attn_job *job, double mine) {
    return over_ranks(job, mine, MPI_MAX);
}

static int64_t bytes_over_ranks(const attn_job *job, int64_t mine, MPI_Op op) {
    int64_t all;

    ATTN_MPI(MPI_Allreduce(&mine, &all, 1, MPI_INT64_T, op, job->comm));
    return all;
}

/* --- a sample ------------------------------------------------------------------ */

static double ratio(double a, double b) {
    return b > 0 ? a / b : NAN;
}

static void collect_stats(const attn_job *job, attn_sample *sample) {
    attn_stats stats = attn_plan_stats(job->plan);

    sample->project_sec = slowest(job, stats.project_sec);
    sample->exchange_sec = slowest(job, stats.exchange_sec);
    sample->attend_sec = slowest(job, stats.attend_sec);
    sample->output_sec = slowest(job, stats.output_sec);
    sample->compute_sec_min = over_ranks(job, stats.compute_sec, MPI_MIN);
    sample->compute_sec_mean = over_ranks(job, stats.compute_sec, MPI_SUM) / job->ranks;
    sample->compute_sec_max = slowest(job, stats.compute_sec);
    sample->imbalance = ratio(sample->compute_sec_max, sample->compute_sec_mean);
    sample->wait_sec_mean = over_ranks(job, stats.wait_sec, MPI_SUM) / job->ranks;
    sample->wait_sec_max = slowest(job, stats.wait_sec);
    sample->transfer_sec_max = slowest(job, stats.transfer_sec);
    sample->overlap = ratio(over_ranks(job, stats.hidden_sec, MPI_SUM),
                            over_ranks(job, stats.transfer_sec, MPI_SUM));
    sample->bytes_sent_max = bytes_over_ranks(job, stats.sent_bytes, MPI_MAX);
    sample->bytes_sent_total = bytes_over_ranks(job, stats.sent_bytes, MPI_SUM);
}

static attn_sample take_sample(attn_job *job, const attn_bench_probe *beside, int64_t repeat) {
    attn_sample sample = {.repeat = repeat, .speedup = NAN, .efficiency = NAN};
    double start;

    for (int64_t i = 0; i < job->config.bench.warmup; i++) attn_job_execute(job);
    attn_bench_probe_half(beside, job, &sample);
    ATTN_MPI(MPI_Barrier(job->comm));
    start = MPI_Wtime();
    attn_job_execute(job);
    sample.total_sec = slowest(job, MPI_Wtime() - start);
    attn_bench_probe_half(beside, job, &sample);
    collect_stats(job, &sample);
    sample.gflops_per_sec = job->info.flops / sample.attend_sec * 1e-9;
    attn_bench_probe_bound(job, &sample);
    return sample;
}

/* x · W of Q and the output, and x, or the memory, · W of K and V. */
static double projection_flops(const attn_problem *p) {
    double dims = (double)p->key_dim + p->value_dim;
    double kv_width = (double)(p->memory_dim > 0 ? p->memory_dim : p->model_dim);
    double queries = (double)p->length * (double)p->model_dim * (double)p->heads;
    double keys = (double)p->kv_length * kv_width * (double)p->kv_heads;

    return p->model_dim > 0 ? 2.0 * (double)p->batch * dims * (queries + keys) : 0;
}

static void word(char *to, const char *from) {
    snprintf(to, ATTN_BENCH_WORD_BYTES, "%s", from);
}

static void collect_facts(const attn_job *job, attn_point_facts *facts) {
    const attn_problem *p = &job->inputs.problem;
    const attn_plan_info *info = &job->info;

    facts->nodes = info->nodes;
    facts->threads = info->threads;
    facts->mesh_heads = info->mesh_heads;
    facts->mesh_sequence = info->mesh_sequence;
    word(facts->circulate, info->circulate);
    word(facts->layout, info->layout);
    word(facts->dtype, attn_storage_name(job->config.compute.dtype));
    word(facts->kernel, info->kernel);
    attn_mask_spec_words(&p->mask, p->batch, facts->mask, sizeof facts->mask);
    facts->length = p->length;
    facts->kv_length = p->kv_length;
    facts->batch = p->batch;
    facts->heads = p->heads;
    facts->kv_heads = p->kv_heads;
    facts->key_dim = p->key_dim;
    facts->value_dim = p->value_dim;
    facts->model_dim = p->model_dim > 0 ? p->model_dim : -1;
    facts->flops = info->flops;
    facts->projection_flops = projection_flops(p);
    facts->bytes_predicted = bytes_over_ranks(job, info->send_bytes, MPI_SUM);
    facts->memory_bytes_max = bytes_over_ranks(job, info->bytes, MPI_MAX);
    facts->memory_bytes_per_token =
        over_ranks(job, (double)info->bytes, MPI_SUM) / ((double)p->batch * (double)p->length);
    /* Not at an ordinary cluster's rates, which would look like a prediction and be none. */
    facts->predicted_sec = job->config.parallel.machine[0] != '\0' ? info->predicted_sec : NAN;
}

/* A sample is what its line says: a sweep that went on has the same figures as one that did not
 * have to. */
static void as_written(attn_point_facts *facts, attn_sample *sample) {
    char line[ATTN_BENCH_LINE_BYTES];
    size_t bytes = attn_bench_columns_line(facts, sample, line);
    int is_line = attn_bench_columns_read(line, bytes - 1, facts, sample);

    assert(is_line);
    (void)is_line;
}

static attn_status configure(const attn_bench *bench, attn_job *job, const attn_cmdline *cmdline,
                             attn_error *error) {
    if (attn_job_configure(job, cmdline, error) != ATTN_OK) return error->status;
    if (job->config.parallel.threads == ATTN_AUTO &&
        attn_sweep_ranks_axis(&bench->config->bench.sweep) >= 0)
        job->config.parallel.threads = bench->ranks.threads;
    return ATTN_OK;
}

void attn_bench_point_run(MPI_Comm comm, const attn_bench *bench, int64_t number, int64_t repeat,
                          attn_point *point) {
    point_cmdline *of_point = calloc(1, sizeof *of_point);
    attn_options none = {0};
    attn_error *error = &point->refused;
    attn_job *job = NULL;
    attn_bench_probe beside = {0};

    attn_ok(error);
    if (of_point == NULL || !point_cmdline_create(bench, number, of_point))
        attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    if (attn_agree(comm, "point", error) == ATTN_OK &&
        attn_job_create(comm, &job, error) == ATTN_OK &&
        configure(bench, job, &of_point->cmdline, error) == ATTN_OK &&
        attn_job_plan(job, &none, error) == ATTN_OK && attn_job_load(job, error) == ATTN_OK) {
        collect_facts(job, &point->facts);
        if (attn_bench_probe_create(job, &beside, error) == ATTN_OK) {
            attn_sample sample = take_sample(job, &beside, repeat);

            as_written(&point->facts, &sample);
            if (job->rank == 0) point->samples[point->count++] = sample;
        }
        attn_bench_probe_destroy(&beside);
    }
    attn_job_destroy(job);
    if (of_point != NULL) free(of_point->cmdline.sets);
    free(of_point);
}
