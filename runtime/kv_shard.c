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

attn_kv_shard attn_kv_shard_of(const attn_kv_layout *layout, int index, char *data) {
    attn_kv_shard shard;

    shard.blocks = attn_shard_blocks(layout->length, layout->shards, index);
    shard.rows = attn_shard_rows(layout->length, layout->shards, index);
    shard.bytes = attn_elems(layout->batch, layout->kv_heads,
                             head_bytes(layout, attn_range_count(shard.rows)));
    shard.data = data;
    return shard;
}

static char *head_data(const attn_kv_layout *layout, const attn_kv_shard *shard, int64_t item,
                       int64_t kv_head) {
    return shard->data +
           (item * layout->kv_heads + kv_head) * head_bytes(layout, attn_range_count(shard->rows));
}

static int64_t rows_before(const attn_kv_layout *layout, const attn_kv_shard *shard,
                           int64_t block) {
    return (block - shard->blocks.first) * attn_block_rows(layout->length);
}

/* Blocks are whole panels, so the keys before `block` fill theirs. */
const void *attn_kv_shard_keys(const attn_kv_layout *layout, const attn_kv_shard *shard,
                               int64_t item, int64_t kv_head, int64_t block) {
    return head_data(layout, shard, item, kv_head) +
           key_bytes(layout, rows_before(layout, shard, block));
}

const void *attn_kv_shard_values(const attn_kv_layout *layout, const attn_kv_shard *shard,
                                 int64_t item, int64_t kv_head, int64_t block) {
    return head_data(layout, shard, item, kv_head) +
           key_bytes(layout, attn_range_count(shard->rows)) +
           value_bytes(layout, rows_before(layout, shard, block));
}

static void pack_head(const attn_kv_layout *layout, const attn_kv_shard *shard, const char *keys,
                      const char *values, int64_t item, int64_t kv_head) {
    const attn_kernel *kernel = layout->kernel;
    int64_t rows = attn_range_count(shard->rows);
    int64_t heads_before = item * layout->kv_heads + kv_head;
    int64_t heads_per_row = layout->batch * layout->kv_heads;
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
