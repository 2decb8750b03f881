#include "circulate.h"

#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "simulate.h"

static const attn_circulation *const circulations[] = {
    &attn_circulate_ring,
    &attn_circulate_gather,
    &attn_circulate_reduce,
};

enum { CIRCULATIONS = sizeof circulations / sizeof *circulations };

const char *attn_circulation_name(int index) {
    return index >= 0 && index < (int)CIRCULATIONS ? circulations[index]->name : NULL;
}

const attn_circulation *attn_circulation_find(const char *name) {
    for (size_t i = 0; i < CIRCULATIONS; i++)
        if (strcmp(circulations[i]->name, name) == 0) return circulations[i];
    return NULL;
}

const char *attn_circulation_refuses(const attn_problem *problem, const char *name) {
    const attn_circulation *circulation = attn_circulation_find(name);

    if (circulation != NULL && circulation->moves_queries && problem->terms.bias_heads > 0)
        return "moves queries, but not their biases; take ring or gather";
    return NULL;
}

attn_status attn_circulate_slice(attn_circulate *circulate, int64_t slice_count,
                                 attn_error *error) {
    int64_t shards = circulate->shard_count;

    free(circulate->slices);
    circulate->slices = attn_alloc((size_t)(shards * slice_count), sizeof *circulate->slices);
    if (circulate->slices == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the circulation");
    circulate->slice_count = slice_count;
    circulate->own = circulate->slices + circulate->shard * slice_count;
    for (int64_t i = 0; i < shards * slice_count; i++)
        circulate->slices[i] =
            attn_kv_shard_of(circulate->kv, i / slice_count, slice_count, i % slice_count);
    return attn_ok(error);
}

const attn_kv_shard *attn_circulate_slice_of(const attn_circulate *circulate, int64_t shard,
                                             int64_t slice) {
    return &circulate->slices[shard * circulate->slice_count + slice];
}

int attn_circulate_needs(const attn_circulate *circulate, int64_t by, const attn_kv_shard *slice) {
    for (int64_t run = 0; run < attn_layout_run_count(circulate->kv->rows, slice->shard); run++) {
        int64_t place;
        attn_range blocks = attn_kv_shard_run(circulate->kv, slice, run, &place);

        if (attn_range_count(blocks) > 0 && attn_reach_overlaps(circulate->reach, by, blocks))
            return 1;
    }
    return 0;
}

/* Whether one of the node's ranks needs what another has, or two need the same. */
static int saves(const attn_circulate *circulate, attn_range ranks) {
    for (int64_t k = 0; k < circulate->shard_count; k++) {
        attn_kv_shard whole = attn_kv_shard_of(circulate->kv, k, 1, 0);
        int count = k >= ranks.first && k < ranks.last;

        for (int64_t by = ranks.first; by < ranks.last && count < 2; by++)
            count += by != k && attn_circulate_needs(circulate, by, &whole);
        if (count >= 2) return 1;
    }
    return 0;
}

/* Whether the memory that windows may take has room for all shards of every axis with ranks on
 * this node. Collective on mesh->node. */
static int has_room(const attn_circulate *circulate, const attn_mesh *mesh, attn_range ranks) {
    double mine = 0, sum;
    int64_t space = attn_node_share_space();

    for (int64_t k = 0; k < circulate->shard_count; k++)
        mine += (double)attn_kv_shard_of(circulate->kv, k, 1, 0).bytes;
    mine /= (double)attn_range_count(ranks);
    ATTN_MPI(MPI_Allreduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, mesh->node));
    return space < 0 || mesh->imagined_node_ranks > 0 || sum <= (double)space;
}

/* Makes what the ranks of each node share, but for the memory; false, and nothing, when MPI makes
 * no windows on some node. Collective on mesh->world. */
static int begin_to_share(attn_circulate *circulate, const attn_mesh *mesh, attn_range ranks) {
    int mine, all;

    if (mesh->imagined_node_ranks > 0) {
        attn_node_share_imagine(&circulate->share, (int)ranks.first, (int)ranks.last,
                                circulate->shard);
        return 1;
    }
    mine = attn_node_share_create(&circulate->share, circulate->axis, (int)ranks.first,
                                  (int)ranks.last, circulate->shard);
    ATTN_MPI(MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, mesh->world));
    if (all) return 1;
    attn_node_share_destroy(&circulate->share);
    attn_node_share_alone(&circulate->share, circulate->shard);
    return 0;
}

attn_status attn_circulate_share(attn_circulate *circulate, attn_share_nodes wanted,
                                 attn_error *error) {
    const attn_mesh *mesh = circulate->mesh;
    attn_range ranks = attn_mesh_near_shards(mesh);
    enum { NEIGHBOURS, SAVES, HAS_NO_ROOM, SAYS };
    int most[SAYS] = {(int)attn_range_count(ranks), saves(circulate, ranks),
                      !has_room(circulate, mesh, ranks)};
    const char *reason = "";
    int is_possible = circulate->circulation->shares; /* whatever the machine is like */

    attn_node_share_alone(&circulate->share, circulate->shard);
    circulate->share_ranks = 1;
    ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, most, SAYS, MPI_INT, MPI_MAX, mesh->world));
    is_possible = is_possible && most[NEIGHBOURS] > 1;
    if (wanted == ATTN_SHARE_NEVER)
        reason = "share_nodes is false";
    else if (!circulate->circulation->shares)
        reason = "only gather shares";
    else if (most[NEIGHBOURS] < 2)
        reason = "no node has two ranks with the same heads";
    else if (wanted == ATTN_SHARE_AUTO && !most[SAVES])
        reason = "no node needs anything twice";
    else if (most[HAS_NO_ROOM])
        reason = "/dev/shm has no room";
    else if (!begin_to_share(circulate, mesh, ranks))
        reason = "this MPI makes no shared-memory windows";
    else
        circulate->share_ranks = most[NEIGHBOURS];
    circulate->share_reason = reason;
    if (wanted != ATTN_SHARE_ALWAYS || circulate->share_ranks > 1) return attn_ok(error);
    return attn_fail(error, is_possible ? ATTN_ERR_MACHINE : ATTN_ERR_CONFIG,
                     "share_nodes: the ranks of a node cannot share keys and values: %s; leave it "
                     "auto, or take it out",
                     reason);
}

attn_status attn_circulate_plan(attn_circulate *circulate, attn_buffers *buffers,
                                attn_error *error) {
    int64_t pieces = 0;

    if (circulate->circulation->plan(circulate, buffers, &pieces, error) != ATTN_OK)
        return error->status;
    if (!ATTN_SIMULATED &&
        attn_arrivals_place(&circulate->arrivals, circulate->kv, error) != ATTN_OK)
        return error->status;
    /* In each step, and before the first one, no more messages than are in flight at once, and a
     * wait for them and for each signal. */
    attn_trace_expect(circulate->attend->trace,
                      attn_elems(circulate->arrivals.steps + 1, pieces + 1 + ATTN_SHARE_SIGNALS, 1),
                      0, 0);
    return attn_transfer_create(&circulate->transfer, circulate->axis, pieces, error);
}

void attn_circulate_sends(const attn_circulate *circulate, attn_send_visit *visit, void *context) {
    circulate->circulation->sends(circulate, visit, context);
}

attn_status attn_circulate_allocate(attn_circulate *circulate, attn_error *error) {
    return attn_node_share_allocate(&circulate->share, error);
}

void attn_circulate_wait_node(attn_circulate *circulate, attn_share_signal signal) {
    attn_trace_lane *lane = attn_trace_lane_of(circulate->attend->trace, ATTN_LANE_PHASES);
    int64_t start_ns;

    if (attn_node_share_is_there(&circulate->share, signal)) return;
    start_ns = attn_trace_start(lane);
    attn_node_share_wait(&circulate->share, signal);
    attn_trace_end(lane, ATTN_EVENT_wait_node, start_ns, signal, 0, 0);
}

void attn_circulate_own(attn_circulate *circulate) {
    char *data = circulate->circulation->shares
                     ? attn_node_share_part(&circulate->share, circulate->shard, 0)
                     : circulate->blocks[0];

    attn_circulate_wait_node(circulate, ATTN_SHARE_LEFT);
    for (int64_t i = 0; i < circulate->slice_count; i++) {
        circulate->own[i].data = data;
        data += circulate->own[i].bytes;
    }
}

void attn_circulate_execute(attn_circulate *circulate, attn_attend *attend, const void *query,
                            float *out) {
    circulate->circulation->execute(circulate, attend, query, out);
}

void attn_circulate_destroy(attn_circulate *circulate) {
    if (circulate->state != NULL) circulate->circulation->destroy(circulate);
    attn_transfer_destroy(&circulate->transfer);
    attn_node_share_destroy(&circulate->share);
    free(circulate->hops);
    attn_arrivals_destroy(&circulate->arrivals);
    free(circulate->slices);
    *circulate = (attn_circulate){0};
}
