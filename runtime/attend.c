#include "attend.h"

#include <omp.h>
#include <stdlib.h>

#include "attend_tile.h"
#include "memory.h"
#include "simulate.h"

int64_t attn_attend_partial_bytes(const attn_attend *attend) {
    return attn_elems(attn_elems(attend->kv.batch, attn_range_count(attend->heads), 1),
                      attn_elems(attend->queries.count, attend->kv.value_dim + 2, 1),
                      sizeof(float));
}

/* The merge tree of the blocks that some query sees. */
static attn_status plan_tree(attn_attend *attend, attn_error *error) {
    int64_t blocks = attend->kv.rows->block_count;
    int32_t *step_of = attn_alloc((size_t)blocks, sizeof *step_of);

    if (step_of == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the blocks of keys");
    attn_arrivals_locate(attend->arrivals, &attend->kv, attend->reach, attend->shard, step_of);
    attn_merge_tree_create(blocks, step_of, attend->arrivals->steps, &attend->tree, error);
    free(step_of);
    return error->status;
}

/* Of each step all tiles, each with its blocks, and the step itself, here and on each thread. */
static void expect_events(const attn_attend *attend) {
    const attn_merge_tree *tree = &attend->tree;
    int64_t leaves = 0;

    for (int64_t op = 0; op < tree->step_first[tree->step_count]; op++)
        leaves += tree->ops[op].block >= 0;
    attn_trace_expect(attend->trace, attn_elems(tree->step_count, attend->threads + 1, 1),
                      attn_elems(tree->step_count, attend->tiling.count, 1),
                      attn_elems(leaves, attend->tiling.count, 1));
}

attn_status attn_attend_plan(attn_attend *attend, attn_buffers *buffers, attn_error *error) {
    const attn_kernel *kernel = attend->kv.kernel;

    if (attn_tiling_create(&attend->tiling, attend->kv.batch, attend->heads, attend->queries_per_kv,
                           attend->mask.length, attend->queries.count, kernel->query_rows,
                           error) != ATTN_OK ||
        (attend->tree.step_count == 0 && plan_tree(attend, error) != ATTN_OK))
        return error->status;
    if (attn_kept_partials_plan(&attend->kept, &attend->tree, &attend->tiling, &attend->queries,
                                &attend->mask, attend->kv.rows, attn_attend_tile_elems(attend),
                                buffers, error) != ATTN_OK)
        return error->status;
    if (attend->trace != NULL) expect_events(attend);
    attend->scratch_elems = attn_attend_worker_elems(attend);
    return attn_ok(error);
}

int64_t attn_attend_scratch_elems(const attn_attend *attend) {
    return attn_elems(attend->threads, attend->scratch_elems, 1);
}

/* Whether there is nothing to look after between tiles. */
static int is_quiet(const attn_attend *attend, const attn_transfer *transfer) {
    return attend->on_progress == NULL &&
           (transfer == NULL || (transfer->count == 0 && transfer->on_poll == NULL));
}

/* The shard whose keys are at hand. */
static int64_t keys_of_step(const attn_attend *attend, int32_t step) {
    const attn_arrivals *arrivals = attend->arrivals;
    int64_t first = arrivals->step_first[step], last = arrivals->step_first[step + 1];

    for (int64_t i = first + 1; i < last; i++)
        if (arrivals->pieces[i].shard != arrivals->pieces[first].shard) return ATTN_EVENT_NO_SHARD;
    return first < last ? arrivals->pieces[first].shard : ATTN_EVENT_NO_SHARD;
}

static void run_step(attn_attend *attend, int32_t step, const void *query, float *out,
                     attn_transfer *transfer) {
    const attn_merge_tree *tree = &attend->tree;
    const int64_t before = tree->step_first[step], all = tree->step_first[tree->step_count];
    const int64_t ops = tree->step_first[step + 1] - before;
    int64_t count = attend->tiling.count;
    int64_t done = 0;
    double busy_sec = 0;
    int busy_threads = 0;
    attn_trace_lane *lane = attn_trace_lane_of(attend->trace, ATTN_LANE_PHASES);
    int64_t start_ns, keys_of = lane == NULL ? 0 : keys_of_step(attend, step);

    if (ops == 0 && step != tree->root_step) return;
    start_ns = attn_trace_start(lane);
#pragma omp parallel num_threads(attend->threads) reduction(+ : busy_sec, busy_threads)
    {
        int thread = omp_get_thread_num();
        double start = omp_get_wtime(); /* moved on by what is no computing */
        attn_attend_worker self =
            attn_attend_worker_at(attend, attend->scratch + thread * attend->scratch_elems);
        int64_t thread_start_ns;

        self.lane = attn_trace_lane_of(attend->trace, ATTN_LANE_THREADS + thread);
        self.step = step;
        thread_start_ns = attn_trace_start(self.lane);
        self.pieces = attend->arrivals->pieces + attend->arrivals->step_first[step];
        self.query = query;
        self.out = out;
#pragma omp for schedule(dynamic) nowait
        for (int64_t number = 0; number < count; number++) {
            attn_tile tile = attn_tiling_tile(&attend->tiling, number);
            double computed;
            int64_t so_far;

            busy_threads = 1;
            attn_attend_worker_run(&self, &tile);
#pragma omp atomic capture
            so_far = ++done;
            if (thread != 0 || is_quiet(attend, transfer)) continue; /* others may not call MPI */
            computed = omp_get_wtime();
            if (transfer != NULL) attn_transfer_poll(transfer);
            if (attend->on_progress != NULL)
                attend->on_progress(
                    attend->progress_context,
                    ((double)before + (double)ops * (double)so_far / (double)count) /
                        (double)(all > 0 ? all : 1));
            start += omp_get_wtime() - computed;
        }
        if (busy_threads > 0) {
            busy_sec = omp_get_wtime() - start;
            attn_trace_end(self.lane, ATTN_EVENT_step, thread_start_ns, step, keys_of,
                           attend->shard);
        }
    }
    attn_trace_end(lane, ATTN_EVENT_step, start_ns, step, keys_of, attend->shard);
    if (busy_threads > 0) attend->compute_sec += busy_sec / busy_threads;
}

void attn_attend_step(attn_attend *attend, int32_t step, const void *query, float *out,
                      attn_transfer *transfer) {
    if (ATTN_SIMULATED)
        attn_simulate_attend(attend, step);
    else
        run_step(attend, step, query, out, transfer);
}

int64_t attn_attend_message_bytes(const attn_attend *attend, const attn_merge_message *message) {
    return attn_elems(attn_kept_partials_count(&attend->kept, message->slot), attend->kept.elems,
                      sizeof(float));
}

const float *attn_attend_outgoing(const attn_attend *attend, const attn_merge_message *message) {
    const attn_kept_partials *kept = &attend->kept;

    for (int64_t tile = 0; tile < attend->tiling.count && !ATTN_SIMULATED; tile++)
        if (attn_kept_partials_has(kept, message->slot, tile) &&
            *attn_kept_partials_empty(kept, message->slot, tile))
            attn_attend_tile_clear(
                attn_attend_tile_partial(attend, attn_kept_partials_at(kept, message->slot, tile)),
                attend->tiling.most_rows, attend->kv.value_dim);
    return attn_kept_partials_first(kept, message->slot);
}

/* What arrives is not empty for the joins: merging with an empty partial keeps the other's bits. */
float *attn_attend_incoming(const attn_attend *attend, const attn_merge_message *message) {
    const attn_kept_partials *kept = &attend->kept;

    for (int64_t tile = 0; tile < attend->tiling.count && !ATTN_SIMULATED; tile++)
        *attn_kept_partials_empty(kept, message->slot, tile) =
            !attn_kept_partials_has(kept, message->slot, tile);
    return attn_kept_partials_first(kept, message->slot);
}

void attn_attend_destroy(attn_attend *attend) {
    attn_kept_partials_destroy(&attend->kept);
    attn_merge_tree_destroy(&attend->tree);
    attn_tiling_destroy(&attend->tiling);
}
