#include "attend_tile.h"

#include <math.h>
#include <string.h>

#include "row_list.h"

int64_t attn_attend_tile_elems(const attn_attend *attend) {
    return (int64_t)attend->tiling.most_rows * (attend->kv.value_dim + 2);
}

attn_partial attn_attend_tile_partial(const attn_attend *attend, float *memory) {
    attn_partial partial = {.out = memory};

    partial.max = partial.out + (int64_t)attend->tiling.most_rows * attend->kv.value_dim;
    partial.sum = partial.max + attend->tiling.most_rows;
    return partial;
}

void attn_attend_tile_clear(attn_partial partial, int32_t rows, int32_t value_dim) {
    memset(partial.out, 0, (size_t)rows * (size_t)value_dim * sizeof(float));
    for (int32_t row = 0; row < rows; row++) {
        partial.max[row] = -INFINITY;
        partial.sum[row] = 0;
    }
}

/* --- scratch -------------------------------------------------------------------- */

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

static int32_t scratch_slots(const attn_attend *attend) {
    return attend->tree.slots - attend->tree.kept_slots;
}

int64_t attn_attend_worker_elems(const attn_attend *attend) {
    return kernel_scratch_elems(attend) + stacked_query_elems(attend) + visible_elems(attend) +
           2 * interval_elems(attend) + terms_elems(attend) + whole_lines(scratch_slots(attend)) +
           whole_lines(scratch_slots(attend) * attn_attend_tile_elems(attend) * 4);
}

attn_attend_worker attn_attend_worker_at(const attn_attend *attend, float *memory) {
    attn_attend_worker self = {.attend = attend};

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
    memory += whole_lines(scratch_slots(attend));
    self.partials = memory;
    return self;
}

/* --- the step ------------------------------------------------------------------- */

static attn_partial slot_partial(const attn_attend_worker *self, const attn_tile *tile,
                                 int32_t slot) {
    const attn_attend *attend = self->attend;
    int32_t kept_slots = attend->tree.kept_slots;

    return attn_attend_tile_partial(
        attend, slot < kept_slots
                    ? attn_kept_partials_at(&attend->kept, slot, tile->index)
                    : self->partials + (slot - kept_slots) * attn_attend_tile_elems(attend));
}

static unsigned char *slot_empty(const attn_attend_worker *self, const attn_tile *tile,
                                 int32_t slot) {
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
static block_view clip_rows(const attn_attend_worker *self, const attn_tile *tile, int64_t first,
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
static void find_keys(attn_attend_worker *self, const attn_tile *tile) {
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

static void compute_block(attn_attend_worker *self, const attn_tile *tile,
                          const attn_merge_op *op) {
    const attn_attend *attend = self->attend;
    const attn_kv_layout *kv = &attend->kv;
    const attn_block_place *at = &attend->arrivals->places[op->block];
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
static void copy_partial(const attn_attend_worker *self, const attn_tile *tile, int32_t to,
                         int32_t from) {
    attn_partial target = slot_partial(self, tile, to);
    attn_partial source = slot_partial(self, tile, from);
    size_t rows = (size_t)tile->kernel_rows;

    if (to == from) return;
    memcpy(target.out, source.out, rows * (size_t)self->attend->kv.value_dim * sizeof(float));
    memcpy(target.max, source.max, rows * sizeof(float));
    memcpy(target.sum, source.sum, rows * sizeof(float));
}

static void join(const attn_attend_worker *self, const attn_tile *tile, const attn_merge_op *op) {
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

/* The root: normalised into the output rows, head by head. An empty one has no memory where it
 * would be kept. */
static void finish(const attn_attend_worker *self, const attn_tile *tile, int32_t root) {
    const attn_attend *attend = self->attend;
    int64_t heads = attn_range_count(attend->heads);
    int32_t value_dim = attend->kv.value_dim;
    int is_empty = *slot_empty(self, tile, root);
    attn_partial partial = slot_partial(self, tile, is_empty ? attend->tree.kept_slots : root);
    float *rows = self->out + tile->first_row * attend->out_row_elems +
                  tile->item * (attend->out_row_elems / attend->kv.batch);

    if (is_empty) attn_attend_tile_clear(partial, tile->kernel_rows, value_dim);
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
static void find_queries(attn_attend_worker *self, const attn_tile *tile) {
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

void attn_attend_worker_run(attn_attend_worker *self, const attn_tile *tile) {
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
