#include "tiling.h"

#include <stdlib.h>

#include "memory.h"

/* Cuts the heads into runs that share a kv head and are at most `most` long. */
static int64_t cut_stacks(attn_range heads, int64_t queries_per_kv, int64_t most,
                          attn_head_stack *stacks) {
    int64_t first_kv = heads.first / queries_per_kv;
    int64_t count = 0;

    for (int64_t head = heads.first; head < heads.last;) {
        int64_t kv_head = head / queries_per_kv;
        int64_t last = (kv_head + 1) * queries_per_kv;

        if (last > heads.last) last = heads.last;
        if (last > head + most) last = head + most;
        stacks[count++] = (attn_head_stack){head - heads.first, last - head, kv_head - first_kv};
        head = last;
    }
    return count;
}

attn_status attn_tiling_create(attn_tiling *tiling, int64_t batch, attn_range heads,
                               int64_t queries_per_kv, int64_t length, int64_t shard_rows,
                               int32_t kernel_rows, attn_error *error) {
    int64_t most = length < kernel_rows ? kernel_rows / length : 1;

    *tiling = (attn_tiling){.batch = batch, .rows = shard_rows};
    tiling->stacks = attn_alloc((size_t)attn_range_count(heads), sizeof *tiling->stacks);
    if (tiling->stacks == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the tiles");
    tiling->stack_count = cut_stacks(heads, queries_per_kv, most, tiling->stacks);
    tiling->tile_rows = most > 1 ? (int32_t)length : kernel_rows;
    for (int64_t i = 0; i < tiling->stack_count; i++) {
        int64_t rows = shard_rows < tiling->tile_rows ? shard_rows : tiling->tile_rows;

        rows *= tiling->stacks[i].heads;
        if (rows > tiling->most_rows) tiling->most_rows = (int32_t)rows;
    }
    tiling->along = (shard_rows + tiling->tile_rows - 1) / tiling->tile_rows;
    tiling->count = batch * tiling->stack_count * tiling->along;
    return attn_ok(error);
}

attn_tile attn_tiling_tile(const attn_tiling *tiling, int64_t number) {
    int64_t along = tiling->along - 1 - number % tiling->along;
    int64_t stack = number / tiling->along % tiling->stack_count;
    attn_tile tile;

    tile.item = number / tiling->along / tiling->stack_count;
    tile.stack = &tiling->stacks[stack];
    tile.index = (tile.item * tiling->stack_count + stack) * tiling->along + along;
    tile.first_row = along * tiling->tile_rows;
    tile.rows =
        (int32_t)(tiling->rows - tile.first_row < tiling->tile_rows ? tiling->rows - tile.first_row
                                                                    : tiling->tile_rows);
    tile.kernel_rows = (int32_t)(tile.rows * tile.stack->heads);
    return tile;
}

void attn_tiling_destroy(attn_tiling *tiling) {
    free(tiling->stacks);
    *tiling = (attn_tiling){0};
}
