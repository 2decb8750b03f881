#include "kv_shard.h"

#include <string.h>

#include "buffers.h"

/* Elements of one head of one batch item. */
static int64_t head_elems(const attn_kv_layout *layout, int64_t rows) {
    return attn_packed_key_elems(layout->kernel, rows, layout->key_dim) +
           attn_elems(rows, layout->value_dim, 1);
}

attn_kv_shard attn_kv_shard_of(const attn_kv_layout *layout, int index, float *data) {
    attn_kv_shard shard;

    shard.blocks = attn_shard_blocks(layout->length, layout->shards, index);
    shard.rows = attn_shard_rows(layout->length, layout->shards, index);
    shard.elems = attn_elems(layout->batch, layout->kv_heads,
                             head_elems(layout, attn_range_count(shard.rows)));
    shard.data = data;
    return shard;
}

static float *head_data(const attn_kv_layout *layout, const attn_kv_shard *shard, int64_t item,
                        int64_t kv_head) {
    return shard->data +
           (item * layout->kv_heads + kv_head) * head_elems(layout, attn_range_count(shard->rows));
}

static int64_t rows_before(const attn_kv_layout *layout, const attn_kv_shard *shard,
                           int64_t block) {
    return (block - shard->blocks.first) * attn_block_rows(layout->length);
}

/* Blocks are whole panels, so the keys before `block` fill theirs. */
const float *attn_kv_shard_keys(const attn_kv_layout *layout, const attn_kv_shard *shard,
                                int64_t item, int64_t kv_head, int64_t block) {
    return head_data(layout, shard, item, kv_head) +
           rows_before(layout, shard, block) * layout->key_dim;
}

const float *attn_kv_shard_values(const attn_kv_layout *layout, const attn_kv_shard *shard,
                                  int64_t item, int64_t kv_head, int64_t block) {
    int64_t rows = attn_range_count(shard->rows);

    return head_data(layout, shard, item, kv_head) +
           attn_packed_key_elems(layout->kernel, rows, layout->key_dim) +
           rows_before(layout, shard, block) * layout->value_dim;
}

static void pack_head(const attn_kv_layout *layout, const attn_kv_shard *shard, const float *keys,
                      const float *values, int64_t item, int64_t kv_head) {
    int64_t rows = attn_range_count(shard->rows);
    int64_t heads_before = item * layout->kv_heads + kv_head;
    int64_t heads_per_row = layout->batch * layout->kv_heads;
    int64_t key_stride = heads_per_row * layout->key_dim;
    int64_t value_stride = heads_per_row * layout->value_dim;
    float *packed = head_data(layout, shard, item, kv_head);
    float *packed_values = packed + attn_packed_key_elems(layout->kernel, rows, layout->key_dim);

    layout->kernel->pack_keys(keys + heads_before * layout->key_dim, key_stride, rows,
                              layout->key_dim, packed);
    for (int64_t row = 0; row < rows; row++)
        memcpy(packed_values + row * layout->value_dim,
               values + row * value_stride + heads_before * layout->value_dim,
               (size_t)layout->value_dim * sizeof(float));
}

void attn_kv_shard_pack(const attn_kv_layout *layout, const attn_kv_shard *shard, const float *keys,
                        const float *values, int threads) {
    int64_t heads = layout->batch * layout->kv_heads;

    if (attn_range_count(shard->rows) == 0) return;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t head = 0; head < heads; head++)
        pack_head(layout, shard, keys, values, head / layout->kv_heads, head % layout->kv_heads);
}
