#include "kv_shard.h"

#include <string.h>

#include "buffers.h"
#include "simulate.h"

static int64_t key_bytes(const attn_kv_layout *layout, int64_t rows) {
    int64_t elems = layout->is_packed ? attn_packed_key_elems(layout->kernel, rows, layout->key_dim)
                                      : attn_elems(rows, layout->key_dim, 1);

    return attn_elems(elems, attn_storage_bytes(layout->kernel->storage), 1);
}

static int64_t value_bytes(const attn_kv_layout *layout, int64_t rows) {
    int64_t elems = layout->is_packed
                        ? attn_packed_value_elems(layout->kernel, rows, layout->value_dim)
                        : attn_elems(rows, layout->value_dim, 1);

    return attn_elems(elems, attn_storage_bytes(layout->kernel->storage), 1);
}

/* Bytes of one head of one batch item. */
static int64_t head_bytes(const attn_kv_layout *layout, int64_t rows) {
    return key_bytes(layout, rows) + value_bytes(layout, rows);
}

attn_kv_shard attn_kv_shard_of(const attn_kv_layout *layout, int64_t shard, int64_t slices,
                               int64_t slice) {
    const attn_layout *rows = layout->rows;
    int64_t shard_rows = attn_layout_rows(rows, shard);
    attn_kv_shard self = {.shard = shard, .slice = slice};

    self.blocks = attn_deal(attn_layout_blocks(rows, shard), slices, slice);
    /* Only the sequence's last block may be short, and it is the last of its shard. */
    self.rows.first = self.blocks.first * rows->block_rows;
    self.rows.last = self.blocks.last * rows->block_rows;
    if (self.rows.first > shard_rows) self.rows.first = shard_rows;
    if (self.rows.last > shard_rows) self.rows.last = shard_rows;
    if (layout->in_place) return self;
    self.bytes = attn_elems(layout->batch, layout->kv_heads,
                            head_bytes(layout, attn_range_count(self.rows)));
    return self;
}

attn_range attn_kv_shard_run(const attn_kv_layout *layout, const attn_kv_shard *shard, int64_t run,
                             int64_t *place) {
    attn_range blocks = attn_layout_run(layout->rows, shard->shard, run);
    int64_t before = 0, first, last;

    for (int64_t i = 0; i < run; i++)
        before += attn_range_count(attn_layout_run(layout->rows, shard->shard, i));
    first = shard->blocks.first > before ? shard->blocks.first - before : 0;
    last = shard->blocks.last - before;
    *place = before + first - shard->blocks.first;
    if (last > attn_range_count(blocks)) last = attn_range_count(blocks);
    if (last <= first) return (attn_range){0, 0};
    return (attn_range){blocks.first + first, blocks.first + last};
}

static char *head_data(const attn_kv_layout *layout, const attn_kv_shard *shard, int64_t item,
                       int64_t kv_head) {
    return shard->data +
           (item * layout->kv_heads + kv_head) * head_bytes(layout, attn_range_count(shard->rows));
}

static const char *in_source(const attn_kv_layout *layout, const attn_kv_source *source,
                             int64_t row, int64_t item, int64_t kv_head) {
    return (const char *)source->data +
           (row * source->row + item * source->item + kv_head * source->head) *
               attn_storage_bytes(layout->kernel->storage);
}

/* Blocks are whole panels, so the keys before block `place` fill theirs. */
const void *attn_kv_shard_keys(const attn_kv_layout *layout, const attn_kv_shard *shard,
                               int64_t item, int64_t kv_head, int64_t place) {
    int64_t row = place * layout->rows->block_rows;

    if (layout->in_place)
        return in_source(layout, layout->keys, shard->rows.first + row, item, kv_head);
    return head_data(layout, shard, item, kv_head) + key_bytes(layout, row);
}

const void *attn_kv_shard_values(const attn_kv_layout *layout, const attn_kv_shard *shard,
                                 int64_t item, int64_t kv_head, int64_t place) {
    int64_t row = place * layout->rows->block_rows;

    if (layout->in_place)
        return in_source(layout, layout->values, shard->rows.first + row, item, kv_head);
    return head_data(layout, shard, item, kv_head) +
           key_bytes(layout, attn_range_count(shard->rows)) + value_bytes(layout, row);
}

ptrdiff_t attn_kv_layout_key_stride(const attn_kv_layout *layout) {
    return (ptrdiff_t)(layout->in_place ? layout->keys->row : layout->key_dim);
}

ptrdiff_t attn_kv_layout_value_stride(const attn_kv_layout *layout) {
    return (ptrdiff_t)(layout->in_place ? layout->values->row : layout->value_dim);
}

static void copy_rows(const char *from, int64_t stride_bytes, int64_t rows, int64_t row_bytes,
                      char *to) {
    for (int64_t row = 0; row < rows; row++, from += stride_bytes, to += row_bytes)
        memcpy(to, from, (size_t)row_bytes);
}

static void pack_head(const attn_kv_layout *layout, const attn_kv_shard *shard, int64_t item,
                      int64_t kv_head) {
    const attn_kernel *kernel = layout->kernel;
    int64_t rows = attn_range_count(shard->rows);
    int64_t elem_bytes = attn_storage_bytes(kernel->storage);
    const char *keys = in_source(layout, layout->keys, shard->rows.first, item, kv_head);
    const char *values = in_source(layout, layout->values, shard->rows.first, item, kv_head);
    char *to_keys = head_data(layout, shard, item, kv_head);
    char *to_values = to_keys + key_bytes(layout, rows);

    if (layout->is_packed) {
        kernel->pack_keys(keys, layout->keys->row, rows, layout->key_dim, to_keys);
        kernel->pack_values(values, layout->values->row, rows, layout->value_dim, to_values);
    } else {
        copy_rows(keys, layout->keys->row * elem_bytes, rows, layout->key_dim * elem_bytes,
                  to_keys);
        copy_rows(values, layout->values->row * elem_bytes, rows, layout->value_dim * elem_bytes,
                  to_values);
    }
}

void attn_kv_shard_pack(const attn_kv_layout *layout, const attn_kv_shard *shard, int threads) {
    int64_t heads = layout->batch * layout->kv_heads;

    if (attn_range_count(shard->rows) == 0 || layout->in_place) return;
    attn_simulate_copy(shard->bytes, heads, threads);
    if (ATTN_SIMULATED) return;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t head = 0; head < heads; head++)
        pack_head(layout, shard, head / layout->kv_heads, head % layout->kv_heads);
}
