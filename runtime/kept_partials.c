#include "kept_partials.h"

#include <assert.h>
#include <stdlib.h>

#include "memory.h"
#include "row_list.h"

/* Whether some row of tile `number` along the rows may see keys [first, last) in some batch item.
 */
static int tile_sees(const attn_tiling *tiling, const attn_row_list *queries, const attn_mask *mask,
                     int64_t number, attn_range keys) {
    int64_t first = number * tiling->tile_rows, last = first + tiling->tile_rows;
    attn_rows rows;

    if (last > queries->count) last = queries->count;
    for (int64_t own = first; own < last; own += rows.count) {
        attn_visible seen;

        rows = attn_row_list_from(queries, own, last - own);
        seen = attn_mask_span(mask, ATTN_MASK_EVERY_ITEM, rows.first, rows.first + rows.count);
        for (int s = 0; s < 2; s++)
            if (seen.span[s].first < keys.last && keys.first < seen.span[s].last &&
                seen.span[s].first < seen.span[s].last)
                return 1;
    }
    return 0;
}

static void mark_slot(attn_kept_partials *kept, int32_t slot, const attn_tiling *tiling,
                      const attn_row_list *queries, const attn_mask *mask, attn_range keys) {
    for (int64_t tile = 0; tile < kept->along; tile++) {
        int32_t *place = &kept->place[slot * kept->along + tile];

        if (*place < 0 && tile_sees(tiling, queries, mask, tile, keys)) *place = 0;
    }
}

/* Marks the tiles that may have a value in a kept slot: every operation's value stands for the
 * blocks between those of its operands. covers: [slots]. */
static void mark_places(attn_kept_partials *kept, const attn_merge_tree *tree,
                        const attn_tiling *tiling, const attn_row_list *queries,
                        const attn_mask *mask, const attn_layout *keys, attn_range *covers) {
    for (int64_t i = 0; i < tree->message_count; i++) {
        const attn_merge_message *message = &tree->messages[i];

        if (message->is_sent) continue;
        covers[message->slot] = message->blocks;
        mark_slot(kept, message->slot, tiling, queries, mask,
                  attn_layout_rows_of(keys, message->blocks));
    }
    for (int64_t i = 0; i < tree->step_first[tree->step_count]; i++) {
        const attn_merge_op *op = &tree->ops[i];
        attn_range blocks = {op->block, op->block + 1};

        if (op->block < 0) blocks = (attn_range){covers[op->left].first, covers[op->right].last};
        covers[op->result] = blocks;
        if (op->result < tree->kept_slots)
            mark_slot(kept, op->result, tiling, queries, mask, attn_layout_rows_of(keys, blocks));
    }
}

attn_status attn_kept_partials_plan(attn_kept_partials *kept, const attn_merge_tree *tree,
                                    const attn_tiling *tiling, const attn_row_list *queries,
                                    const attn_mask *mask, const attn_layout *keys, int64_t elems,
                                    attn_buffers *buffers, attn_error *error) {
    int64_t pairs = tree->kept_slots * tiling->along;
    attn_range *covers = attn_alloc((size_t)tree->slots, sizeof *covers);

    *kept = (attn_kept_partials){
        .along = tiling->along, .per_place = tiling->batch * tiling->stack_count, .elems = elems};
    kept->place = attn_alloc((size_t)pairs, sizeof *kept->place);
    kept->empty = attn_alloc((size_t)tree->kept_slots, (size_t)tiling->count);
    if (covers == NULL || kept->place == NULL || kept->empty == NULL || pairs > INT32_MAX) {
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the places of kept partials");
    } else {
        for (int64_t i = 0; i < pairs; i++) kept->place[i] = -1;
        mark_places(kept, tree, tiling, queries, mask, keys, covers);
        for (int64_t i = 0; i < pairs; i++)
            if (kept->place[i] >= 0) kept->place[i] = (int32_t)kept->place_count++;
        attn_buffers_reserve(buffers, attn_elems(kept->place_count, kept->per_place, kept->elems),
                             sizeof(float), &kept->partials);
        attn_ok(error);
    }
    free(covers);
    return error->status;
}

static int32_t place_of(const attn_kept_partials *kept, int32_t slot, int64_t tile_index) {
    return kept->place[slot * kept->along + tile_index % kept->along];
}

int attn_kept_partials_has(const attn_kept_partials *kept, int32_t slot, int64_t tile_index) {
    return place_of(kept, slot, tile_index) >= 0;
}

float *attn_kept_partials_at(const attn_kept_partials *kept, int32_t slot, int64_t tile_index) {
    int64_t place = place_of(kept, slot, tile_index);

    assert(place >= 0);
    return kept->partials + (place * kept->per_place + tile_index / kept->along) * kept->elems;
}

unsigned char *attn_kept_partials_empty(const attn_kept_partials *kept, int32_t slot,
                                        int64_t tile_index) {
    return kept->empty + slot * kept->along * kept->per_place + tile_index;
}

int64_t attn_kept_partials_count(const attn_kept_partials *kept, int32_t slot) {
    int64_t places = 0;

    for (int64_t tile = 0; tile < kept->along; tile++) places += place_of(kept, slot, tile) >= 0;
    return places * kept->per_place;
}

/* Places of a slot are numbered one behind the other. */
float *attn_kept_partials_first(const attn_kept_partials *kept, int32_t slot) {
    int64_t tile = 0;

    while (tile < kept->along && place_of(kept, slot, tile) < 0) tile++;
    return tile < kept->along ? attn_kept_partials_at(kept, slot, tile) : NULL;
}

void attn_kept_partials_destroy(attn_kept_partials *kept) {
    free(kept->empty);
    free(kept->place);
    *kept = (attn_kept_partials){0};
}
