/* Gather circulation: every shard sends its keys and values to all others that need them (context
 * parallelism of Llama 3, Dubey et al. 2024), in G slices.
 *
 *   0. start receiving slice 0 of all others; attend to the own shard;
 *   t. for t = 1 … G: wait for slices t − 1, start with slices t into the other buffer, attend
 *      to slices t − 1, polling the transfer between tiles.
 *
 * A slice goes to those shards that have a query which sees a key of it, and to no other.
 *
 * Where the ranks of a node share (node_share.h), they have one copy of everything, in memory of
 * theirs that all of them read: own shards are packed there, and a node's other shards, at hand
 * in step 1, are no messages; a slice of another node that somebody here needs comes once, to one
 * of them (gather_deal.h). So slices t arrive in two parts more:
 *
 *   a. wait until all here have left slices t − 2, whose buffer it is; receive the own deal;
 *   b. tell that it is there; wait until all have told.
 *
 * Both go on between tiles while step t is computed, and are waited for at its end: ranks of a node
 * are as near to each other as a gather's ranks are anyway, one step apart. Without sharing a
 * rank is a node of its own here, and nobody waits.
 *
 * G trades two kinds of memory: two buffers for slices of all shards, 2 / G of all K and V (one
 * buffer for G = 1), and partials that wait while runs of blocks are incomplete. These are few
 * where slices of all shards make up one run, as in striped and zigzag layouts, and small where
 * queries are few; but up to P_s log2(G) times the shard's output where slices are apart. Of
 * G = 1, 2, 4, …, one block at least, the one that takes the least on the worst rank; of equals
 * the largest. With the whole axis on one node there are no buffers, and G = 1.
 *
 * Restrictions: none; shards may be uneven or empty.
 * Cost per rank, on an axis over M nodes that share, or M = P_s ranks that do not: for every other
 * node and each of the own G slices with rows, one message of that slice if it is needed there:
 * without a mask (M − 1) G messages, M − 1 times the own shard's bytes. Memory: the own shard,
 * this rank's deal of the buffers (all of them if it shares with nobody), and what waits. Transfer
 * and compute of a step overlap.
 */
#include <stdlib.h>

#include "circulate.h"
#include "gather_deal.h"
#include "memory.h"

/* What slices on their way wait for; with nobody to share with, none waits. */
typedef enum gather_stage {
    LEAVING,   /* those here to leave what was in the buffer before */
    RECEIVING, /* the own deal */
    TELLING,   /* the others' deals */
    AT_HAND
} gather_stage;

typedef struct attn_gather {
    attn_gather_deal deal; /* owned; the first, see deal_of */
    int64_t slice;         /* those on their way, and what they wait for */
    gather_stage stage;
} attn_gather;

static attn_gather_deal *deal_of(const attn_circulate *circulate) {
    return circulate->state;
}

static int64_t step_of_slice(int64_t slice) {
    return slice + 1;
}

/* Of the parts of share; 0 is the own shard. */
static int buffer_of(int64_t slice) {
    return 1 + (int)(slice % ATTN_GATHER_BUFFERS);
}

static int is_here(const attn_circulate *circulate, int64_t shard) {
    return shard >= circulate->share.first && shard < circulate->share.last;
}

/* Whether all shards are on this node. */
static int are_all_here(const attn_circulate *circulate) {
    return circulate->share.last - circulate->share.first == circulate->shard_count;
}

static void add_needed(attn_circulate *circulate, int64_t shard, int64_t slice, int64_t *count) {
    const attn_kv_shard *kv = attn_circulate_slice_of(circulate, shard, slice);

    if (shard != circulate->shard && attn_circulate_needs(circulate, circulate->shard, kv))
        circulate->arrivals.pieces[(*count)++] = *kv;
}

/* All slices of the own shard; those of others on this node; those that come, slice by slice, in
 * the order of shards. */
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
    for (int k = circulate->share.first; k < circulate->share.last && arrivals->steps > 1; k++)
        for (int64_t slice = 0; slice < slices; slice++) add_needed(circulate, k, slice, &count);
    for (int64_t slice = 0; slice < arrivals->steps - 1; slice++) {
        for (int64_t k = 0; k < circulate->shard_count; k++)
            if (!is_here(circulate, k)) add_needed(circulate, k, slice, &count);
        arrivals->step_first[step_of_slice(slice) + 1] = count;
    }
    return attn_gather_deal_create(deal_of(circulate), circulate, error);
}

/* What the arrivals take here: buffers, and partials that wait. −1 without memory. */
static int64_t memory_taken(const attn_circulate *circulate) {
    const attn_kv_layout *kv = circulate->kv;
    const attn_gather_deal *deal = deal_of(circulate);
    int32_t *step_of = attn_alloc((size_t)kv->rows->block_count, sizeof *step_of);
    attn_merge_tree tree = {0};
    attn_error error;
    int64_t bytes = -1;

    if (step_of != NULL) {
        attn_arrivals_locate(&circulate->arrivals, kv, circulate->reach, circulate->shard, step_of);
        if (attn_merge_tree_create(kv->rows->block_count, step_of, circulate->arrivals.steps, &tree,
                                   &error) == ATTN_OK)
            bytes = deal->bytes[0] + deal->bytes[1] +
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
    if (are_all_here(circulate)) most = 0; /* nothing comes in slices; on one rank, or all */
    for (int64_t slices = 1; slices <= most; slices *= 2) {
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

    attn_ok(error);
    circulate->state = calloc(1, sizeof(attn_gather));
    if (circulate->state == NULL)
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
    choose_slices(circulate, error);
    if (attn_gather_deal_tell(deal_of(circulate), circulate, error) != ATTN_OK)
        return error->status;
    for (int64_t i = 0; i < circulate->slice_count; i++) {
        int64_t of_step = pieces_of(circulate, i);

        own += circulate->own[i].bytes;
        if (of_step > *pieces) *pieces = of_step;
    }
    attn_node_share_reserve(&circulate->share, buffers, 0, own);
    for (int i = 0; i < ATTN_GATHER_BUFFERS; i++)
        attn_node_share_reserve(&circulate->share, buffers, 1 + i, deal_of(circulate)->bytes[i]);
    return attn_ok(error);
}

/* Where a slice is while it is at hand. */
static char *place_of(const attn_circulate *circulate, int64_t shard, int64_t slice) {
    const attn_dealt_slice *dealt;
    int64_t before = 0;

    if (is_here(circulate, shard)) {
        for (int64_t i = 0; i < slice; i++)
            before += attn_circulate_slice_of(circulate, shard, i)->bytes;
        return attn_node_share_part(&circulate->share, shard, 0) + before;
    }
    dealt = attn_gather_deal_at(deal_of(circulate), circulate, slice, shard);
    return attn_node_share_part(&circulate->share, dealt->receiver, buffer_of(slice)) +
           dealt->offset;
}

static void place_pieces(attn_circulate *circulate) {
    attn_arrivals *arrivals = &circulate->arrivals;

    for (int32_t step = 0; step < arrivals->steps; step++)
        for (int64_t i = arrivals->step_first[step]; i < arrivals->step_first[step + 1]; i++) {
            attn_kv_shard *piece = &arrivals->pieces[i];

            piece->data = place_of(circulate, piece->shard, piece->slice);
        }
}

/* --- slices on their way ------------------------------------------------------ */

static int is_sent(const attn_circulate *circulate, int to, int64_t slice) {
    return deal_of(circulate)->sends[to * circulate->slice_count + slice];
}

/* Nearest shards first. */
static void send_slice(attn_circulate *circulate, int64_t slice) {
    const attn_kv_shard *own = &circulate->own[slice];

    circulate->transfer.cargo = (attn_cargo){ATTN_CARGO_key_values, circulate->shard, slice};
    for (int distance = 1; distance < circulate->shard_count; distance++) {
        int to = (circulate->shard + distance) % circulate->shard_count;

        if (is_sent(circulate, to, slice))
            attn_transfer_send(&circulate->transfer, own->data, own->bytes, to);
    }
}

static void receive_dealt(attn_circulate *circulate, int64_t slice) {
    for (int k = 0; k < circulate->shard_count; k++) {
        if (attn_gather_deal_at(deal_of(circulate), circulate, slice, k)->receiver !=
            circulate->shard)
            continue;
        circulate->transfer.cargo = (attn_cargo){ATTN_CARGO_key_values, k, slice};
        attn_transfer_receive(&circulate->transfer, place_of(circulate, k, slice),
                              attn_circulate_slice_of(circulate, k, slice)->bytes, k);
    }
}

/* Does what can be done now. Polled between tiles. */
static void move_on(void *context) {
    attn_circulate *circulate = context;
    attn_gather *self = circulate->state;
    attn_node_share *share = &circulate->share;

    if (self->stage == LEAVING && attn_node_share_is_there(share, ATTN_SHARE_LEFT)) {
        receive_dealt(circulate, self->slice);
        self->stage = RECEIVING;
    }
    if (self->stage == RECEIVING && circulate->transfer.count == 0) {
        attn_node_share_give(share, ATTN_SHARE_ARRIVED);
        self->stage = TELLING;
    }
    if (self->stage == TELLING && attn_node_share_is_there(share, ATTN_SHARE_ARRIVED))
        self->stage = AT_HAND;
}

/* Starts with slices number `slice`. */
static void start(attn_circulate *circulate, int64_t slice) {
    attn_gather *self = circulate->state;

    self->slice = slice;
    self->stage = LEAVING;
    if (circulate->share.is_shared) {
        attn_transfer_open(&circulate->transfer);
        circulate->transfer.on_poll = move_on;
        circulate->transfer.poll_context = circulate;
    }
    move_on(circulate);
    send_slice(circulate, slice);
}

static void wait_for(attn_circulate *circulate, attn_share_signal signal) {
    double start = MPI_Wtime();

    attn_circulate_wait_node(circulate, signal);
    circulate->transfer.wait_sec += MPI_Wtime() - start;
    move_on(circulate);
}

/* Until they are at hand. */
static void finish(attn_circulate *circulate) {
    if (!circulate->share.is_shared) {
        attn_transfer_wait(&circulate->transfer);
        return;
    }
    wait_for(circulate, ATTN_SHARE_LEFT);
    attn_transfer_wait(&circulate->transfer);
    move_on(circulate);
    wait_for(circulate, ATTN_SHARE_ARRIVED);
    circulate->transfer.on_poll = NULL;
    attn_transfer_close(&circulate->transfer);
}

static void execute(attn_circulate *circulate, attn_attend *attend, const void *query, float *out) {
    int32_t steps = circulate->arrivals.steps;

    place_pieces(circulate);
    for (int32_t step = 0; step < steps; step++) {
        if (step + 1 < steps) start(circulate, step);
        attn_attend_step(attend, step, query, out, &circulate->transfer);
        if (step + 1 < steps) finish(circulate);
        /* Told to those who wait: for slices step + 1, or at the end for another execution. */
        if ((step > 0 && step + 2 < steps) || step + 1 == steps)
            attn_node_share_give(&circulate->share, ATTN_SHARE_LEFT);
    }
}

/* To one rank of every other node that needs it. */
static void sends(const attn_circulate *circulate, attn_send_visit *visit, void *context) {
    for (int64_t slice = 0; slice < circulate->slice_count; slice++)
        for (int to = 0; to < circulate->shard_count; to++)
            if (is_sent(circulate, to, slice) && circulate->own[slice].bytes > 0)
                visit(context, to, circulate->own[slice].bytes);
}

static void destroy(attn_circulate *circulate) {
    attn_gather_deal_destroy(deal_of(circulate));
    free(circulate->state);
}

const attn_circulation attn_circulate_gather = {.name = "gather",
                                                .shares = 1,
                                                .plan = plan,
                                                .sends = sends,
                                                .execute = execute,
                                                .destroy = destroy};
