/* gather_deal.h: which rank receives what for all that share it.
 *
 * Those that share (node_share.h) need a slice of another node once: one of them receives it into
 * its part of the shared memory. A step's slices go, in the order of shards, to the rank that has
 * the fewest bytes of that step so far; of equals the first from rank t mod ranks on, so that what
 * does not come out even moves on with the steps. A rank alone receives all that it needs.
 *
 * Receivers know what they are dealt and tell the senders. Cost: P_s times slices, of time (times
 * the ranks that share) and memory; one all-to-all on the axis, while planning.
 */
#ifndef ATTN_RUNTIME_GATHER_DEAL_H
#define ATTN_RUNTIME_GATHER_DEAL_H

#include <stdint.h>

#include "status.h"

enum { ATTN_GATHER_BUFFERS = 2 };

/* Where a slice of another node is. */
typedef struct attn_dealt_slice {
    int32_t receiver; /* shard of the rank that receives it; −1: no one here needs it */
    int64_t offset;   /* in that one's buffer, in bytes */
} attn_dealt_slice;

typedef struct attn_gather_deal {
    attn_dealt_slice *slices;           /* owned: [slice_count][P_s] */
    unsigned char *sends;               /* owned: [P_s][slice_count]: whether the own slice goes to
                                           that shard's rank */
    int64_t bytes[ATTN_GATHER_BUFFERS]; /* of this rank's buffers; slices go to them in turn */
} attn_gather_deal;

struct attn_circulate;

/* For the circulation's slices; fills in all but `sends`. Not collective. ATTN_ERR_MEMORY. */
attn_status attn_gather_deal_create(attn_gather_deal *deal, const struct attn_circulate *circulate,
                                    attn_error *error);

/* Fills in sends. Collective on the axis, also for a rank that has failed before: then all return
 * with a failure, the others with ATTN_ERR_MEMORY. */
attn_status attn_gather_deal_tell(attn_gather_deal *deal, const struct attn_circulate *circulate,
                                  attn_error *error);

/* Slice `slice` of a shard of another node. */
const attn_dealt_slice *attn_gather_deal_at(const attn_gather_deal *deal,
                                            const struct attn_circulate *circulate, int64_t slice,
                                            int64_t shard);

/* A zeroed one is legal. */
void attn_gather_deal_destroy(attn_gather_deal *deal);

#endif
