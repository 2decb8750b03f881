#include "bench.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "bench_figures.h"
#include "bench_point.h"
#include "bench_samples.h"
#include "config_bench.h"
#include "memory.h"
#include "synthetic.h"

enum { IN_ORDER = -1 };

typedef void point_shown(const attn_bench *bench, int64_t point);

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
    size_t repeats = (size_t)bench->config->bench.repeats;

    *order = attn_alloc((size_t)bench->points, sizeof **order);
    bench->point = calloc((size_t)bench->points, sizeof *bench->point);
    if (*order == NULL || bench->point == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the points of the sweep");
    for (int64_t i = 0; i < bench->points; i++) {
        attn_point *point = &bench->point[i];

        attn_bench_point_describe(bench, i, &point->facts);
        point->taken = calloc(repeats, sizeof *point->taken);
        if (bench->ranks.all.rank == 0)
            point->samples = attn_alloc(repeats, sizeof *point->samples);
        if (point->taken == NULL || (bench->ranks.all.rank == 0 && point->samples == NULL))
            return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the samples");
    }
    return attn_ok(error);
}

/* All ranks learn what rank 0 found in the files. */
static void share_taken(attn_bench *bench) {
    for (int64_t i = 0; i < bench->points; i++)
        ATTN_MPI(MPI_Bcast(bench->point[i].taken, (int)bench->config->bench.repeats,
                           MPI_UNSIGNED_CHAR, 0, bench->ranks.all.world));
}

/* --- the table ------------------------------------------------------------------ */

static int is_done(const attn_bench *bench, int64_t number) {
    const attn_point *point = &bench->point[number];

    return point->refused.status != ATTN_OK || point->count == bench->config->bench.repeats;
}

/* Of the first `count` points, those of which no more will come and whose baseline is known; with
 * `all`, every one that has samples. On rank 0. */
static void show(attn_bench *bench, point_shown *on_point, int64_t count, int all) {
    for (int64_t i = 0; i < count && on_point != NULL; i++) {
        attn_point *point = &bench->point[i];
        int64_t base;

        if (point->is_shown || (!is_done(bench, i) && (!all || point->count == 0))) continue;
        base = attn_bench_baseline(bench, i);
        if (!all && point->refused.status == ATTN_OK && base >= 0 && !is_done(bench, base))
            continue;
        point->is_shown = 1;
        on_point(bench, i);
    }
}

/* --- the sweep ------------------------------------------------------------------ */

/* One sample of a point on its ranks, or the reason why there is none. Collective on all. */
static void run_point(attn_bench *bench, int64_t number, int64_t repeat) {
    attn_point *point = &bench->point[number];
    int64_t wanted = attn_bench_ranks_of(bench, number);
    MPI_Comm active;

    attn_ok(&point->refused);
    if (wanted > bench->ranks.all.ranks) {
        attn_fail(&point->refused, ATTN_ERR_CONFIG,
                  "needs %" PRId64 " ranks, but there %s %d; start mpirun -n %" PRId64, wanted,
                  bench->ranks.all.ranks == 1 ? "is" : "are", bench->ranks.all.ranks, wanted);
        return;
    }
    active = attn_bench_ranks_enter(&bench->ranks, (int)wanted);
    if (active != MPI_COMM_NULL) attn_bench_point_run(active, bench, number, repeat, point);
    attn_bench_ranks_leave(&bench->ranks, active);
    ATTN_MPI(MPI_Bcast(&point->refused, (int)sizeof point->refused, MPI_BYTE, 0,
                       bench->ranks.all.world));
}

/* Runs a point and writes what came of it. Collective on all; agreed on. */
static attn_status sample_point(attn_bench *bench, attn_bench_samples *samples, int64_t number,
                                int64_t repeat, attn_error *error) {
    attn_point *point = &bench->point[number];

    run_point(bench, number, repeat);
    point->taken[repeat] = point->refused.status == ATTN_OK;
    if (point->refused.status == ATTN_ERR_IO) {
        *error = point->refused;
        return error->status;
    }
    attn_ok(error);
    if (bench->ranks.all.rank == 0 && point->refused.status == ATTN_OK)
        attn_bench_samples_add(samples, point, error);
    else if (bench->ranks.all.rank == 0)
        attn_bench_samples_refuse(samples, point, error);
    return attn_agree(bench->ranks.all.world, "samples", error);
}

/* Rank 0's clock decides. Collective on all. */
static int is_out_of_budget(const attn_bench *bench, double start) {
    double budget_sec = bench->config->bench.budget_sec;
    int used = budget_sec > 0 && MPI_Wtime() - start >= budget_sec;

    if (budget_sec <= 0) return 0;
    ATTN_MPI(MPI_Bcast(&used, 1, MPI_INT, 0, bench->ranks.all.world));
    return used;
}

/* Collective on all; agreed on. */
static attn_status sweep(attn_bench *bench, attn_bench_samples *samples, int64_t *order,
                         point_shown *on_point, attn_error *error) {
    int64_t repeats = bench->config->bench.repeats;
    double start = MPI_Wtime();

    for (int64_t repeat = 0; repeat < repeats; repeat++) {
        shuffle(order, bench->points, repeat + 1 < repeats ? repeat : IN_ORDER);
        for (int64_t i = 0; i < bench->points; i++) {
            const attn_point *point = &bench->point[order[i]];

            if (point->refused.status == ATTN_OK && !point->taken[repeat]) {
                bench->out_of_budget = is_out_of_budget(bench, start);
                if (bench->out_of_budget) return attn_ok(error);
                if (sample_point(bench, samples, order[i], repeat, error) != ATTN_OK)
                    return error->status;
            }
            if (bench->ranks.all.rank == 0 && repeat + 1 == repeats)
                show(bench, on_point, i + 1, 0);
        }
    }
    return attn_ok(error);
}

attn_status attn_bench_run(MPI_Comm comm, const attn_cmdline *cmdline, const attn_config *config,
                           point_shown *on_point, attn_bench *bench, attn_error *error) {
    attn_bench_samples samples = {0};
    int64_t *order = NULL;

    *bench = (attn_bench){.config = config,
                          .cmdline = cmdline,
                          .mode = attn_config_bench_mode(config),
                          .points = attn_sweep_points(&config->bench.sweep)};
    attn_bench_ranks_create(comm, &bench->ranks);
    allocate(bench, &order, error);
    if (attn_agree(comm, "bench", error) == ATTN_OK) {
        if (bench->ranks.all.rank == 0) attn_bench_samples_open(bench, &samples, error);
        if (attn_agree(comm, "samples", error) == ATTN_OK) {
            share_taken(bench);
            sweep(bench, &samples, order, on_point, error);
            if (error->status == ATTN_OK && bench->ranks.all.rank == 0)
                show(bench, on_point, bench->points, 1);
        }
    }
    attn_bench_samples_close(&samples);
    free(order);
    return error->status;
}

void attn_bench_free(attn_bench *bench) {
    for (int64_t i = 0; i < bench->points && bench->point != NULL; i++) {
        free(bench->point[i].samples);
        free(bench->point[i].taken);
    }
    free(bench->point);
    attn_bench_ranks_destroy(&bench->ranks);
    *bench = (attn_bench){0};
}
