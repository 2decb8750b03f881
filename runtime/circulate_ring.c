/* Ring circulation (Liu, Zaharia & Abbeel 2023, Ring Attention).
 *
 * Step t = 0 … P_s − 1, on shard s with two buffers:
 *   1. start sending the K/V shard at hand, s − t, to shard s + 1, and receiving
 *      shard s − t − 1 from shard s − 1 into the other buffer (not in the last step);
 *   2. attend to the shard at hand, polling the transfer between tiles;
 *   3. wait for the transfer; swap the buffers.
 *
 * Restrictions: none; shards may be uneven or empty.
 * Cost per rank: P_s − 1 messages each way, one for each shard but one; memory two of the
 * largest shards. Transfer and compute of a step overlap.
 */
#include "circulate.h"

static int source_of(int shard, int shards, int step) {
    return ((shard - step) % shards + shards) % shards;
}

static void plan(attn_circulate *circulate, const attn_kv_layout *layout, attn_buffers *buffers,
                 int64_t *pieces) {
    int64_t largest = 0;

    circulate->steps = layout->shards;
    for (int step = 0; step < layout->shards; step++) {
        const attn_kv_shard *shard =
            &circulate->shards[source_of(circulate->shard, layout->shards, step)];
        circulate->arrivals[step] = shard->blocks;
        if (shard->bytes > largest) largest = shard->bytes;
    }
    attn_buffers_reserve(buffers, largest, 1, &circulate->blocks[0]);
    attn_buffers_reserve(buffers, layout->shards > 1 ? largest : 0, 1, &circulate->blocks[1]);
    *pieces = 2 * attn_transfer_pieces(largest);
}

static char *own_data(const attn_circulate *circulate) {
    return circulate->blocks[0];
}

static void execute(attn_circulate *circulate, attn_attend *attend, const void *query, float *out) {
    int shards = circulate->steps;
    int next = source_of(circulate->shard, shards, -1);
    int previous = source_of(circulate->shard, shards, 1);

    for (int step = 0; step < shards; step++) {
        attn_kv_shard *at_hand = &circulate->shards[source_of(circulate->shard, shards, step)];
        const attn_kv_shard *arriving =
            &circulate->shards[source_of(circulate->shard, shards, step + 1)];

        at_hand->data = circulate->blocks[step % 2];
        if (step + 1 < shards) {
            attn_transfer_receive(&circulate->transfer, circulate->blocks[(step + 1) % 2],
                                  arriving->bytes, previous);
            attn_transfer_send(&circulate->transfer, at_hand->data, at_hand->bytes, next);
        }
        attn_attend_step(attend, step, at_hand, query, out, &circulate->transfer);
        attn_transfer_wait(&circulate->transfer);
    }
}

const attn_circulation attn_circulate_ring = {"ring", plan, own_data, execute};
