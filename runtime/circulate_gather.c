/* Gather circulation: every shard sends its keys and values to all others that need them (context
 * parallelism of Llama 3, Dubey et al. 2024), in G slices.
 *
 *   0. start receiving slice 0 of all others; attend to the own shard;
 *   t. for t = 1 … G: wait for slices t − 1, start with slices t into the other buffer, attend
 *      to slices t − 1, polling the transfer between tiles.
 *
 * A slice goes to those shards that have a query which sees a key of it, and to no other.
 *
 * G trades two kinds of memory: two buffers for slices of all shards, 2 / G of all K and V (one
 * buffer for G = 1), and partials that wait while runs of blocks are incomplete. These are few
 * where slices of all shards make up one run, as in striped and zigzag layouts, and small where
 * queries are few; but up to P_s log2(G) times the shard's output where slices are apart. Of
 * G = 1, 2, 4, …, one block at least, the one that takes the least on the worst rank, with partials
 * counted for all its queries; of equals the largest.
 *
 * Restrictions: none; shards may be uneven or empty.
 * Cost per rank: for every other shard and each of the own G slices with rows, one message of that
 * slice if it is needed there: without a mask (P_s − 1) G messages, P_s − 1 times the own shard's
 * bytes. Memory: the own shard, the buffers, and what waits. Transfer and compute of a step
 * overlap.
 */
#include <stdlib.h>

#include "circulate.h"
#include "memory.h"

static int64_t step_of_slice(int64_t slice) {
    return slice + 1;
}

static int buffer_of(int64_t slice) {
    return 1 + (int)(slice % 2);
}

/* All slices of the own shard, then those that come, slice by slice, in the order of shards. */
static attn_status plan_arrivals(attn_circulate *circulate, attn_error *error) {
    attn_arrivals *arrivals = &circulate->arrivals;
    int64_t slices = circulate->slice_count, count = 0;

    attn_arrivals_destroy(arrivals);
    if (attn_arrivals_create(arrivals, 1 + slices, circulate->shard_count * slices, error) !=
        ATTN_OK)
        return error->status;
    arrivals->steps = (int32_t)(circulate->shard_count > 1 ? 1 + slices : 1);
    for (; count < slices; count++) arrivals->pieces[count] = circulate->own[count];
    arrivals->step_first[1] = count;
    for (int64_t slice = 0; slice < arrivals->steps - 1; slice++) {
        for (int64_t k = 0; k < circulate->shard_count; k++) {
            const attn_kv_shard *kv = attn_circulate_slice_of(circulate, k, slice);

            if (k != circulate->shard && attn_circulate_needs(circulate, circulate->shard, kv))
                arrivals->pieces[count++] = *kv;
        }
        arrivals->step_first[step_of_slice(slice) + 1] = count;
    }
    return attn_ok(error);
}

/* The most that slices of one step take, among those of one buffer. */
static int64_t buffer_bytes(const attn_circulate *circulate, int buffer) {
    const attn_arrivals *arrivals = &circulate->arrivals;
    int64_t most = 0;

    for (int32_t step = 1; step < arrivals->steps; step++) {
        int64_t bytes = 0;

        if (buffer_of(step - 1) != buffer) continue;
        for (int64_t i = arrivals->step_first[step]; i < arrivals->step_first[step + 1]; i++)
            bytes += arrivals->pieces[i].bytes;
        if (bytes > most) most = bytes;
    }
    return most;
}

/* What the arrivals take here: buffers, and partials that wait. −1 without memory. */
static int64_t memory_taken(const attn_circulate *circulate) {
    const attn_kv_layout *kv = circulate->kv;
    int32_t *step_of = attn_alloc((size_t)kv->rows->block_count, sizeof *step_of);
    attn_merge_tree tree = {0};
    attn_error error;
    int64_t bytes = -1;

    if (step_of != NULL) {
        attn_arrivals_locate(&circulate->arrivals, kv, circulate->reach, circulate->shard, step_of,
                             NULL);
        if (attn_merge_tree_create(kv->rows->block_count, step_of, circulate->arrivals.steps, &tree,
                                   &error) == ATTN_OK)
            bytes = buffer_bytes(circulate, 1) + buffer_bytes(circulate, 2) +
                    attn_elems(tree.kept_slots, circulate->partial_bytes, 1);
    }
    attn_merge_tree_destroy(&tree);
    free(step_of);
    return bytes;
}

/* The memory of the worst rank with that many slices, INT64_MAX when some rank has failed.
 * Collective on the axis. */
static int64_t worst_memory(attn_circulate *circulate, int64_t slices, attn_error *error) {
    int64_t mine = INT64_MAX, worst;

    if (error->status == ATTN_OK && attn_circulate_slice(circulate, slices, error) == ATTN_OK &&
        plan_arrivals(circulate, error) == ATTN_OK) {
        mine = memory_taken(circulate);
        if (mine < 0) {
            attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
            mine = INT64_MAX;
        }
    }
    ATTN_MPI(MPI_Allreduce(&mine, &worst, 1, MPI_INT64_T, MPI_MAX, circulate->axis));
    return worst;
}

static attn_status choose_slices(attn_circulate *circulate, attn_error *error) {
    int64_t most = 1, best = 1, least = INT64_MAX;

    for (int64_t k = 0; k < circulate->shard_count; k++) {
        int64_t blocks = attn_layout_blocks(circulate->kv->rows, k);
        if (blocks > most) most = blocks;
    }
    attn_ok(error);
    for (int64_t slices = 1; slices <= most && circulate->shard_count > 1; slices *= 2) {
        int64_t worst = worst_memory(circulate, slices, error);

        if (worst > least || worst == INT64_MAX) continue;
        least = worst;
        best = slices;
    }
    if (error->status != ATTN_OK || attn_circulate_slice(circulate, best, error) != ATTN_OK)
        return error->status;
    return plan_arrivals(circulate, error);
}

/* Message pieces of one step, both ways. */
static int64_t pieces_of(const attn_circulate *circulate, int64_t slice) {
    int64_t pieces = 0;

    for (int64_t k = 0; k < circulate->shard_count; k++)
        pieces += attn_transfer_pieces(attn_circulate_slice_of(circulate, k, slice)->bytes) +
                  attn_transfer_pieces(circulate->own[slice].bytes);
    return pieces;
}

static attn_status plan(attn_circulate *circulate, attn_buffers *buffers, int64_t *pieces,
                        attn_error *error) {
    int64_t own = 0;

    if (choose_slices(circulate, error) != ATTN_OK) return error->status;
    for (int64_t i = 0; i < circulate->slice_count; i++) {
        int64_t of_step = pieces_of(circulate, i);

        own += circulate->own[i].bytes;
        if (of_step > *pieces) *pieces = of_step;
    }
    attn_buffers_reserve(buffers, own, 1, &circulate->blocks[0]);
    for (int i = 1; i <= 2; i++)
        attn_buffers_reserve(buffers, buffer_bytes(circulate, i), 1, &circulate->blocks[i]);
    return attn_ok(error);
}

/* Starts receiving and sending slices number `slice`, nearest shards first. */
static void start(attn_circulate *circulate, int64_t slice) {
    attn_arrivals *arrivals = &circulate->arrivals;
    int64_t step = step_of_slice(slice);
    int shards = circulate->shard_count;
    char *data = circulate->blocks[buffer_of(slice)];

    for (int64_t i = arrivals->step_first[step]; i < arrivals->step_first[step + 1]; i++) {
        attn_kv_shard *piece = &arrivals->pieces[i];

        piece->data = data;
        data += piece->bytes;
        attn_transfer_receive(&circulate->transfer, piece->data, piece->bytes, (int)piece->shard);
    }
    for (int distance = 1; distance < shards; distance++) {
        int to = (circulate->shard + distance) % shards;
        const attn_kv_shard *own = &circulate->own[slice];

        if (attn_circulate_needs(circulate, to, own))
            attn_transfer_send(&circulate->transfer, own->data, own->bytes, to);
    }
}

/* Every slice of the own shard to all that need it. */
static void sends(const attn_circulate *circulate, attn_send_visit *visit, void *context) {
    for (int64_t slice = 0; slice < circulate->slice_count; slice++) {
        const attn_kv_shard *own = &circulate->own[slice];

        for (int to = 0; to < circulate->shard_count && own->bytes > 0; to++)
            if (to != circulate->shard && attn_circulate_needs(circulate, to, own))
                visit(context, to, own->bytes);
    }
}

static void execute(attn_circulate *circulate, attn_attend *attend, const void *query, float *out) {
    attn_arrivals *arrivals = &circulate->arrivals;

    for (int64_t i = 0; i < circulate->slice_count; i++)
        arrivals->pieces[i].data = circulate->own[i].data;
    for (int32_t step = 0; step < arrivals->steps; step++) {
        if (step + 1 < arrivals->steps) start(circulate, step);
        attn_attend_step(attend, step, query, out, &circulate->transfer);
        attn_transfer_wait(&circulate->transfer);
    }
}

const attn_circulation attn_circulate_gather = {
    .name = "gather", .plan = plan, .sends = sends, .execute = execute};
