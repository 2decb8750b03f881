/* circulate.h: how K/V shards meet Q shards along the sequence axis.
 *
 * A circulation is a row of one table and a file of its own. Planning says which
 * key blocks each step brings (attend.h follows that), and reserves memory;
 * execution moves the shards and runs the steps. All ranks of an axis execute
 * together.
 */
#ifndef ATTN_RUNTIME_CIRCULATE_H
#define ATTN_RUNTIME_CIRCULATE_H

#include "attend.h"
#include "buffers.h"
#include "kv_shard.h"
#include "mesh.h"
#include "transfer.h"

typedef struct attn_circulation attn_circulation;

typedef struct attn_circulate {
    const attn_circulation *circulation;
    int shard;             /* this rank's place on the axis */
    attn_kv_shard *shards; /* owned; [P_s], data set where this rank holds it */
    attn_range *arrivals;  /* owned; [steps]: key blocks that each step brings */
    int32_t steps;
    char *blocks[2]; /* borrowed from the plan's buffers; their use is the circulation's */
    attn_transfer transfer;
} attn_circulate;

struct attn_circulation {
    const char *name;

    /* Fills in `steps` and `arrivals` (room for P_s), reserves blocks[0] (which
     * begins with room for this rank's own shard, or is it) and blocks[1], and says how
     * many message pieces are in flight at once. */
    void (*plan)(attn_circulate *circulate, const attn_kv_layout *layout, attn_buffers *buffers,
                 int64_t *pieces);

    /* Where this rank's own shard lies, once the buffers are allocated. */
    char *(*own_data)(const attn_circulate *circulate);

    /* Moves the shards and attends to all of them. Collective on the axis. */
    void (*execute)(attn_circulate *circulate, attn_attend *attend, const void *query, float *out);
};

extern const attn_circulation attn_circulate_ring;
extern const attn_circulation attn_circulate_gather;

/* "ring", "gather"; NULL past the last. */
const char *attn_circulation_name(int index);

/* By name; NULL when there is none. */
const attn_circulation *attn_circulation_find(const char *name);

/* Not collective. ATTN_ERR_MEMORY. */
attn_status attn_circulate_plan(attn_circulate *circulate, const attn_circulation *circulation,
                                const attn_mesh *mesh, const attn_kv_layout *layout,
                                attn_buffers *buffers, attn_error *error);

/* This rank's own shard, to be packed into before an execution. */
const attn_kv_shard *attn_circulate_own(attn_circulate *circulate);

/* Collective on the axis. */
void attn_circulate_execute(attn_circulate *circulate, attn_attend *attend, const void *query,
                            float *out);

/* A zeroed one is legal. */
void attn_circulate_destroy(attn_circulate *circulate);

#endif
