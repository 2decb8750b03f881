#include "kv_shard.h"

#include "buffers.h"

static int64_t key_bytes(const attn_kv_layout *layout, int64_t rows) {
    return attn_elems(attn_packed_key_elems(layout->kernel, rows, layout->key_dim),
                      attn_storage_bytes(layout->kernel->storage), 1);
}

static int64_t value_bytes(const attn_kv_layout *layout, int64_t rows) {
    return attn_elems(attn_packed_value_elems(layout->kernel, rows, layout->value_dim),
                      attn_storage_bytes(layout->kernel->storage), 1);
}

/* Bytes of one head of one batch item. */
static int64_t head_bytes(const attn_kv_layout *layout, int64_t rows) {
    return key_bytes(layout, rows) + value_bytes(layout, rows);
}

attn_kv_shard attn_kv_shard_of(const attn_kv_layout *layout, int64_t shard, int64_t slices,
                               int64_t slice) {
    const attn_layout *rows = layout->rows;
    int64_t shard_rows = attn_layout_rows(rows, shard);
    attn_kv_shard self = {.shard = shard};

    self.blocks = attn_deal(attn_layout_blocks(rows, shard), slices, slice);
    /* Only the sequence's last block may be short, and it is the last of its shard. */
    self.rows.first = self.blocks.first * rows->block_rows;
    self.rows.last = self.blocks.last * rows->block_rows;
    if (self.rows.first > shard_rows) self.rows.first = shard_rows;
    if (self.rows.last > shard_rows) self.rows.last = shard_rows;
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

/* Blocks are whole panels, so the keys before block `place` fill theirs. */
const void *attn_kv_shard_keys(const attn_kv_layout *layout, const attn_kv_shard *shard,
                               int64_t item, int64_t kv_head, int64_t place) {
    return head_data(layout, shard, item, kv_head) +
           key_bytes(layout, place * layout->rows->block_rows);
}

const void *attn_kv_shard_values(const attn_kv_layout *layout, const attn_kv_shard *shard,
                                 int64_t item, int64_t kv_head, int64_t place) {
    return head_data(layout, shard, item, kv_head) +
           key_bytes(layout, attn_range_count(shard->rows)) +
           value_bytes(layout, place * layout->rows->block_rows);
}

static void pack_head(const attn_kv_layout *layout, const attn_kv_shard *shard, const char *keys,
                      const char *values, int64_t item, int64_t kv_head) {
    const attn_kernel *kernel = layout->kernel;
    int64_t rows = attn_range_count(shard->rows);
    int64_t heads_per_row = layout->batch * layout->kv_heads;
    int64_t heads_before = shard->rows.first * heads_per_row + item * layout->kv_heads + kv_head;
    int64_t elem_bytes = attn_storage_bytes(kernel->storage);
    char *packed = head_data(layout, shard, item, kv_head);

    kernel->pack_keys(keys + heads_before * layout->key_dim * elem_bytes,
                      heads_per_row * layout->key_dim, rows, layout->key_dim, packed);
    kernel->pack_values(values + heads_before * layout->value_dim * elem_bytes,
                        heads_per_row * layout->value_dim, rows, layout->value_dim,
                        packed + key_bytes(layout, rows));
}

void attn_kv_shard_pack(const attn_kv_layout *layout, const attn_kv_shard *shard, const void *keys,
                        const void *values, int threads) {
    int64_t heads = layout->batch * layout->kv_heads;

    if (attn_range_count(shard->rows) == 0) return;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t head = 0; head < heads; head++)
        pack_head(layout, shard, keys, values, head / layout->kv_heads, head % layout->kv_heads);
}
