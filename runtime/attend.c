#include "attend.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* One work item: a tile of queries of one head of one batch item. */
typedef struct query_tile {
    int64_t item, head; /* head counts from this member's first */
    int64_t index;      /* item of the kept arrays */
    int64_t first_row;  /* within the shard */
    int32_t rows;
} query_tile;

/* What a thread works with. Slots are those of the merge tree. */
typedef struct worker {
    const attn_attend *attend;
    const attn_kv_shard *shards;
    const float *query;
    float *out;
    void *kernel_scratch;
    attn_interval *visible;  /* [query_rows]: of the tile's rows, global keys */
    attn_interval *in_block; /* [query_rows]: the same within a block */
    unsigned char *empty;    /* [scratch slots] of the current tile */
    float *partials;         /* [scratch slots] */
} worker;

/* Floats of a partial of one tile: out, then max, then sum. */
static int64_t partial_elems(const attn_attend *attend) {
    return (int64_t)attend->kv.kernel->query_rows * (attend->kv.value_dim + 2);
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

static int64_t tile_count(const attn_attend *attend) {
    return attend->kv.batch * attn_range_count(attend->heads) * attend->tiles;
}

attn_status attn_attend_plan(attn_attend *attend, const attn_range *arrivals, int32_t steps,
                             attn_buffers *buffers, attn_error *error) {
    const attn_kernel *kernel = attend->kv.kernel;
    int64_t heads = attend->kv.batch * attn_range_count(attend->heads);
    int64_t scratch_slots;

    attend->tiles = (attend->queries.count + kernel->query_rows - 1) / kernel->query_rows;
    if (attn_merge_tree_create(attn_block_count(attend->kv.length), arrivals, steps, &attend->tree,
                               error) != ATTN_OK)
        return error->status;
    attn_buffers_reserve(
        buffers, attn_elems(attend->tree.kept_slots, heads * attend->tiles, partial_elems(attend)),
        &attend->kept);
    attend->kept_empty =
        attn_alloc((size_t)attend->tree.kept_slots, (size_t)(heads * attend->tiles));
    if (attend->kept_empty == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the flags of kept partials");
    scratch_slots = attend->tree.slots - attend->tree.kept_slots;
    attend->scratch_elems = kernel_scratch_elems(attend) + 2 * interval_elems(attend) +
                            whole_lines(scratch_slots) +
                            whole_lines(scratch_slots * partial_elems(attend) * 4);
    attn_buffers_reserve(buffers, attn_elems(attend->threads, attend->scratch_elems, 1),
                         &attend->scratch);
    return attn_ok(error);
}

static worker worker_of(const attn_attend *attend, int thread) {
    worker self = {.attend = attend};
    float *memory = attend->scratch + thread * attend->scratch_elems;

    self.kernel_scratch = memory;
    memory += kernel_scratch_elems(attend);
    self.visible = (attn_interval *)(void *)memory;
    memory += interval_elems(attend);
    self.in_block = (attn_interval *)(void *)memory;
    memory += interval_elems(attend);
    self.empty = (unsigned char *)memory;
    memory += whole_lines(attend->tree.slots - attend->tree.kept_slots);
    self.partials = memory;
    return self;
}

static attn_partial slot_partial(const worker *self, const query_tile *tile, int32_t slot) {
    const attn_attend *attend = self->attend;
    int64_t elems = partial_elems(attend);
    int32_t kept_slots = attend->tree.kept_slots;
    attn_partial partial;

    partial.out = slot < kept_slots
                      ? attend->kept + (slot * tile_count(attend) + tile->index) * elems
                      : self->partials + (slot - kept_slots) * elems;
    partial.max = partial.out + (int64_t)attend->kv.kernel->query_rows * attend->kv.value_dim;
    partial.sum = partial.max + attend->kv.kernel->query_rows;
    return partial;
}

static unsigned char *slot_empty(const worker *self, const query_tile *tile, int32_t slot) {
    const attn_attend *attend = self->attend;
    int32_t kept_slots = attend->tree.kept_slots;

    if (slot < kept_slots) return attend->kept_empty + slot * tile_count(attend) + tile->index;
    return self->empty + (slot - kept_slots);
}

/* Intervals of the tile within keys [first, last): sets *any when a row sees one,
 * *all when every row sees all. */
static void clip_intervals(const worker *self, const query_tile *tile, int64_t first, int64_t last,
                           int *any, int *all) {
    *any = 0;
    *all = 1;
    for (int32_t row = 0; row < tile->rows; row++) {
        attn_interval seen = self->visible[row];

        seen.first = (seen.first > first ? seen.first : first) - first;
        seen.last = (seen.last < last ? seen.last : last) - first;
        if (seen.last <= seen.first) seen = (attn_interval){0, 0};
        if (seen.last > seen.first) *any = 1;
        if (seen.first > 0 || seen.last < last - first) *all = 0;
        self->in_block[row] = seen;
    }
}

static const attn_kv_shard *shard_with(const worker *self, int64_t block) {
    const attn_kv_shard *shard = self->shards;

    while (block >= shard->blocks.last) shard++;
    return shard;
}

static void compute_block(const worker *self, const query_tile *tile, const attn_merge_op *op) {
    const attn_attend *attend = self->attend;
    const attn_kv_layout *kv = &attend->kv;
    const attn_kv_shard *shard = shard_with(self, op->block);
    int64_t kv_head =
        (attend->heads.first + tile->head) / attend->queries_per_kv - attend->first_kv_head;
    int64_t first = op->block * attn_block_rows(kv->length);
    int64_t last = first + attn_block_rows(kv->length);
    attn_block_args args = {0};
    int any, all;

    if (last > kv->length) last = kv->length;
    clip_intervals(self, tile, first, last, &any, &all);
    *slot_empty(self, tile, op->result) = !any;
    if (!any) return;
    args.query = self->query + tile->first_row * attend->query_row_elems +
                 (tile->item * attn_range_count(attend->heads) + tile->head) * kv->key_dim;
    args.query_stride = attend->query_row_elems;
    args.rows = tile->rows;
    args.key_dim = kv->key_dim;
    args.value_dim = kv->value_dim;
    args.keys = attn_kv_shard_keys(kv, shard, tile->item, kv_head, op->block);
    args.values = attn_kv_shard_values(kv, shard, tile->item, kv_head, op->block);
    args.key_count = last - first;
    args.visible = all ? NULL : self->in_block;
    args.scale = attend->scale;
    args.scratch = self->kernel_scratch;
    kv->kernel->attend(&args, slot_partial(self, tile, op->result));
}

/* Copies the partial of slot `from` to `to`, bit for bit. */
static void copy_partial(const worker *self, const query_tile *tile, int32_t to, int32_t from) {
    attn_partial target = slot_partial(self, tile, to);
    attn_partial source = slot_partial(self, tile, from);
    size_t rows = (size_t)tile->rows;

    if (to == from) return;
    memcpy(target.out, source.out, rows * (size_t)self->attend->kv.value_dim * sizeof(float));
    memcpy(target.max, source.max, rows * sizeof(float));
    memcpy(target.sum, source.sum, rows * sizeof(float));
}

static void join(const worker *self, const query_tile *tile, const attn_merge_op *op) {
    const attn_attend *attend = self->attend;
    int left_empty = *slot_empty(self, tile, op->left);
    int right_empty = *slot_empty(self, tile, op->right);

    if (!left_empty && !right_empty)
        attend->kv.kernel->merge(
            slot_partial(self, tile, op->result), slot_partial(self, tile, op->left),
            slot_partial(self, tile, op->right), tile->rows, attend->kv.value_dim, attend->scale);
    else if (!left_empty || !right_empty)
        copy_partial(self, tile, op->result, left_empty ? op->right : op->left);
    *slot_empty(self, tile, op->result) = left_empty && right_empty;
}

/* The root: normalised into the output; a tile that saw no key at all is made
 * an empty partial first. */
static void finish(const worker *self, const query_tile *tile, int32_t root) {
    const attn_attend *attend = self->attend;
    int64_t heads = attn_range_count(attend->heads);
    int32_t value_dim = attend->kv.value_dim;
    attn_partial partial = slot_partial(self, tile, root);
    float *row = self->out + tile->first_row * attend->out_row_elems +
                 tile->item * (attend->out_row_elems / attend->kv.batch);

    if (*slot_empty(self, tile, root)) {
        memset(partial.out, 0, (size_t)tile->rows * (size_t)value_dim * sizeof(float));
        for (int32_t r = 0; r < tile->rows; r++) {
            partial.max[r] = -INFINITY;
            partial.sum[r] = 0;
        }
    }
    attend->kv.kernel->finish(partial, tile->rows, value_dim, attend->scale,
                              row + tile->head * value_dim, attend->out_row_elems,
                              attend->with_lse ? row + heads * value_dim + tile->head : NULL,
                              attend->out_row_elems);
}

static void run_tile(const worker *self, const query_tile *tile, int32_t step) {
    const attn_merge_tree *tree = &self->attend->tree;
    int64_t first = tree->step_first[step];
    int64_t last = tree->step_first[step + 1];

    for (int32_t row = 0; row < tile->rows; row++)
        self->visible[row] = attn_mask_visible(&self->attend->mask,
                                               self->attend->queries.first + tile->first_row + row);
    for (int64_t op = first; op < last; op++) {
        if (tree->ops[op].block >= 0)
            compute_block(self, tile, &tree->ops[op]);
        else
            join(self, tile, &tree->ops[op]);
    }
    if (step == tree->root_step) finish(self, tile, tree->ops[last - 1].result);
}

/* Work item `number`, tiles last to first: under a causal mask the last ones are
 * the longest, and a dynamic schedule balances best when those start first. */
static query_tile tile_of(const attn_attend *attend, int64_t number) {
    int64_t heads = attn_range_count(attend->heads);
    int64_t query_rows = attend->kv.kernel->query_rows;
    int64_t along = attend->tiles - 1 - number % attend->tiles;
    query_tile tile;

    tile.item = number / attend->tiles / heads;
    tile.head = number / attend->tiles % heads;
    tile.index = (tile.item * heads + tile.head) * attend->tiles + along;
    tile.first_row = along * query_rows;
    tile.rows = (int32_t)(attend->queries.count - tile.first_row < query_rows
                              ? attend->queries.count - tile.first_row
                              : query_rows);
    return tile;
}

void attn_attend_step(attn_attend *attend, int32_t step, const attn_kv_shard *shards,
                      const float *query, float *out, attn_transfer *transfer) {
    int64_t count = tile_count(attend);
    int64_t done = 0;

    if (attend->tree.step_first[step] == attend->tree.step_first[step + 1]) return;
#pragma omp parallel num_threads(attend->threads)
    {
        int thread = omp_get_thread_num();
        worker self = worker_of(attend, thread);

        self.shards = shards;
        self.query = query;
        self.out = out;
#pragma omp for schedule(dynamic)
        for (int64_t number = 0; number < count; number++) {
            query_tile tile = tile_of(attend, number);
            int64_t so_far;

            run_tile(&self, &tile, step);
#pragma omp atomic capture
            so_far = ++done;
            if (thread != 0) continue; /* only the calling thread may talk to MPI */
            if (transfer != NULL) attn_transfer_poll(transfer);
            if (attend->on_progress != NULL)
                attend->on_progress(attend->progress_context,
                                    ((double)step + (double)so_far / (double)count) /
                                        (double)attend->tree.step_count);
        }
    }
}

void attn_attend_destroy(attn_attend *attend) {
    free(attend->kept_empty);
    attend->kept_empty = NULL;
    attn_merge_tree_destroy(&attend->tree);
}
