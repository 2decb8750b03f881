#include "calibrate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agree.h"
#include "attnspan/plan.h"
#include "mask_spec.h"
#include "measure.h"
#include "memory.h"
#include "mesh.h"
#include "partition.h"
#include "query_view.h"
#include "synthetic.h"
#include "topology.h"

enum {
    REPEATS = 7,
    LONG_ROWS = 8192 /* whose keys and values no second-level cache holds */
};

/* What all measurements share. */
typedef struct calibrator {
    const attn_mesh *mesh;
    int threads;
    attn_error *error;
} calibrator;

/* --- figures of all ranks ------------------------------------------------------- */

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of each repeat's slowest rank. Collective. */
static double median_of_slowest(const calibrator *self, double *seconds, int count) {
    ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, seconds, count, MPI_DOUBLE, MPI_MAX, self->mesh->world));
    qsort(seconds, (size_t)count, sizeof *seconds, compare);
    return seconds[count / 2];
}

/* As many as take about two seconds, by what the first one took; with 0 that one has to do.
 * Collective. */
static int affordable_repeats(const calibrator *self, double first_sec) {
    const double budget_sec = 2;
    double slowest;

    ATTN_MPI(MPI_Allreduce(&first_sec, &slowest, 1, MPI_DOUBLE, MPI_MAX, self->mesh->world));
    return slowest * REPEATS <= budget_sec ? REPEATS : (int)(budget_sec / slowest / 2);
}

/* --- executions of one rank ------------------------------------------------------ */

/* The seconds of one execution of a problem on this rank alone. */
typedef struct execution {
    double compute_sec, project_sec, output_sec;
} execution;

/* A plan of this rank alone, and arrays with small numbers; for a layer one array serves all of
 * its weights. */
typedef struct bare_job {
    attn_plan *plan; /* owned */
    attn_problem problem;
    float *in[4], *out; /* owned; q, k, v; or x and weights */
} bare_job;

static float *numbers(int64_t elems) {
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
static attn_status bare_job_create(const calibrator *self, const attn_problem *problem,
                                   attn_storage storage, bare_job *job) {
    const attn_options options = {.storage = storage, .threads = self->threads};
    int64_t queries = problem->length * problem->heads, keys = problem->kv_length * problem->heads;

    *job = (bare_job){.problem = *problem};
    attn_ok(self->error);
    if (attn_plan_create(MPI_COMM_SELF, problem, &options, &job->plan, self->error) == ATTN_OK) {
        if (problem->model_dim > 0) {
            job->in[0] = numbers(problem->length * problem->model_dim);
            job->in[1] = numbers(problem->model_dim * problem->heads * problem->key_dim);
            job->out = numbers(problem->length * problem->model_dim);
        } else {
            job->in[0] = numbers(queries * problem->key_dim);
            job->in[1] = numbers(keys * problem->key_dim);
            job->in[2] = numbers(keys * problem->value_dim);
            job->out = numbers(queries * problem->value_dim);
        }
        if (job->in[0] == NULL || job->in[1] == NULL || job->out == NULL ||
            (problem->model_dim == 0 && job->in[2] == NULL))
            attn_fail(self->error, ATTN_ERR_MEMORY, "cannot allocate to calibrate");
    }
    return attn_agree(self->mesh->world, "calibrate", self->error);
}

static execution execute(const calibrator *self, const bare_job *job) {
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
    return (execution){stats.compute_sec, stats.project_sec, stats.output_sec};
}

/* Median seconds of each phase; agreed on. */
static attn_status measure_problem(const calibrator *self, const attn_problem *problem,
                                   attn_storage storage, execution *median) {
    double compute[REPEATS], project[REPEATS], output[REPEATS];
    bare_job job;

    if (bare_job_create(self, problem, storage, &job) == ATTN_OK) {
        execution one = execute(self, &job);
        int repeats = affordable_repeats(self, one.compute_sec + one.project_sec + one.output_sec);
        int count = repeats > 0 ? repeats : 1;

        for (int i = 0; i < count; i++) {
            if (repeats > 0) one = execute(self, &job);

            compute[i] = one.compute_sec;
            project[i] = one.project_sec;
            output[i] = one.output_sec;
        }
        median->compute_sec = median_of_slowest(self, compute, count);
        median->project_sec = median_of_slowest(self, project, count);
        median->output_sec = median_of_slowest(self, output, count);
    }
    bare_job_destroy(&job);
    return self->error->status;
}

/* A head for each thread. */
static attn_problem attention_of(const calibrator *self, int64_t length, int64_t kv_length,
                                 int32_t dim) {
    return (attn_problem){.batch = 1,
                          .length = length,
                          .kv_length = kv_length,
                          .heads = self->threads,
                          .kv_heads = self->threads,
                          .key_dim = dim,
                          .value_dim = dim};
}

/* The line y = score_sec + x / flops through the times of a score with x = 4 d flops. */
static attn_attention_rate fit(const double *x, const double *y, int count) {
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0, slope, start;

    for (int i = 0; i < count; i++) {
        mean_x += x[i] / count;
        mean_y += y[i] / count;
    }
    for (int i = 0; i < count; i++) {
        xx += (x[i] - mean_x) * (x[i] - mean_x);
        xy += (x[i] - mean_x) * (y[i] - mean_y);
    }
    slope = xy / xx;
    start = mean_y - slope * mean_x;
    if (start < 0 || slope <= 0) return (attn_attention_rate){mean_x / mean_y, 0, 0, 0};
    return (attn_attention_rate){1 / slope, start, 0, 0};
}

/* Seconds of a query of one head, on a thread of its own. */
static attn_status measure_query(const calibrator *self, attn_storage storage,
                                 const attn_problem *problem, double *seconds) {
    execution median;

    if (measure_problem(self, problem, storage, &median) == ATTN_OK)
        *seconds = median.compute_sec / (double)problem->length;
    return self->error->status;
}

/* In this order: three widths; blocks of twice as many keys, which few keys more than EDGE bring;
 * and a window, of which most is ends. */
static attn_status measure_attention(const calibrator *self, attn_storage storage,
                                     attn_machine *machine) {
    enum { DIMS = 3, DIM = 64, EDGE = LONG_ROWS / 4, MORE = EDGE + ATTN_KEY_UNIT, WINDOW = 512 };
    static const int32_t dims[DIMS] = {32, DIM, 128};
    attn_attention_rate *rate = &machine->attention[storage];
    attn_problem narrow = attention_of(self, LONG_ROWS, EDGE, DIM);
    attn_problem wide = attention_of(self, LONG_ROWS, MORE, DIM);
    attn_problem window = attention_of(self, LONG_ROWS, LONG_ROWS, DIM);
    double flops[DIMS], seconds[DIMS], score, by_narrow = 0, by_wide = 0, by_window = 0, block;
    attn_query_view seen;
    attn_mask mask;

    window.mask = (attn_mask_spec){.causal = ATTN_CAUSAL, .windowed = 1, .left = WINDOW - 1};
    mask = attn_mask_spec_mask(&window);
    seen = attn_query_view_of(&mask);
    for (int i = 0; i < DIMS; i++) {
        attn_problem all = attention_of(self, LONG_ROWS, LONG_ROWS, dims[i]);

        if (measure_query(self, storage, &all, &seconds[i]) != ATTN_OK) return self->error->status;
    }
    if (measure_query(self, storage, &narrow, &by_narrow) != ATTN_OK ||
        measure_query(self, storage, &wide, &by_wide) != ATTN_OK ||
        measure_query(self, storage, &window, &by_window) != ATTN_OK)
        return self->error->status;
    block = (by_narrow / EDGE - by_wide / MORE) /
            (1 / (double)attn_block_rows(EDGE) - 1 / (double)attn_block_rows(MORE));
    /* Disturbed measurements may say anything: no width is left with less than half its time. */
    block = fmin(fmax(0, block), seconds[0] / (double)attn_block_count(LONG_ROWS) / 2);
    for (int i = 0; i < DIMS; i++) {
        flops[i] = 4.0 * dims[i];
        seconds[i] = (seconds[i] - block * (double)attn_block_count(LONG_ROWS)) / LONG_ROWS;
    }
    *rate = fit(flops, seconds, DIMS);
    rate->block_sec = block;
    score = rate->score_sec + 4.0 * DIM / rate->flops;
    rate->edge_sec =
        fmax(0, (by_window - score * (double)attn_mask_pairs(&mask, 0, 0, LONG_ROWS) / LONG_ROWS -
                 block * seen.blocks) /
                    seen.edges);
    return ATTN_OK;
}

static attn_status measure_layer(const calibrator *self, attn_machine *machine) {
    enum { ROWS = 2048, DIM = 64, HEADS = 8, WIDTH = HEADS * DIM };
    const attn_problem problem = {.batch = 1,
                                  .length = ROWS,
                                  .kv_length = ROWS,
                                  .heads = HEADS,
                                  .kv_heads = HEADS,
                                  .key_dim = DIM,
                                  .value_dim = DIM,
                                  .model_dim = WIDTH};
    execution median;

    if (measure_problem(self, &problem, ATTN_FP32, &median) == ATTN_OK)
        machine->gemm_flops =
            8.0 * ROWS * WIDTH * WIDTH / (median.project_sec + median.output_sec) / self->threads;
    return self->error->status;
}

/* Of queries beside few keys. */
static attn_status measure_copies(const calibrator *self, attn_machine *machine) {
    enum { ROWS = 1 << 16, DIM = 64 };
    const attn_problem problem = attention_of(self, ROWS, 16, DIM);
    execution median;

    if (measure_problem(self, &problem, ATTN_FP32, &median) == ATTN_OK)
        machine->copy_bytes =
            2.0 * sizeof(float) * ROWS * DIM / (median.project_sec + median.output_sec);
    return self->error->status;
}

static attn_status measure_reading(const calibrator *self, attn_machine *machine) {
    float *data = numbers(ATTN_MEASURE_ELEMS);
    double seconds[REPEATS];
    int ranks;

    attn_ok(self->error);
    if (data == NULL) attn_fail(self->error, ATTN_ERR_MEMORY, "cannot allocate to calibrate");
    if (attn_agree(self->mesh->world, "calibrate", self->error) == ATTN_OK) {
        ATTN_MPI(MPI_Comm_size(self->mesh->node, &ranks));
        for (int i = 0; i < REPEATS; i++) {
            ATTN_MPI(MPI_Barrier(self->mesh->world));
            seconds[i] = 1 / attn_measure_read(data, self->threads) / ranks;
        }
        machine->read_bytes = 1e9 / median_of_slowest(self, seconds, REPEATS);
    }
    free(data);
    return self->error->status;
}

/* --- messages --------------------------------------------------------------------- */

/* Seconds of a message of that many bytes to the next rank and one from the last, on average. */
static double around(MPI_Comm comm, char *send, char *receive, int bytes, int messages) {
    int rank, ranks;
    double start;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    ATTN_MPI(MPI_Comm_size(comm, &ranks));
    ATTN_MPI(MPI_Barrier(comm));
    start = MPI_Wtime();
    for (int i = 0; i < messages; i++)
        ATTN_MPI(MPI_Sendrecv(send, bytes, MPI_BYTE, (rank + 1) % ranks, 0, receive, bytes,
                              MPI_BYTE, (rank + ranks - 1) % ranks, 0, comm, MPI_STATUS_IGNORE));
    return (MPI_Wtime() - start) / messages;
}

/* Around `comm`, of which ranks outside are MPI_COMM_NULL. Collective on all ranks; agreed on. */
static attn_status measure_link(const calibrator *self, MPI_Comm comm, attn_link *link) {
    enum { BYTES = 32 << 20, MESSAGES = 2, SHORT_MESSAGES = 256 };
    double brief[REPEATS] = {0}, lasting[REPEATS] = {0}, latency;
    char *send = attn_alloc(BYTES, 1), *receive = attn_alloc(BYTES, 1);

    attn_ok(self->error);
    if (send == NULL || receive == NULL)
        attn_fail(self->error, ATTN_ERR_MEMORY, "cannot allocate to calibrate");
    if (attn_agree(self->mesh->world, "calibrate", self->error) == ATTN_OK) {
        for (int i = 0; i < BYTES; i++) send[i] = receive[i] = 1; /* pages that are there */
        for (int i = 0; i < REPEATS && comm != MPI_COMM_NULL; i++) {
            brief[i] = around(comm, send, receive, 0, SHORT_MESSAGES);
            lasting[i] = around(comm, send, receive, BYTES, MESSAGES);
        }
        latency = median_of_slowest(self, brief, REPEATS);
        *link = (attn_link){
            latency, BYTES / fmax(median_of_slowest(self, lasting, REPEATS) - latency, 1e-9)};
    }
    free(receive);
    free(send);
    return self->error->status;
}

static attn_status measure_links(const calibrator *self, attn_calibration *calibration) {
    const attn_mesh *mesh = self->mesh;
    attn_machine *machine = &calibration->machine;
    int ranks, rank, most;
    MPI_Comm leaders;

    ATTN_MPI(MPI_Comm_size(mesh->node, &ranks));
    ATTN_MPI(MPI_Comm_rank(mesh->node, &rank));
    ATTN_MPI(MPI_Allreduce(&ranks, &most, 1, MPI_INT, MPI_MAX, mesh->world));
    calibration->has_node = most > 1;
    calibration->has_network = mesh->nodes > 1;
    if (calibration->has_node &&
        measure_link(self, ranks > 1 ? mesh->node : MPI_COMM_NULL, &machine->node) != ATTN_OK)
        return self->error->status;
    if (!calibration->has_network) return ATTN_OK;
    ATTN_MPI(MPI_Comm_split(mesh->world, rank == 0 ? 0 : MPI_UNDEFINED, mesh->rank, &leaders));
    measure_link(self, leaders, &machine->network);
    if (leaders != MPI_COMM_NULL) ATTN_MPI(MPI_Comm_free(&leaders));
    return self->error->status;
}

/* --- all of it -------------------------------------------------------------------- */

/* Of the smallest node. Collective. */
static void look_at_node(const calibrator *self, attn_machine *machine) {
    double figures[2] = {attn_node_cores(), (double)attn_memory_available()};

    ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, figures, 2, MPI_DOUBLE, MPI_MIN, self->mesh->world));
    machine->cores = (int32_t)figures[0];
    machine->memory_bytes = fmax(figures[1], 0);
}

static attn_status find_kernels(const calibrator *self, attn_calibration *calibration) {
    attn_ok(self->error);
    for (int storage = 0; storage < ATTN_STORAGES; storage++) {
        int32_t best = attn_kernel_best((attn_storage)storage), common;

        ATTN_MPI(MPI_Allreduce(&best, &common, 1, MPI_INT32_T, MPI_MIN, self->mesh->world));
        if (common < 0)
            return attn_fail(self->error, ATTN_ERR_CONFIG,
                             "%s names no kernel; set it to one, or not at all",
                             ATTN_KERNEL_VARIABLE);
        snprintf(calibration->kernel[storage], sizeof calibration->kernel[storage], "%s",
                 attn_kernel_name(common));
    }
    return ATTN_OK;
}

attn_status attn_calibrate(MPI_Comm comm, attn_calibration *calibration, attn_error *error) {
    attn_machine *machine = &calibration->machine;
    attn_mesh mesh = {0};
    calibrator self = {.mesh = &mesh, .error = error};
    int ranks;

    ATTN_MPI(MPI_Comm_size(comm, &ranks));
    attn_mesh_create(comm, 1, ranks, &mesh);
    self.threads = attn_threads_auto(mesh.node);
    ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, &self.threads, 1, MPI_INT, MPI_MIN, mesh.world));
    *calibration = (attn_calibration){.machine = attn_machine_default(),
                                      .ranks = ranks,
                                      .nodes = mesh.nodes,
                                      .threads = self.threads};
    if (find_kernels(&self, calibration) == ATTN_OK) {
        look_at_node(&self, machine);
        for (int s = 0; s < ATTN_STORAGES && error->status == ATTN_OK; s++)
            measure_attention(&self, (attn_storage)s, machine);
        if (error->status == ATTN_OK && measure_layer(&self, machine) == ATTN_OK &&
            measure_copies(&self, machine) == ATTN_OK && measure_reading(&self, machine) == ATTN_OK)
            measure_links(&self, calibration);
    }
    attn_mesh_destroy(&mesh);
    return error->status;
}
