/* Reach: for each shard the blocks of keys that its queries see. */
#include "reach.h"

#include "harness.h"
#include "laid_out.h"

/* By the definition: whether a row of the shard sees a key of the block. */
static int sees(const attn_mask *mask, const attn_layout *queries, const attn_layout *keys,
                int64_t shard, int64_t block) {
    attn_range of_block = attn_layout_rows_of(keys, (attn_range){block, block + 1});

    for (int64_t i = 0; i < attn_layout_run_count(queries, shard); i++) {
        attn_range rows = attn_layout_rows_of(queries, attn_layout_run(queries, shard, i));

        for (int64_t row = rows.first; row < rows.last; row++) {
            attn_visible seen = attn_mask_visible(mask, 0, row);

            for (int s = 0; s < 2; s++)
                if (seen.span[s].first < of_block.last && seen.span[s].last > of_block.first &&
                    seen.span[s].first < seen.span[s].last)
                    return 1;
        }
    }
    return 0;
}

static void test_reach_has_the_blocks_that_queries_see(void) {
    static const int64_t starts[] = {0, 1, 90, 200, 209, 301};
    static const attn_mask_spec specs[] = {
        {.causal = ATTN_NOT_CAUSAL},
        {.causal = ATTN_CAUSAL},
        {.causal = ATTN_CAUSAL, .windowed = 1, .left = 20, .right = 0},
        {.windowed = 1, .left = 40, .right = 50},
        {.causal = ATTN_CAUSAL, .windowed = 1, .left = 20, .right = 0, .first = 3},
        {.causal = ATTN_CAUSAL, .prefix = 70},
        {.causal = ATTN_CAUSAL, .document_count = 5, .document_starts = starts},
    };

    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++)
        for (int i = 0; i < ATTN_LAID_OUT_COUNT; i++)
            for (int64_t shards = 1; shards <= 5; shards++) {
                attn_mask mask = attn_laid_out_mask(301, specs[s]);
                attn_layout layout = attn_laid_out(attn_laid_out_names[i], shards, &mask);
                attn_reach reach;
                attn_error error;
                int64_t wrong = 0;

                CU_ASSERT_EQUAL(attn_reach_create(&reach, &mask, &layout, &layout, &error),
                                ATTN_OK);
                for (int64_t shard = 0; shard < shards; shard++)
                    for (int64_t b = 0; b < layout.block_count; b++)
                        wrong += attn_reach_overlaps(&reach, shard, (attn_range){b, b + 1}) !=
                                 sees(&mask, &layout, &layout, shard, b);
                CU_ASSERT_EQUAL(wrong, 0);
                attn_reach_destroy(&reach);
                attn_layout_destroy(&layout);
            }
}

int main(void) {
    static const attn_test tests[] = {
        {"reach has the blocks that queries see", test_reach_has_the_blocks_that_queries_see},
    };
    return attn_test_main("unit.reach", tests, ATTN_TEST_COUNT(tests));
}
