#include "calibrate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "agree.h"
#include "calibrate_run.h"
#include "mask_spec.h"
#include "measure.h"
#include "memory.h"
#include "mesh.h"
#include "partition.h"
#include "query_view.h"
#include "topology.h"

/* A head for each thread. */
static attn_problem attention_of(const attn_calibrator *self, int64_t length, int64_t kv_length,
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
static attn_status measure_query(const attn_calibrator *self, attn_storage storage,
                                 const attn_problem *problem, double *seconds) {
    attn_calibrate_times median;

    if (attn_calibrate_run(self, problem, storage, &median) == ATTN_OK)
        *seconds = median.compute_sec / (double)problem->length;
    return self->error->status;
}

enum { DIMS = 3, DIM = 64 };
static const int32_t dims[DIMS] = {32, DIM, 128};

/* Queries and keys: as many as no second-level cache holds; fewer where the kernel would take more
 * than a second for them. */
static attn_status find_rows(const attn_calibrator *self, attn_storage storage, int64_t *rows) {
    enum { PROBE = 1024, LEAST = 2048, MOST = 8192 };
    const attn_problem probe = attention_of(self, PROBE, PROBE, dims[DIMS - 1]);
    attn_calibrate_times median;

    *rows = MOST;
    if (attn_calibrate_run(self, &probe, storage, &median) != ATTN_OK) return self->error->status;
    while (*rows > LEAST && median.compute_sec * pow((double)*rows / PROBE, 2) > 1) *rows /= 2;
    return ATTN_OK;
}

/* In this order: three widths; blocks of twice as many keys, which a few keys more bring; and a
 * window, of which most is ends. */
static attn_status measure_attention(const attn_calibrator *self, attn_storage storage,
                                     int64_t rows, attn_machine *machine) {
    enum { LEAST_EDGE = 1024, WINDOW = 512 }; /* from there on blocks grow with the keys */
    const int64_t edge = rows / 4 > LEAST_EDGE ? rows / 4 : LEAST_EDGE;
    const int64_t more = edge + ATTN_KEY_UNIT;
    attn_attention_rate *rate = &machine->attention[storage];
    attn_problem narrow = attention_of(self, rows, edge, DIM);
    attn_problem wide = attention_of(self, rows, more, DIM);
    attn_problem window = attention_of(self, rows, rows, DIM);
    double flops[DIMS], seconds[DIMS], score, by_narrow = 0, by_wide = 0, by_window = 0, block;
    attn_query_view seen;
    attn_mask mask;

    window.mask = (attn_mask_spec){.causal = ATTN_CAUSAL, .windowed = 1, .left = WINDOW - 1};
    mask = attn_mask_spec_mask(&window);
    seen = attn_query_view_of(&mask);
    for (int i = 0; i < DIMS; i++) {
        attn_problem all = attention_of(self, rows, rows, dims[i]);

        if (measure_query(self, storage, &all, &seconds[i]) != ATTN_OK) return self->error->status;
    }
    if (measure_query(self, storage, &narrow, &by_narrow) != ATTN_OK ||
        measure_query(self, storage, &wide, &by_wide) != ATTN_OK ||
        measure_query(self, storage, &window, &by_window) != ATTN_OK)
        return self->error->status;
    block = (by_narrow / (double)edge - by_wide / (double)more) /
            (1 / (double)attn_block_rows(edge) - 1 / (double)attn_block_rows(more));
    /* Disturbed measurements may say anything: no width is left with less than half its time. */
    block = fmin(fmax(0, block), seconds[0] / (double)attn_block_count(rows) / 2);
    for (int i = 0; i < DIMS; i++) {
        flops[i] = 4.0 * dims[i];
        seconds[i] = (seconds[i] - block * (double)attn_block_count(rows)) / (double)rows;
    }
    *rate = fit(flops, seconds, DIMS);
    rate->block_sec = block;
    score = rate->score_sec + 4.0 * DIM / rate->flops;
    rate->edge_sec =
        fmax(0, (by_window - score * (double)attn_mask_pairs(&mask, 0, 0, rows) / (double)rows -
                 block * seen.blocks) /
                    seen.edges);
    return ATTN_OK;
}

static attn_status measure_layer(const attn_calibrator *self, attn_machine *machine) {
    enum { ROWS = 2048, HEADS = 8, WIDTH = HEADS * DIM };
    const attn_problem problem = {.batch = 1,
                                  .length = ROWS,
                                  .kv_length = ROWS,
                                  .heads = HEADS,
                                  .kv_heads = HEADS,
                                  .key_dim = DIM,
                                  .value_dim = DIM,
                                  .model_dim = WIDTH};
    attn_calibrate_times median;

    if (attn_calibrate_run(self, &problem, ATTN_FP32, &median) == ATTN_OK)
        machine->gemm_flops =
            8.0 * ROWS * WIDTH * WIDTH / (median.project_sec + median.output_sec) / self->threads;
    return self->error->status;
}

/* Of queries beside few keys. */
static attn_status measure_copies(const attn_calibrator *self, attn_machine *machine) {
    enum { ROWS = 1 << 16 };
    const attn_problem problem = attention_of(self, ROWS, 16, DIM);
    attn_calibrate_times median;

    if (attn_calibrate_run(self, &problem, ATTN_FP32, &median) == ATTN_OK)
        machine->copy_bytes =
            2.0 * sizeof(float) * ROWS * DIM / (median.project_sec + median.output_sec);
    return self->error->status;
}

static attn_status measure_reading(const attn_calibrator *self, attn_machine *machine) {
    float *data = attn_calibrate_numbers(ATTN_MEASURE_ELEMS);
    double seconds[ATTN_CALIBRATE_REPEATS];
    int ranks;

    attn_ok(self->error);
    if (data == NULL) attn_fail(self->error, ATTN_ERR_MEMORY, "cannot allocate to calibrate");
    if (attn_agree(self->mesh->world, "calibrate", self->error) == ATTN_OK) {
        ATTN_MPI(MPI_Comm_size(self->mesh->node, &ranks));
        for (int i = 0; i < ATTN_CALIBRATE_REPEATS; i++) {
            ATTN_MPI(MPI_Barrier(self->mesh->world));
            seconds[i] = 1 / attn_measure_read(data, self->threads) / ranks;
        }
        machine->read_bytes = 1e9 / attn_calibrate_median(self, seconds, ATTN_CALIBRATE_REPEATS);
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
static attn_status measure_link(const attn_calibrator *self, MPI_Comm comm, attn_link *link) {
    enum { BYTES = 32 << 20, MESSAGES = 2, SHORT_MESSAGES = 256 };
    double brief[ATTN_CALIBRATE_REPEATS] = {0}, lasting[ATTN_CALIBRATE_REPEATS] = {0}, latency;
    char *send = attn_alloc(BYTES, 1), *receive = attn_alloc(BYTES, 1);

    attn_ok(self->error);
    if (send == NULL || receive == NULL)
        attn_fail(self->error, ATTN_ERR_MEMORY, "cannot allocate to calibrate");
    if (attn_agree(self->mesh->world, "calibrate", self->error) == ATTN_OK) {
        for (int i = 0; i < BYTES; i++) send[i] = receive[i] = 1; /* pages that are there */
        for (int i = 0; i < ATTN_CALIBRATE_REPEATS && comm != MPI_COMM_NULL; i++) {
            brief[i] = around(comm, send, receive, 0, SHORT_MESSAGES);
            lasting[i] = around(comm, send, receive, BYTES, MESSAGES);
        }
        latency = attn_calibrate_median(self, brief, ATTN_CALIBRATE_REPEATS);
        *link = (attn_link){
            latency,
            BYTES /
                fmax(attn_calibrate_median(self, lasting, ATTN_CALIBRATE_REPEATS) - latency, 1e-9)};
    }
    free(receive);
    free(send);
    return self->error->status;
}

static attn_status measure_links(const attn_calibrator *self, attn_calibration *calibration) {
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
static void look_at_node(const attn_calibrator *self, attn_machine *machine) {
    double figures[2] = {attn_node_cores(), (double)attn_memory_available()};

    ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, figures, 2, MPI_DOUBLE, MPI_MIN, self->mesh->world));
    machine->cores = (int32_t)figures[0];
    machine->memory_bytes = fmax(figures[1], 0);
}

static attn_status find_kernels(const attn_calibrator *self, attn_calibration *calibration) {
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
    attn_calibrator self = {.mesh = &mesh, .error = error};
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
        for (int s = 0; s < ATTN_STORAGES && error->status == ATTN_OK; s++) {
            int64_t rows;

            if (find_rows(&self, (attn_storage)s, &rows) == ATTN_OK)
                measure_attention(&self, (attn_storage)s, rows, machine);
        }
        if (error->status == ATTN_OK && measure_layer(&self, machine) == ATTN_OK &&
            measure_copies(&self, machine) == ATTN_OK && measure_reading(&self, machine) == ATTN_OK)
            measure_links(&self, calibration);
    }
    attn_mesh_destroy(&mesh);
    return error->status;
}
