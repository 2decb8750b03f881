/* Gather circulation: all K/V shards of the axis come together first (context
 * parallelism of Llama 3, Dubey et al. 2024).
 *
 *   1. send the own K/V shard to every other shard, receive theirs;
 *   2. attend to all of them in one step.
 *
 * Restrictions: none; shards may be uneven or empty.
 * Cost per rank: P_s − 1 messages each way, the own shard each time; memory of all shards
 * of this member's kv heads. No partial is kept between steps, and nothing overlaps.
 */
#include "circulate.h"

static void plan(attn_circulate *circulate, const attn_kv_layout *layout, attn_buffers *buffers,
                 int64_t *pieces) {
    int64_t bytes = 0;

    circulate->steps = 1;
    circulate->arrivals[0] = (attn_range){0, attn_block_count(layout->length)};
    for (int i = 0; i < layout->shards; i++) {
        bytes += circulate->shards[i].bytes;
        *pieces += attn_transfer_pieces(circulate->shards[i].bytes) +
                   attn_transfer_pieces(circulate->shards[circulate->shard].bytes);
    }
    attn_buffers_reserve(buffers, bytes, 1, &circulate->blocks[0]);
}

/* Shards lie one behind the other in blocks[0]. */
static char *data_of(const attn_circulate *circulate, int shard) {
    char *data = circulate->blocks[0];

    for (int i = 0; i < shard; i++) data += circulate->shards[i].bytes;
    return data;
}

static char *own_data(const attn_circulate *circulate) {
    return data_of(circulate, circulate->shard);
}

static void execute(attn_circulate *circulate, attn_attend *attend, const void *query, float *out) {
    int shards = attend->kv.shards;
    const attn_kv_shard *own = &circulate->shards[circulate->shard];

    for (int i = 0; i < shards; i++) circulate->shards[i].data = data_of(circulate, i);
    for (int distance = 1; distance < shards; distance++) {
        int above = (circulate->shard + distance) % shards;
        int below = (circulate->shard - distance + shards) % shards;

        attn_transfer_receive(&circulate->transfer, circulate->shards[below].data,
                              circulate->shards[below].bytes, below);
        attn_transfer_send(&circulate->transfer, own->data, own->bytes, above);
    }
    attn_transfer_wait(&circulate->transfer);
    attn_attend_step(attend, 0, circulate->shards, query, out, NULL);
}

const attn_circulation attn_circulate_gather = {"gather", plan, own_data, execute};
