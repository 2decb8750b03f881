/* kept_partials.h: memory for the partials that wait for a later step.
 *
 * A kept slot of the merge tree is for partials of all tiles of queries, but many tiles see nothing
 * of the blocks that it stands for: those of the early rows under a causal mask, all but a few
 * within a window or in documents. Only a tile that may see some of them gets memory:
 *
 *     [places] { [batch items][head stacks] partial }      places: pairs of slot and tile of rows
 *
 * Cost: O(kept values · tiles of rows) to plan; 4 bytes for each pair. Not collective.
 */
#ifndef ATTN_RUNTIME_KEPT_PARTIALS_H
#define ATTN_RUNTIME_KEPT_PARTIALS_H

#include "attnspan/plan.h"
#include "buffers.h"
#include "layout.h"
#include "merge_tree.h"
#include "status.h"
#include "tiling.h"

typedef struct attn_kept_partials {
    int64_t along;     /* tiles along the rows */
    int64_t per_place; /* partials of a place: batch items · stacks */
    int64_t elems;     /* floats of a partial */
    int64_t place_count;
    int32_t *place;       /* owned: [kept slots][along]; −1: none */
    unsigned char *empty; /* owned: [kept slots][tiles] */
    float *partials;      /* borrowed: [place_count][per_place][elems] */
} attn_kept_partials;

/* For partials of `elems` floats, of tiles of the rows `queries` under `mask`, over blocks of
 * `keys`. ATTN_ERR_MEMORY. */
attn_status attn_kept_partials_plan(attn_kept_partials *kept, const attn_merge_tree *tree,
                                    const attn_tiling *tiling, const attn_row_list *queries,
                                    const attn_mask *mask, const attn_layout *keys, int64_t elems,
                                    attn_buffers *buffers, attn_error *error);

/* Whether the tile has memory in that slot. */
int attn_kept_partials_has(const attn_kept_partials *kept, int32_t slot, int64_t tile_index);

/* The tile's partial in that slot; only where it is not empty. */
float *attn_kept_partials_at(const attn_kept_partials *kept, int32_t slot, int64_t tile_index);

/* Whether it is. */
unsigned char *attn_kept_partials_empty(const attn_kept_partials *kept, int32_t slot,
                                        int64_t tile_index);

/* The partials of a slot, of those tiles that have memory: how many they are, and the first; the
 * others lie behind it. */
int64_t attn_kept_partials_count(const attn_kept_partials *kept, int32_t slot);
float *attn_kept_partials_first(const attn_kept_partials *kept, int32_t slot);

/* A zeroed one is legal. */
void attn_kept_partials_destroy(attn_kept_partials *kept);

#endif
