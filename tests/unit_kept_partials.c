/* Kept partials: a tile has memory in a slot just when one of its rows sees some of the blocks that
 * a value in the slot stands for. */
#include "kept_partials.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "row_list.h"

enum { LENGTH = 4096, MAX_SLOTS = 64, MAX_BLOCKS = 64, HEADS = 2, ELEMS = 8 };

/* The queries of one shard, and the tree of keys that come as around a ring. */
typedef struct plan {
    attn_mask mask;
    attn_layout layout;
    attn_row_list queries;
    attn_tiling tiling;
    attn_merge_tree tree;
    attn_buffers buffers;
    attn_kept_partials kept;
} plan;

static void create(plan *self, const attn_mask_spec *spec, const char *layout, int64_t shards,
                   int64_t shard, int32_t tile_rows) {
    int32_t step_of[MAX_BLOCKS];
    attn_error error;

    *self = (plan){.mask = {.spec = *spec, .length = LENGTH, .kv_length = LENGTH, .batch = 1}};
    CU_ASSERT_EQUAL_FATAL(attn_layout_create(&self->layout, attn_layout_find(layout), LENGTH,
                                             shards, &self->mask, &error),
                          ATTN_OK);
    CU_ASSERT_FATAL(self->layout.block_count <= MAX_BLOCKS);
    for (int64_t k = 0; k < shards; k++)
        for (int64_t run = 0; run < attn_layout_run_count(&self->layout, k); run++) {
            attn_range blocks = attn_layout_run(&self->layout, k, run);

            for (int64_t block = blocks.first; block < blocks.last; block++)
                step_of[block] = (int32_t)((shard - k + shards) % shards);
        }
    CU_ASSERT_EQUAL_FATAL(
        attn_row_list_create(&self->queries, &self->layout, shard,
                             (attn_range){0, attn_layout_rows(&self->layout, shard)}, &error),
        ATTN_OK);
    CU_ASSERT_EQUAL_FATAL(attn_tiling_create(&self->tiling, 1, (attn_range){0, HEADS}, 1, LENGTH,
                                             self->queries.count, tile_rows, &error),
                          ATTN_OK);
    CU_ASSERT_EQUAL_FATAL(attn_merge_tree_create(self->layout.block_count, step_of, (int32_t)shards,
                                                 &self->tree, &error),
                          ATTN_OK);
    CU_ASSERT_EQUAL_FATAL(
        attn_kept_partials_plan(&self->kept, &self->tree, &self->tiling, &self->queries,
                                &self->mask, &self->layout, ELEMS, &self->buffers, &error),
        ATTN_OK);
}

static void destroy(plan *self) {
    attn_kept_partials_destroy(&self->kept);
    attn_buffers_free(&self->buffers);
    attn_merge_tree_destroy(&self->tree);
    attn_tiling_destroy(&self->tiling);
    attn_row_list_destroy(&self->queries);
    attn_layout_destroy(&self->layout);
}

/* Row by row. */
static int tile_sees(const plan *self, int64_t tile, attn_range keys) {
    const int64_t first = tile * self->tiling.tile_rows, end = first + self->tiling.tile_rows;

    for (int64_t own = first; own < end && own < self->queries.count; own++) {
        attn_visible seen =
            attn_mask_visible(&self->mask, 0, attn_row_list_at(&self->queries, own));

        for (int s = 0; s < 2; s++)
            if (seen.span[s].first < keys.last && keys.first < seen.span[s].last) return 1;
    }
    return 0;
}

/* Counts the pairs of slot and tile that should have memory and have none, and the other way
 * round. */
static void compare(const plan *self, int64_t *missing, int64_t *wasted) {
    const int64_t along = self->tiling.along;
    char *wanted = calloc((size_t)(MAX_SLOTS * along), 1);
    attn_range covers[MAX_SLOTS];

    CU_ASSERT_FATAL(wanted != NULL && self->tree.slots <= MAX_SLOTS);
    for (int64_t i = 0; i < self->tree.step_first[self->tree.step_count]; i++) {
        const attn_merge_op *op = &self->tree.ops[i];
        attn_range blocks = {op->block, op->block + 1};

        if (op->block < 0) blocks = (attn_range){covers[op->left].first, covers[op->right].last};
        covers[op->result] = blocks;
        for (int64_t tile = 0; tile < along && op->result < self->tree.kept_slots; tile++)
            wanted[op->result * along + tile] |=
                (char)tile_sees(self, tile, attn_layout_rows_of(&self->layout, blocks));
    }
    *missing = *wasted = 0;
    for (int32_t slot = 0; slot < self->tree.kept_slots; slot++)
        for (int64_t tile = 0; tile < along; tile++) {
            int has = attn_kept_partials_has(&self->kept, slot, tile);

            *missing += wanted[slot * along + tile] && !has;
            *wasted += has && !wanted[slot * along + tile];
        }
    free(wanted);
}

static const attn_mask_spec specs[] = {
    {0},
    {.causal = ATTN_CAUSAL},
    {.causal = ATTN_CAUSAL, .windowed = 1, .left = 300, .right = 0},
    {.windowed = 1, .left = 40, .right = 900},
    {.causal = ATTN_CAUSAL, .windowed = 1, .left = 100, .right = 0, .first = 7},
    {.causal = ATTN_CAUSAL, .prefix = 1000},
};

static void test_just_the_tiles_that_see_something_have_memory(void) {
    static const char *const layouts[] = {"contiguous", "zigzag", "striped"};
    static const int32_t rows[] = {1, 3, 14, 200};

    for (size_t m = 0; m < sizeof specs / sizeof *specs; m++)
        for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
                for (int64_t shards = 1; shards <= 5; shards += 2) {
                    int64_t missing, wasted;
                    plan self;

                    create(&self, &specs[m], layouts[l], shards, shards / 2, rows[r]);
                    compare(&self, &missing, &wasted);
                    CU_ASSERT_EQUAL(missing, 0);
                    CU_ASSERT_EQUAL(wasted, 0);
                    destroy(&self);
                }
}

/* Several in a tile may make it see what lies between theirs. */
static void test_documents_have_what_they_need(void) {
    static const int64_t starts[] = {0, 5, 700, 701, 1500, 2600, 2603, LENGTH};
    const attn_mask_spec spec = {.causal = ATTN_CAUSAL,
                                 .document_starts = starts,
                                 .document_count = sizeof starts / sizeof *starts - 1};

    for (int64_t shard = 0; shard < 3; shard++) {
        int64_t missing, wasted;
        plan self;

        create(&self, &spec, "zigzag", 3, shard, 3);
        compare(&self, &missing, &wasted);
        CU_ASSERT_EQUAL(missing, 0);
        CU_ASSERT(self.kept.place_count < (int64_t)self.tree.kept_slots * self.tiling.along);
        destroy(&self);
    }
}

int main(void) {
    static const attn_test tests[] = {
        {"just the tiles that see something have memory",
         test_just_the_tiles_that_see_something_have_memory},
        {"documents have what they need", test_documents_have_what_they_need},
    };
    return attn_test_main("unit.kept_partials", tests, ATTN_TEST_COUNT(tests));
}
