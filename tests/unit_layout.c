/* Layouts: every block is owned once, in few runs; keys are laid out as queries are. */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "laid_out.h"

static void check_ownership(const attn_layout *layout) {
    char *owned = calloc((size_t)layout->block_count, 1);
    int64_t rows = 0, wrong = 0;

    CU_ASSERT_PTR_NOT_NULL(owned);
    for (int64_t shard = 0; shard < layout->shards && owned != NULL; shard++) {
        int64_t before = -1, blocks = 0;

        for (int64_t i = 0; i < attn_layout_run_count(layout, shard); i++) {
            attn_range run = attn_layout_run(layout, shard, i);

            wrong += run.first <= before || run.last <= run.first; /* ascending and apart */
            for (int64_t b = run.first; b < run.last && b < layout->block_count; b++) owned[b]++;
            before = run.last;
            blocks += attn_range_count(run);
        }
        CU_ASSERT_EQUAL(blocks, attn_layout_blocks(layout, shard));
        rows += attn_layout_rows(layout, shard);
    }
    for (int64_t b = 0; b < layout->block_count && owned != NULL; b++) wrong += owned[b] != 1;
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_EQUAL(rows, layout->length);
    free(owned);
}

static void test_every_block_is_owned_once(void) {
    static const int64_t lengths[] = {1, 31, 32, 33, 64, 100, 301, 1021, 4096, 9999, 70000};
    static const attn_mask_spec specs[] = {
        {.causal = ATTN_NOT_CAUSAL},
        {.causal = ATTN_CAUSAL},
        {.causal = ATTN_CAUSAL, .windowed = 1, .left = 40, .right = 0},
        {.causal = ATTN_CAUSAL, .prefix = 17},
    };

    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (size_t s = 0; s < sizeof specs / sizeof *specs; s++)
            for (int64_t shards = 1; shards <= 17; shards++)
                for (int i = -1; i < ATTN_LAID_OUT_COUNT; i++) {
                    attn_mask mask = attn_laid_out_mask(lengths[l], specs[s]);
                    attn_layout layout =
                        attn_laid_out(i < 0 ? NULL : attn_laid_out_names[i], shards, &mask);

                    check_ownership(&layout);
                    attn_layout_destroy(&layout);
                }
}

static void test_runs_are_few(void) {
    static const int64_t most[] = {1, 2, 8, 16};

    for (int64_t length = 1; length < 40000; length = length * 5 / 4 + 1)
        for (int64_t shards = 1; shards <= 9; shards++)
            for (int i = 0; i < ATTN_LAID_OUT_COUNT; i++) {
                attn_mask mask =
                    attn_laid_out_mask(length, (attn_mask_spec){.causal = ATTN_CAUSAL});
                attn_layout layout = attn_laid_out(attn_laid_out_names[i], shards, &mask);

                for (int64_t s = 0; s < shards; s++)
                    CU_ASSERT(attn_layout_run_count(&layout, s) <= most[i]);
                attn_layout_destroy(&layout);
            }
}

/* What a mask does not need is not done: one run without a mask and with a window, two under a
 * causal mask. */
static void test_balanced_shards_have_no_more_runs_than_they_need(void) {
    static const struct {
        attn_mask_spec spec;
        int64_t runs;
    } cases[] = {
        {{.causal = ATTN_NOT_CAUSAL}, 1},
        {{.causal = ATTN_CAUSAL, .windowed = 1, .left = 1000, .right = 0}, 1},
        {{.causal = ATTN_CAUSAL}, 2},
    };

    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        attn_mask mask = attn_laid_out_mask(1 << 18, cases[c].spec);
        attn_layout layout = attn_laid_out("balanced", 8, &mask);

        for (int64_t s = 0; s < 8; s++)
            CU_ASSERT(attn_layout_run_count(&layout, s) <= cases[c].runs);
        attn_layout_destroy(&layout);
    }
}

static void test_as_many_keys_as_queries_are_the_same_rows(void) {
    for (int i = 0; i < ATTN_LAID_OUT_COUNT; i++) {
        attn_mask mask = attn_laid_out_mask(3000, (attn_mask_spec){.causal = ATTN_CAUSAL});
        attn_layout queries = attn_laid_out(attn_laid_out_names[i], 5, &mask), keys, others;
        attn_error error;

        CU_ASSERT_EQUAL(attn_layout_of_keys(&keys, &queries, 3000, &error), ATTN_OK);
        CU_ASSERT_EQUAL(keys.kind, queries.kind);
        CU_ASSERT_EQUAL(memcmp(keys.first_run, queries.first_run, 6 * sizeof *keys.first_run), 0);
        CU_ASSERT_EQUAL(
            memcmp(keys.runs, queries.runs, (size_t)keys.first_run[5] * sizeof *keys.runs), 0);
        CU_ASSERT_EQUAL(attn_layout_of_keys(&others, &queries, 7777, &error), ATTN_OK);
        CU_ASSERT_STRING_EQUAL(attn_layout_name(others.kind),
                               strcmp(attn_laid_out_names[i], "balanced") == 0
                                   ? "contiguous"
                                   : attn_laid_out_names[i]);
        check_ownership(&others);
        attn_layout_destroy(&others);
        attn_layout_destroy(&keys);
        attn_layout_destroy(&queries);
    }
}

int main(void) {
    static const attn_test tests[] = {
        {"every block is owned once", test_every_block_is_owned_once},
        {"runs are few", test_runs_are_few},
        {"balanced shards have no more runs than they need",
         test_balanced_shards_have_no_more_runs_than_they_need},
        {"as many keys as queries are the same rows",
         test_as_many_keys_as_queries_are_the_same_rows},
    };
    return attn_test_main("unit.layout", tests, ATTN_TEST_COUNT(tests));
}
