/* arrivals.h: what each step of a circulation has at hand.
 *
 * Planned by the circulation, followed by the local part (attend.h). All steps together have every
 * block that a query of this rank sees, once.
 */
#ifndef ATTN_RUNTIME_ARRIVALS_H
#define ATTN_RUNTIME_ARRIVALS_H

#include "kv_shard.h"
#include "reach.h"

/* Where a block is when its step has come. */
typedef struct attn_block_place {
    int64_t piece; /* of the step */
    int64_t place; /* within the piece */
} attn_block_place;

/* Slices pieces[step_first[t] … step_first[t + 1]) are at hand in step t; their data is set by
 * then. */
typedef struct attn_arrivals {
    int32_t steps;
    attn_kv_shard *pieces;    /* owned */
    int64_t *step_first;      /* owned: [steps + 1] */
    attn_block_place *places; /* owned: of all blocks of keys, those of the pieces filled in */
} attn_arrivals;

/* Room for so many steps and pieces, none of them filled in. ATTN_ERR_MEMORY. */
attn_status attn_arrivals_create(attn_arrivals *arrivals, int64_t most_steps, int64_t most_pieces,
                                 attn_error *error);

/* The step of each block of keys; −1 when no query of `shard` sees it. */
void attn_arrivals_locate(const attn_arrivals *arrivals, const attn_kv_layout *kv,
                          const attn_reach *reach, int64_t shard, int32_t *step_of);

/* Fills in the places, when the pieces are. ATTN_ERR_MEMORY. */
attn_status attn_arrivals_place(attn_arrivals *arrivals, const attn_kv_layout *kv,
                                attn_error *error);

/* A zeroed one is legal. */
void attn_arrivals_destroy(attn_arrivals *arrivals);

#endif
