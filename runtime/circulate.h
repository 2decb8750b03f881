/* circulate.h: how K/V shards meet Q shards along the sequence axis.
 *
 * A circulation is a row of one table and a file of its own. Planning says which
 * slices of shards each step has at hand (arrivals.h; attend.h follows that), and reserves
 * memory; execution moves the shards and runs the steps. Or the queries move, and what a rank has
 * at hand is its own shard (circulate_reduce.c). What no query needs does not travel (reach.h), and
 * all ranks plan the same messages. All ranks of an axis execute together.
 */
#ifndef ATTN_RUNTIME_CIRCULATE_H
#define ATTN_RUNTIME_CIRCULATE_H

#include "arrivals.h"
#include "attend.h"
#include "buffers.h"
#include "kv_shard.h"
#include "mesh.h"
#include "node_share.h"
#include "reach.h"
#include "transfer.h"

typedef struct attn_circulation attn_circulation;

typedef struct attn_circulate {
    const attn_circulation *circulation;
    const attn_kv_layout *kv;        /* borrowed */
    const attn_layout *query_layout; /* borrowed */
    const attn_reach *reach;         /* borrowed */
    const attn_attend *attend;       /* borrowed: what attention is; planned only if keys move */
    const attn_mesh *mesh;           /* borrowed */
    MPI_Comm axis;                   /* borrowed */
    int shard, shard_count;          /* this rank's place on the axis, of P_s */
    int64_t partial_bytes;           /* of one partial that waits, of all queries of this rank */

    attn_node_share share;    /* owned: attn_circulate_share */
    int share_ranks;          /* most that share one copy, the same on all; 1: nothing is shared */
    const char *share_reason; /* static: why nothing is; "" when something is */

    attn_kv_shard *slices; /* owned: [P_s][slice_count], without data */
    int64_t slice_count;   /* of each shard */
    attn_kv_shard *own; /* borrowed: this rank's among `slices`, with data when they are packed */
    attn_arrivals arrivals;
    char *blocks[3]; /* borrowed from the plan's buffers; their use is the circulation's */
    int *hops;       /* owned; the circulation's: see there */
    void *state;     /* owned; the circulation's, for its destroy() */
    attn_transfer transfer;
} attn_circulate;

struct attn_circulation {
    const char *name;
    int moves_queries; /* and keys and values stay: it plans its own local parts */
    int shares;        /* ranks of a node can share what arrives; then all blocks are in `share` */

    /* Fills in slices, arrivals and hops, reserves blocks, and says how many message pieces are in
     * flight at once. Collective on the axis, also after a failure here. ATTN_ERR_MEMORY. */
    attn_status (*plan)(attn_circulate *circulate, attn_buffers *buffers, int64_t *pieces,
                        attn_error *error);

    /* Tells of all messages that this rank sends in an execution, to ranks of the axis. */
    void (*sends)(const attn_circulate *circulate, attn_send_visit *visit, void *context);

    /* Moves the shards and attends to all of them. Collective on the axis. */
    void (*execute)(attn_circulate *circulate, attn_attend *attend, const void *query, float *out);

    /* Frees the state, if there is one. NULL: it has none. */
    void (*destroy)(attn_circulate *circulate);
};

extern const attn_circulation attn_circulate_ring;
extern const attn_circulation attn_circulate_gather;
extern const attn_circulation attn_circulate_reduce;

/* "ring", "gather", "reduce"; NULL past the last. */
const char *attn_circulation_name(int index);

/* Why it cannot take the problem, "moves queries …"; NULL: it can. */
const char *attn_circulation_refuses(const attn_problem *problem, const char *name);

/* By name; NULL when there is none. */
const attn_circulation *attn_circulation_find(const char *name);

/* Fills in slices, of `slice_count` of each shard, and own. ATTN_ERR_MEMORY. Not collective. */
attn_status attn_circulate_slice(attn_circulate *circulate, int64_t slice_count, attn_error *error);

/* Slice `slice` of shard `shard`; and whether a query of shard `by` sees a key of it. */
const attn_kv_shard *attn_circulate_slice_of(const attn_circulate *circulate, int64_t shard,
                                             int64_t slice);
int attn_circulate_needs(const attn_circulate *circulate, int64_t by, const attn_kv_shard *slice);

/* Settles whether the ranks of a node share memory: `wanted`, or when left open, where that saves
 * something (a node has two ranks that need the same slice, or one that has what another needs),
 * shared memory has room for all shards, and MPI makes windows in it. For the borrowed fields, set
 * by the caller; before attn_circulate_plan. Collective on mesh->world; all return the same status
 * and share, or not, alike. ATTN_ERR_CONFIG, ATTN_ERR_MACHINE: wanted, but not possible. */
attn_status attn_circulate_share(attn_circulate *circulate, attn_share_nodes wanted,
                                 attn_error *error);

/* Plans for the borrowed fields and partial_bytes, set by the caller. Collective on the axis,
 * though ranks may return different statuses. ATTN_ERR_MEMORY. */
attn_status attn_circulate_plan(attn_circulate *circulate, attn_buffers *buffers,
                                attn_error *error);

/* Tells of all messages that this rank sends in an execution, from what was planned: to shards of
 * the axis. Not collective. */
void attn_circulate_sends(const attn_circulate *circulate, attn_send_visit *visit, void *context);

/* Where something is shared, after the buffers were allocated. Collective on the axis.
 * ATTN_ERR_MEMORY. */
attn_status attn_circulate_allocate(attn_circulate *circulate, attn_error *error);

/* Waits for a signal of those that share; an event of the trace, if it is not there yet. */
void attn_circulate_wait_node(attn_circulate *circulate, attn_share_signal signal);

/* This rank's own shard, to be packed into before an execution: circulate->own, slice_count
 * slices, which now have their data: one behind the other in blocks[0]. Waits until those that
 * share have left the execution before. */
void attn_circulate_own(attn_circulate *circulate);

/* Collective on the axis. */
void attn_circulate_execute(attn_circulate *circulate, attn_attend *attend, const void *query,
                            float *out);

/* A zeroed one is legal. */
void attn_circulate_destroy(attn_circulate *circulate);

#endif
