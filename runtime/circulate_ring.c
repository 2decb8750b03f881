/* Ring circulation (Liu, Zaharia & Abbeel 2023, Ring Attention), as far as somebody needs it.
 *
 * A shard k travels up, to shards k + 1, k + 2, … (modulo P_s), up[k] hops, and down, to k − 1,
 * k − 2, …, down[k] hops: the fewest that bring it to every shard with a query that sees a key of
 * it; of equals, those with the most upwards. So everything without a mask goes P_s − 1 hops up;
 * under a causal mask and a contiguous layout shard k goes P_s − 1 − k hops up, half of all;
 * within a window on both sides it goes up and down to the neighbours alone.
 *
 * Let U and D be the largest of up and down. Steps t = 0 … U + D, on shard s:
 *   1. start receiving what comes in step t + 1, and sending what goes on in it:
 *      before step t <= U, shard s − t from shard s − 1 if up[s − t] >= t; before step
 *      U + t, shard s + t from shard s + 1 if down[s + t] >= t. The first of either is the own one;
 *   2. attend to the shard at hand, polling the transfer between tiles: only to blocks that a
 *      query sees, so that a shard at hand to be sent on alone costs nothing;
 *   3. wait for the transfer.
 *
 * The ranks of a node do not share memory, as those of a gather do (node_share.h): each has another
 * shard at hand, and a shard comes over the network once per node either way. Sharing would save
 * the copies inside a node, and make its ranks wait for each other at every hop.
 *
 * Restrictions: none; shards may be uneven or empty.
 * Cost: sum over k of up[k] + down[k] messages on the axis (of shards with rows), each of its
 * shard; without a mask P_s − 1 each way on every rank. Memory two of the largest shards that come
 * by, three where D > 0: the own one then is sent twice. Transfer and compute of a step overlap.
 */
#include <stdlib.h>

#include "circulate.h"
#include "memory.h"

static int modulo(int shard, int shards) {
    return (shard % shards + shards) % shards;
}

static const attn_kv_shard *shard_of(const attn_circulate *circulate, int shard) {
    return attn_circulate_slice_of(circulate, modulo(shard, circulate->shard_count), 0);
}

/* Hops of shard k up and down, in hops[2k] and hops[2k + 1]; behind those of all, the largest. */
static int hops_of(const attn_circulate *circulate, int shard, int is_down) {
    return circulate->hops[2 * modulo(shard, circulate->shard_count) + is_down];
}

static int largest(const attn_circulate *circulate, int is_down) {
    return circulate->hops[2 * circulate->shard_count + is_down];
}

/* Shards from 0 on with queries that see something, when all others have none; −1 otherwise. */
static int find_crowd(const attn_circulate *circulate) {
    const int64_t *first_span = circulate->reach->first_span;
    int shards = circulate->shard_count, crowd = 0;

    while (crowd < shards && first_span[crowd] < first_span[crowd + 1]) crowd++;
    return first_span[crowd] == first_span[shards] ? crowd : -1;
}

static int is_common(const attn_circulate *circulate, const attn_kv_shard *kv) {
    const attn_layout *rows = circulate->kv->rows;
    attn_range common = circulate->reach->common;

    for (int64_t run = 0; run < attn_layout_run_count(rows, kv->shard); run++) {
        attn_range blocks = attn_layout_run(rows, kv->shard, run);

        if (blocks.first < common.last && common.first < blocks.last) return 1;
    }
    return 0;
}

/* What all of a crowd of shards see goes to all of them: the way around that leaves out those
 * behind the crowd, if there are some. Spares each shard a walk, which many shards need. */
static int find_hops_of_crowd(const attn_circulate *circulate, int shard, int crowd, int *up,
                              int *down) {
    int shards = circulate->shard_count;

    if (shard >= crowd || !is_common(circulate, shard_of(circulate, shard))) return 0;
    *up = crowd == shards ? shards - 1 : crowd - 1 - shard;
    *down = crowd == shards ? 0 : shard;
    return 1;
}

/* Walks up from the shard: with the shards that need it within `up` hops upwards reached like that,
 * the others are `down` hops downwards. The best `up` is the distance of one of those. */
static void find_hops(const attn_circulate *circulate, int shard, int *up, int *down) {
    const attn_kv_shard *kv = shard_of(circulate, shard);
    int shards = circulate->shard_count, reached = 0, best = -1;

    for (int hop = 1; hop <= shards; hop++) {
        int is_end = hop == shards;
        int others = is_end ? 0 : shards - hop; /* down to this one, if all before go up */

        if (!is_end && !attn_circulate_needs(circulate, modulo(shard + hop, shards), kv)) continue;
        if (best < 0 || reached + others <= best) {
            best = reached + others;
            *up = reached;
            *down = others;
        }
        reached = hop;
    }
}

/* Where a step is in its direction: `distance` hops; 0 is the own shard. */
typedef struct ring_step {
    int is_down, distance;
} ring_step;

static ring_step step_at(const attn_circulate *circulate, int step) {
    int up = largest(circulate, 0);

    return step <= up ? (ring_step){0, step} : (ring_step){1, step - up};
}

/* The shard that comes to this rank in a step, and the one that it sends on then. */
static int coming(const attn_circulate *circulate, ring_step at) {
    return circulate->shard + (at.is_down ? at.distance : -at.distance);
}

static int going(const attn_circulate *circulate, ring_step at) {
    return coming(circulate, (ring_step){at.is_down, at.distance - 1});
}

static int travels(const attn_circulate *circulate, int shard, ring_step at) {
    return hops_of(circulate, shard, at.is_down) >= at.distance;
}

/* Of blocks[]: the own shard's is 0; it is free for others when it is sent but once. */
static int buffer_of(const attn_circulate *circulate, int step) {
    if (largest(circulate, 1) == 0) return step % 2;
    return step == 0 ? 0 : 1 + step % 2;
}

static void reserve(attn_circulate *circulate, attn_buffers *buffers) {
    int64_t bytes[3] = {0};

    for (int step = 0; step < circulate->arrivals.steps; step++)
        for (int64_t i = circulate->arrivals.step_first[step];
             i < circulate->arrivals.step_first[step + 1]; i++) {
            int64_t *most = &bytes[buffer_of(circulate, step)];
            if (circulate->arrivals.pieces[i].bytes > *most)
                *most = circulate->arrivals.pieces[i].bytes;
        }
    for (int i = 0; i < 3; i++) attn_buffers_reserve(buffers, bytes[i], 1, &circulate->blocks[i]);
}

static attn_status plan(attn_circulate *circulate, attn_buffers *buffers, int64_t *pieces,
                        attn_error *error) {
    int shards = circulate->shard_count, crowd;
    attn_arrivals *arrivals = &circulate->arrivals;
    int64_t count = 0;
    int *most;

    circulate->hops = attn_alloc((size_t)shards + 1, 2 * sizeof *circulate->hops);
    if (circulate->hops == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
    if (attn_circulate_slice(circulate, 1, error) != ATTN_OK ||
        attn_arrivals_create(arrivals, 2 * (int64_t)shards, 2 * (int64_t)shards, error) != ATTN_OK)
        return error->status;
    most = circulate->hops + 2 * (int64_t)shards;
    most[0] = most[1] = 0;
    crowd = find_crowd(circulate);
    for (int k = 0; k < shards; k++) {
        int *of_shard = circulate->hops + 2 * (int64_t)k;

        if (!find_hops_of_crowd(circulate, k, crowd, &of_shard[0], &of_shard[1]))
            find_hops(circulate, k, &of_shard[0], &of_shard[1]);
        for (int is_down = 0; is_down < 2; is_down++)
            if (of_shard[is_down] > most[is_down]) most[is_down] = of_shard[is_down];
    }
    arrivals->steps = 1 + largest(circulate, 0) + largest(circulate, 1);
    for (int step = 0; step < arrivals->steps; step++) {
        ring_step at = step_at(circulate, step);

        if (travels(circulate, coming(circulate, at), at))
            arrivals->pieces[count++] = *shard_of(circulate, coming(circulate, at));
        arrivals->step_first[step + 1] = count;
    }
    reserve(circulate, buffers);
    for (int k = 0; k < shards; k++) {
        int64_t of_shard = 2 * attn_transfer_pieces(shard_of(circulate, k)->bytes);
        if (of_shard > *pieces) *pieces = of_shard;
    }
    return attn_ok(error);
}

static attn_cargo cargo_of(const attn_circulate *circulate, int shard) {
    return (attn_cargo){ATTN_CARGO_key_values, modulo(shard, circulate->shard_count), 0};
}

/* Starts what brings step `step` about. */
static void start(attn_circulate *circulate, int step) {
    ring_step at = step_at(circulate, step);
    int shards = circulate->shard_count, side = at.is_down ? -1 : 1;
    int from = step == 0 || at.distance == 1 ? 0 : step - 1; /* the step that brought `going` */

    circulate->transfer.cargo = cargo_of(circulate, coming(circulate, at));
    if (travels(circulate, coming(circulate, at), at))
        attn_transfer_receive(&circulate->transfer, circulate->blocks[buffer_of(circulate, step)],
                              shard_of(circulate, coming(circulate, at))->bytes,
                              modulo(circulate->shard - side, shards));
    circulate->transfer.cargo = cargo_of(circulate, going(circulate, at));
    if (travels(circulate, going(circulate, at), at))
        attn_transfer_send(&circulate->transfer, circulate->blocks[buffer_of(circulate, from)],
                           shard_of(circulate, going(circulate, at))->bytes,
                           modulo(circulate->shard + side, shards));
}

static void sends(const attn_circulate *circulate, attn_send_visit *visit, void *context) {
    for (int step = 1; step < circulate->arrivals.steps; step++) {
        ring_step at = step_at(circulate, step);
        int64_t bytes = shard_of(circulate, going(circulate, at))->bytes;
        int side = at.is_down ? -1 : 1;

        if (bytes > 0 && travels(circulate, going(circulate, at), at))
            visit(context, modulo(circulate->shard + side, circulate->shard_count), bytes);
    }
}

static void execute(attn_circulate *circulate, attn_attend *attend, const void *query, float *out) {
    attn_arrivals *arrivals = &circulate->arrivals;

    for (int step = 0; step < arrivals->steps; step++) {
        for (int64_t i = arrivals->step_first[step]; i < arrivals->step_first[step + 1]; i++)
            arrivals->pieces[i].data = circulate->blocks[buffer_of(circulate, step)];
        if (step + 1 < arrivals->steps) start(circulate, step + 1);
        attn_attend_step(attend, step, query, out, &circulate->transfer);
        attn_transfer_wait(&circulate->transfer);
    }
}

const attn_circulation attn_circulate_ring = {
    .name = "ring", .plan = plan, .sends = sends, .execute = execute};
