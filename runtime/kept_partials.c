#include "kept_partials.h"

#include <assert.h>
#include <stdlib.h>

#include "memory.h"
#include "row_list.h"

enum { GROUP_TILES = 64 };

/* Of neighbouring tiles, so that most are not asked one by one. */
typedef struct tile_group {
    attn_interval hull;   /* of the keys that some of their rows may see */
    attn_interval common; /* each tile may see some of any keys that overlap these */
} tile_group;

/* What tiles of rows may see. */
typedef struct tile_sight {
    const attn_tiling *tiling;    /* borrowed */
    const attn_row_list *queries; /* borrowed */
    const attn_mask *mask;        /* borrowed */
    tile_group *groups;           /* owned */
    int64_t group_count;
    unsigned char *is_marked; /* owned: [kept slots][groups], whether all of its tiles are */
} tile_sight;

static int is_empty(attn_interval keys) {
    return keys.first >= keys.last;
}

static int overlap(attn_interval seen, attn_range keys) {
    return !is_empty(seen) && seen.first < keys.last && keys.first < seen.last;
}

/* What the tile's rows from own row *own on see in some batch item, up to the end of a run of them;
 * moves *own there. False at the end of the tile. */
static int next_seen(const tile_sight *sight, int64_t tile, int64_t *own, attn_visible *seen) {
    const int64_t rows = sight->queries->count, end = (tile + 1) * sight->tiling->tile_rows;
    const int64_t last = end < rows ? end : rows;
    attn_rows run;

    if (*own >= last) return 0;
    run = attn_row_list_from(sight->queries, *own, last - *own);
    *seen = attn_mask_span(sight->mask, ATTN_MASK_EVERY_ITEM, run.first, run.first + run.count);
    *own += run.count;
    return 1;
}

/* Whether some row of the tile may see keys [first, last). */
static int tile_sees(const tile_sight *sight, int64_t tile, attn_range keys) {
    int64_t own = tile * sight->tiling->tile_rows;
    attn_visible seen;

    while (next_seen(sight, tile, &own, &seen))
        if (overlap(seen.span[0], keys) || overlap(seen.span[1], keys)) return 1;
    return 0;
}

/* The common keys of a tile alone are the most that it sees in one piece. */
static tile_group group_of_tile(const tile_sight *sight, int64_t tile) {
    int64_t own = tile * sight->tiling->tile_rows;
    tile_group group = {{0, 0}, {0, 0}};
    attn_visible seen;

    while (next_seen(sight, tile, &own, &seen))
        for (int s = 0; s < 2; s++) {
            const attn_interval span = seen.span[s];

            if (is_empty(span)) continue;
            if (is_empty(group.hull)) group.hull = span;
            if (span.first < group.hull.first) group.hull.first = span.first;
            if (span.last > group.hull.last) group.hull.last = span.last;
            if (span.last - span.first > group.common.last - group.common.first)
                group.common = span;
        }
    return group;
}

static void add_tile(tile_group *group, tile_group tile) {
    if (!is_empty(tile.hull)) {
        if (is_empty(group->hull)) group->hull = tile.hull;
        if (tile.hull.first < group->hull.first) group->hull.first = tile.hull.first;
        if (tile.hull.last > group->hull.last) group->hull.last = tile.hull.last;
    }
    if (tile.common.first > group->common.first) group->common.first = tile.common.first;
    if (tile.common.last < group->common.last) group->common.last = tile.common.last;
}

static void find_groups(tile_sight *sight) {
    for (int64_t tile = 0; tile < sight->tiling->along; tile++) {
        const tile_group of_tile = group_of_tile(sight, tile);
        tile_group *group = &sight->groups[tile / GROUP_TILES];

        if (tile % GROUP_TILES == 0)
            *group = of_tile;
        else
            add_tile(group, of_tile);
    }
}

/* Marks the tiles of a group that see some of the keys. */
static void mark_group(attn_kept_partials *kept, int32_t slot, int64_t number,
                       const tile_sight *sight, attn_range keys) {
    const int64_t first = number * GROUP_TILES, end = first + GROUP_TILES;
    const int all_see = overlap(sight->groups[number].common, keys);

    for (int64_t tile = first; tile < end && tile < kept->along; tile++) {
        int32_t *place = &kept->place[slot * kept->along + tile];

        if (*place < 0 && (all_see || tile_sees(sight, tile, keys))) *place = 0;
    }
    if (all_see) sight->is_marked[slot * sight->group_count + number] = 1;
}

static void mark_slot(attn_kept_partials *kept, int32_t slot, const tile_sight *sight,
                      attn_range keys) {
    for (int64_t group = 0; group < sight->group_count; group++)
        if (!sight->is_marked[slot * sight->group_count + group] &&
            overlap(sight->groups[group].hull, keys))
            mark_group(kept, slot, group, sight, keys);
}

/* Marks the tiles that may have a value in a kept slot: every operation's value stands for the
 * blocks between those of its operands. covers: [slots]. */
static void mark_places(attn_kept_partials *kept, const attn_merge_tree *tree,
                        const tile_sight *sight, const attn_layout *keys, attn_range *covers) {
    for (int64_t i = 0; i < tree->message_count; i++) {
        const attn_merge_message *message = &tree->messages[i];

        if (message->is_sent) continue;
        covers[message->slot] = message->blocks;
        mark_slot(kept, message->slot, sight, attn_layout_rows_of(keys, message->blocks));
    }
    for (int64_t i = 0; i < tree->step_first[tree->step_count]; i++) {
        const attn_merge_op *op = &tree->ops[i];
        attn_range blocks = {op->block, op->block + 1};

        if (op->block < 0) blocks = (attn_range){covers[op->left].first, covers[op->right].last};
        covers[op->result] = blocks;
        if (op->result < tree->kept_slots)
            mark_slot(kept, op->result, sight, attn_layout_rows_of(keys, blocks));
    }
}

attn_status attn_kept_partials_plan(attn_kept_partials *kept, const attn_merge_tree *tree,
                                    const attn_tiling *tiling, const attn_row_list *queries,
                                    const attn_mask *mask, const attn_layout *keys, int64_t elems,
                                    attn_buffers *buffers, attn_error *error) {
    int64_t pairs = tree->kept_slots * tiling->along;
    int64_t groups = (tiling->along + GROUP_TILES - 1) / GROUP_TILES;
    attn_range *covers = attn_alloc((size_t)tree->slots, sizeof *covers);
    tile_sight sight = {.tiling = tiling, .queries = queries, .mask = mask, .group_count = groups};

    sight.groups = attn_alloc((size_t)groups, sizeof *sight.groups);
    sight.is_marked = calloc((size_t)(tree->kept_slots * groups + 1), 1);
    *kept = (attn_kept_partials){
        .along = tiling->along, .per_place = tiling->batch * tiling->stack_count, .elems = elems};
    kept->place = attn_alloc((size_t)pairs, sizeof *kept->place);
    kept->empty = attn_alloc((size_t)tree->kept_slots, (size_t)tiling->count);
    if (covers == NULL || sight.groups == NULL || sight.is_marked == NULL || kept->place == NULL ||
        kept->empty == NULL || pairs > INT32_MAX) {
        attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the places of kept partials");
    } else {
        for (int64_t i = 0; i < pairs; i++) kept->place[i] = -1;
        find_groups(&sight);
        mark_places(kept, tree, &sight, keys, covers);
        for (int64_t i = 0; i < pairs; i++)
            if (kept->place[i] >= 0) kept->place[i] = (int32_t)kept->place_count++;
        attn_buffers_reserve(buffers, attn_elems(kept->place_count, kept->per_place, kept->elems),
                             sizeof(float), &kept->partials);
        attn_ok(error);
    }
    free(sight.is_marked);
    free(sight.groups);
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
