#include "attend.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "row_list.h"
#include "simulate.h"

/* What a thread works with. Slots are those of the merge tree. */
typedef struct worker {
    const attn_attend *attend;
    const attn_kv_shard *pieces; /* of the step */
    const char *query;
    float *out;
    void *kernel_scratch;
    char *stacked_query;     /* [query_rows][d_k]: queries of a tile of several heads */
    attn_visible *visible;   /* [query_rows]: of the kernel's rows, global keys */
    attn_visible reach;      /* the hulls of their first runs, and of their second ones */
    attn_interval *in_block; /* [query_rows]: first runs within a block */
    attn_interval *also;     /* [query_rows]: second ones of rows with two in the block */
    unsigned char *empty;    /* [scratch slots] of the current tile */
    float *partials;         /* [scratch slots] */
    attn_tile_terms terms;
    const char *tile_query; /* of the current tile, and the distance of its rows */
    ptrdiff_t tile_query_stride;
    attn_trace_lane *lane; /* NULL: nothing is recorded */
    int32_t step;
} worker;

/* Floats of a partial of one tile: out, then max, then sum. */
static int64_t partial_elems(const attn_attend *attend) {
    return (int64_t)attend->tiling.most_rows * (attend->kv.value_dim + 2);
}

static int64_t whole_lines(int64_t bytes) {
    return (bytes + 63) / 64 * 16; /* in floats */
}

static int64_t kernel_scratch_elems(const attn_attend *attend) {
    return whole_lines(
        (int64_t)attend->kv.kernel->scratch_bytes(attend->kv.key_dim, attend->kv.value_dim));
}

static int64_t interval_elems(const attn_attend *attend) {
    return whole_lines(attend->kv.kernel->query_rows * (int64_t)sizeof(attn_interval));
}

static int64_t visible_elems(const attn_attend *attend) {
    return whole_lines(attend->kv.kernel->query_rows * (int64_t)sizeof(attn_visible));
}

static int64_t terms_elems(const attn_attend *attend) {
    return whole_lines(attn_attend_terms_bytes(&attend->terms, attend->kv.kernel->query_rows,
                                               attend->kv.value_dim));
}

static int64_t stacked_query_elems(const attn_attend *attend) {
    return whole_lines((int64_t)attend->kv.kernel->query_rows * attend->kv.key_dim *
                       attn_storage_bytes(attend->kv.kernel->storage));
}

int64_t attn_attend_partial_bytes(const attn_attend *attend) {
    return attn_elems(attn_elems(attend->kv.batch, attn_range_count(attend->heads), 1),
                      attn_elems(attend->queries.count, attend->kv.value_dim + 2, 1),
                      sizeof(float));
}

/* The merge tree of the blocks that some query sees, and where they will be. */
static attn_status plan_blocks(attn_attend *attend, attn_error *error) {
    size_t blocks = (size_t)attend->kv.rows->block_count;
    int32_t *step_of = attn_alloc(blocks, sizeof *step_of);

    attend->places = attn_alloc(blocks, sizeof *attend->places);
    if (step_of == NULL || attend->places == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the blocks of keys");
    } else {
        attn_arrivals_locate(attend->arrivals, &attend->kv, attend->reach, attend->shard, step_of,
                             attend->places);
        attn_ok(error);
        if (attend->tree.step_count == 0)
            attn_merge_tree_create(attend->kv.rows->block_count, step_of, attend->arrivals->steps,
                                   &attend->tree, error);
    }
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
    int64_t scratch_slots;

    if (attn_tiling_create(&attend->tiling, attend->kv.batch, attend->heads, attend->queries_per_kv,
                           attend->mask.length, attend->queries.count, kernel->query_rows,
                           error) != ATTN_OK ||
        plan_blocks(attend, error) != ATTN_OK)
        return error->status;
    if (attn_kept_partials_plan(&attend->kept, &attend->tree, &attend->tiling, &attend->queries,
                                &attend->mask, attend->kv.rows, partial_elems(attend), buffers,
                                error) != ATTN_OK)
        return error->status;
    if (attend->trace != NULL) expect_events(attend);
    scratch_slots = attend->tree.slots - attend->tree.kept_slots;
    attend->scratch_elems = kernel_scratch_elems(attend) + stacked_query_elems(attend) +
                            visible_elems(attend) + 2 * interval_elems(attend) +
                            terms_elems(attend) + whole_lines(scratch_slots) +
                            whole_lines(scratch_slots * partial_elems(attend) * 4);
    return attn_ok(error);
}

int64_t attn_attend_scratch_elems(const attn_attend *attend) {
    return attn_elems(attend->threads, attend->scratch_elems, 1);
}

static worker worker_of(const attn_attend *attend, int thread) {
    worker self = {.attend = attend};
    float *memory = attend->scratch + thread * attend->scratch_elems;

    self.kernel_scratch = memory;
    memory += kernel_scratch_elems(attend);
    self.stacked_query = (char *)memory;
    memory += stacked_query_elems(attend);
    self.visible = (attn_visible *)(void *)memory;
    memory += visible_elems(attend);
    self.in_block = (attn_interval *)(void *)memory;
    memory += interval_elems(attend);
    self.also = (attn_interval *)(void *)memory;
    memory += interval_elems(attend);
    self.terms = attn_attend_terms_at(&attend->terms, attend->kv.kernel->query_rows,
                                      attend->kv.value_dim, memory);
    memory += terms_elems(attend);
    self.empty = (unsigned char *)memory;
    memory += whole_lines(attend->tree.slots - attend->tree.kept_slots);
    self.partials = memory;
    return self;
}

static attn_partial slot_partial(const worker *self, const attn_tile *tile, int32_t slot) {
    const attn_attend *attend = self->attend;
    int64_t elems = partial_elems(attend);
    int32_t kept_slots = attend->tree.kept_slots;
    attn_partial partial;

    partial.out = slot < kept_slots ? attn_kept_partials_at(&attend->kept, slot, tile->index)
                                    : self->partials + (slot - kept_slots) * elems;
    partial.max = partial.out + (int64_t)attend->tiling.most_rows * attend->kv.value_dim;
    partial.sum = partial.max + attend->tiling.most_rows;
    return partial;
}

static unsigned char *slot_empty(const worker *self, const attn_tile *tile, int32_t slot) {
    const attn_attend *attend = self->attend;
    int32_t kept_slots = attend->tree.kept_slots;

    if (slot < kept_slots) return attn_kept_partials_empty(&attend->kept, slot, tile->index);
    return self->empty + (slot - kept_slots);
}

/* The part of an interval within keys [first, last), counted from `first`. */
static attn_interval clip(attn_interval seen, int64_t first, int64_t last) {
    seen.first = (seen.first > first ? seen.first : first) - first;
    seen.last = (seen.last < last ? seen.last : last) - first;
    return seen.first < seen.last ? seen : (attn_interval){0, 0};
}

/* What the tile's rows see of a block. */
typedef struct block_view {
    int any; /* a row sees a key */
    int all; /* every row sees all keys */
    int two; /* a row has two runs in it */
} block_view;

/* Runs of the tile's rows within keys [first, last). */
static block_view clip_rows(const worker *self, const attn_tile *tile, int64_t first,
                            int64_t last) {
    block_view view = {0, 1, 0};

    for (int i = 0; i < 2; i++) view.any |= clip(self->reach.span[i], first, last).last > 0;
    if (!view.any) return view;
    view.any = 0;
    for (int32_t row = 0; row < tile->kernel_rows; row++) {
        attn_interval seen = clip(self->visible[row].span[0], first, last);
        attn_interval also = clip(self->visible[row].span[1], first, last);

        if (seen.last == 0) {
            seen = also;
            also = (attn_interval){0, 0};
        }
        if (seen.last > 0) view.any = 1;
        if (also.last > 0) view.two = 1;
        if (seen.first > 0 || seen.last < last - first) view.all = 0;
        self->in_block[row] = seen;
        self->also[row] = also;
    }
    return view;
}

/* What the tile's rows see, and the hull of that. */
static void find_keys(worker *self, const attn_tile *tile) {
    const attn_attend *attend = self->attend;
    attn_rows run = {0, 0}; /* of the sequence: the tile's rows from `row` on */

    self->reach = (attn_visible){{{INT64_MAX, 0}, {INT64_MAX, 0}}};
    for (int32_t row = 0; row < tile->kernel_rows; row++, run.first++, run.count--) {
        if (run.count == 0 && row < tile->rows)
            run = attn_row_list_from(&attend->queries, tile->first_row + row, tile->rows - row);
        self->visible[row] = row < tile->rows
                                 ? attn_mask_visible(&attend->mask, tile->item, run.first)
                                 : self->visible[row % tile->rows];
        for (int i = 0; i < 2; i++) {
            const attn_interval *seen = &self->visible[row].span[i];
            attn_interval *reach = &self->reach.span[i];

            if (seen->first >= seen->last) continue;
            if (seen->first < reach->first) reach->first = seen->first;
            if (seen->last > reach->last) reach->last = seen->last;
        }
    }
}

static void compute_block(worker *self, const attn_tile *tile, const attn_merge_op *op) {
    const attn_attend *attend = self->attend;
    const attn_kv_layout *kv = &attend->kv;
    const attn_block_place *at = &attend->places[op->block];
    const attn_kv_shard *piece = &self->pieces[at->piece];
    attn_range keys = attn_layout_rows_of(kv->rows, (attn_range){op->block, op->block + 1});
    attn_block_args args = {0};
    int64_t start_ns;
    block_view view = clip_rows(self, tile, keys.first, keys.last);

    *slot_empty(self, tile, op->result) = !view.any;
    if (!view.any) return;
    args.query = self->tile_query;
    args.query_stride = self->tile_query_stride;
    args.rows = tile->kernel_rows;
    args.key_dim = kv->key_dim;
    args.value_dim = kv->value_dim;
    args.keys = attn_kv_shard_keys(kv, piece, tile->item, tile->stack->kv_head, at->place);
    args.values = attn_kv_shard_values(kv, piece, tile->item, tile->stack->kv_head, at->place);
    args.key_count = attn_range_count(keys);
    args.visible = view.all ? NULL : self->in_block;
    args.also_visible = view.two ? self->also : NULL;
    args.scale = attend->scale;
    args.terms = attn_attend_terms_block(&attend->terms, tile, keys.first, &self->terms);
    args.scratch = self->kernel_scratch;
    start_ns = attn_trace_start(self->lane);
    if (kv->is_packed) {
        kv->kernel->attend(&args, slot_partial(self, tile, op->result));
    } else {
        args.key_stride = attn_kv_layout_key_stride(kv);
        args.value_stride = attn_kv_layout_value_stride(kv);
        kv->kernel->attend_few(&args, slot_partial(self, tile, op->result));
    }
    attn_trace_end(self->lane, ATTN_EVENT_block, start_ns, op->block, args.key_count, piece->shard);
}

/* Copies the partial of slot `from` to `to`, bit for bit. */
static void copy_partial(const worker *self, const attn_tile *tile, int32_t to, int32_t from) {
    attn_partial target = slot_partial(self, tile, to);
    attn_partial source = slot_partial(self, tile, from);
    size_t rows = (size_t)tile->kernel_rows;

    if (to == from) return;
    memcpy(target.out, source.out, rows * (size_t)self->attend->kv.value_dim * sizeof(float));
    memcpy(target.max, source.max, rows * sizeof(float));
    memcpy(target.sum, source.sum, rows * sizeof(float));
}

static void join(const worker *self, const attn_tile *tile, const attn_merge_op *op) {
    const attn_attend *attend = self->attend;
    int left_empty = *slot_empty(self, tile, op->left);
    int right_empty = *slot_empty(self, tile, op->right);

    if (!left_empty && !right_empty)
        attend->kv.kernel->merge(
            slot_partial(self, tile, op->result), slot_partial(self, tile, op->left),
            slot_partial(self, tile, op->right), tile->kernel_rows, attend->kv.value_dim,
            attn_attend_terms_partial_scale(&attend->terms));
    else if (!left_empty || !right_empty)
        copy_partial(self, tile, op->result, left_empty ? op->right : op->left);
    *slot_empty(self, tile, op->result) = left_empty && right_empty;
}

/* Of a tile that saw no key at all. */
static void clear_partial(attn_partial partial, int32_t rows, int32_t value_dim) {
    memset(partial.out, 0, (size_t)rows * (size_t)value_dim * sizeof(float));
    for (int32_t row = 0; row < rows; row++) {
        partial.max[row] = -INFINITY;
        partial.sum[row] = 0;
    }
}

/* The root: normalised into the output rows, head by head. An empty one has no memory where it
 * would be kept. */
static void finish(const worker *self, const attn_tile *tile, int32_t root) {
    const attn_attend *attend = self->attend;
    int64_t heads = attn_range_count(attend->heads);
    int32_t value_dim = attend->kv.value_dim;
    int is_empty = *slot_empty(self, tile, root);
    attn_partial partial = slot_partial(self, tile, is_empty ? attend->tree.kept_slots : root);
    float *rows = self->out + tile->first_row * attend->out_row_elems +
                  tile->item * (attend->out_row_elems / attend->kv.batch);

    if (is_empty) clear_partial(partial, tile->kernel_rows, value_dim);
    for (int64_t i = 0; i < tile->stack->heads; i++) {
        int64_t head = tile->stack->first_head + i;
        float *lse = attend->with_lse ? rows + heads * value_dim + head : NULL;

        attn_attend_terms_sink(&attend->terms, attend->kv.kernel, head, partial, tile->rows,
                               value_dim, &self->terms);
        attend->kv.kernel->finish(
            partial, tile->rows, value_dim, attn_attend_terms_partial_scale(&attend->terms),
            rows + head * value_dim, attend->out_row_elems, lse, attend->out_row_elems);
        partial.out += (int64_t)tile->rows * value_dim;
        partial.max += tile->rows;
        partial.sum += tile->rows;
    }
}

/* Points at the tile's queries; those of several heads are first brought together. */
static void find_queries(worker *self, const attn_tile *tile) {
    const attn_attend *attend = self->attend;
    int64_t elem_bytes = attn_storage_bytes(attend->kv.kernel->storage);
    int64_t row_bytes = attend->query_row_elems * elem_bytes;
    int64_t head_bytes = attend->kv.key_dim * elem_bytes;
    const char *first =
        self->query + tile->first_row * row_bytes +
        (tile->item * attn_range_count(attend->heads) + tile->stack->first_head) * head_bytes;

    self->tile_query = first;
    self->tile_query_stride = attend->query_row_elems;
    if (tile->stack->heads == 1) return;
    for (int32_t row = 0; row < tile->kernel_rows; row++)
        memcpy(self->stacked_query + row * head_bytes,
               first + row % tile->rows * row_bytes + row / tile->rows * head_bytes,
               (size_t)head_bytes);
    self->tile_query = self->stacked_query;
    self->tile_query_stride = attend->kv.key_dim;
}

static void run_tile(worker *self, const attn_tile *tile) {
    const attn_merge_tree *tree = &self->attend->tree;
    int64_t first = tree->step_first[self->step];
    int64_t last = tree->step_first[self->step + 1];
    int64_t start_ns = attn_trace_start(self->lane);

    find_queries(self, tile);
    find_keys(self, tile);
    attn_attend_terms_tile(&self->attend->terms, tile, &self->terms);
    for (int64_t op = first; op < last; op++) {
        if (tree->ops[op].block >= 0)
            compute_block(self, tile, &tree->ops[op]);
        else
            join(self, tile, &tree->ops[op]);
    }
    if (self->step == tree->root_step) {
        if (tree->is_empty) *slot_empty(self, tile, tree->root) = 1;
        finish(self, tile, tree->root);
    }
    attn_trace_end(self->lane, ATTN_EVENT_tile, start_ns, tile->item,
                   self->attend->heads.first + tile->stack->first_head, tile->first_row);
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
        worker self = worker_of(attend, thread);
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
            run_tile(&self, &tile);
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
    int32_t rows = attend->tiling.most_rows, value_dim = attend->kv.value_dim;

    for (int64_t tile = 0; tile < attend->tiling.count && !ATTN_SIMULATED; tile++) {
        attn_partial partial;

        if (!attn_kept_partials_has(kept, message->slot, tile) ||
            !*attn_kept_partials_empty(kept, message->slot, tile))
            continue;
        partial.out = attn_kept_partials_at(kept, message->slot, tile);
        partial.max = partial.out + (int64_t)rows * value_dim;
        partial.sum = partial.max + rows;
        clear_partial(partial, rows, value_dim);
    }
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
    free(attend->places);
    attend->places = NULL;
    attn_kept_partials_destroy(&attend->kept);
    attn_merge_tree_destroy(&attend->tree);
    attn_tiling_destroy(&attend->tiling);
}
