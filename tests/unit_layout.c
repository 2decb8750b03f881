/* Layouts: every block is owned once, shards have even work, and lists of rows say the same. */
#include "layout.h"

#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "reach.h"
#include "row_list.h"

static const char *const names[] = {"contiguous", "zigzag", "striped", "balanced"};

enum { LAYOUTS = sizeof names / sizeof *names };

static attn_mask mask_of(int64_t length, int64_t kv_length, attn_mask_spec spec) {
    return (attn_mask){spec, length, kv_length, 1};
}

static attn_layout layout_of(const char *name, int64_t shards, const attn_mask *mask) {
    attn_layout layout;
    attn_error error;

    CU_ASSERT_EQUAL(attn_layout_choose(&layout, name == NULL ? -1 : attn_layout_find(name), shards,
                                       mask, &error),
                    ATTN_OK);
    return layout;
}

/* Documents of lengths between 1 and about twice the mean, by a fixed linear congruence. */
static int64_t *mixed_documents(int64_t count, int64_t length) {
    int64_t *starts = calloc((size_t)count + 1, sizeof *starts), total = 0;
    uint64_t state = 12345;

    if (starts == NULL) abort();
    for (int64_t i = 0; i < count; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        starts[i + 1] = starts[i] + 1 + (int64_t)(state >> 54);
    }
    total = starts[count];
    for (int64_t i = 1; i <= count; i++) starts[i] = starts[i] * length / total;
    for (int64_t i = 1; i <= count; i++)
        if (starts[i] <= starts[i - 1]) starts[i] = starts[i - 1] + 1;
    starts[count] = length;
    return starts;
}

/* --- ownership ---------------------------------------------------------------- */

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
                for (int i = -1; i < LAYOUTS; i++) {
                    attn_mask mask = mask_of(lengths[l], lengths[l], specs[s]);
                    attn_layout layout = layout_of(i < 0 ? NULL : names[i], shards, &mask);

                    check_ownership(&layout);
                    attn_layout_destroy(&layout);
                }
}

static void test_runs_are_few(void) {
    static const int64_t most[] = {1, 2, 8, 16};

    for (int64_t length = 1; length < 40000; length = length * 5 / 4 + 1)
        for (int64_t shards = 1; shards <= 9; shards++)
            for (int i = 0; i < LAYOUTS; i++) {
                attn_mask mask = mask_of(length, length, (attn_mask_spec){.causal = ATTN_CAUSAL});
                attn_layout layout = layout_of(names[i], shards, &mask);

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
        attn_mask mask = mask_of(1 << 18, 1 << 18, cases[c].spec);
        attn_layout layout = layout_of("balanced", 8, &mask);

        for (int64_t s = 0; s < 8; s++)
            CU_ASSERT(attn_layout_run_count(&layout, s) <= cases[c].runs);
        attn_layout_destroy(&layout);
    }
}

/* --- balance ------------------------------------------------------------------- */

static void check_imbalance(const char *name, int64_t shards, const attn_mask *mask, double most) {
    attn_layout layout = layout_of(name, shards, mask);
    double imbalance = attn_layout_imbalance(&layout, mask);

    CU_ASSERT(imbalance >= 1 - 1e-12 && imbalance <= most);
    if (!(imbalance <= most))
        fprintf(stderr, "\n%s, %lld rows, %lld shards: imbalance %.4f\n",
                name == NULL ? "auto" : name, (long long)mask->length, (long long)shards,
                imbalance);
    attn_layout_destroy(&layout);
}

static void test_causal_zigzag_and_balanced_are_even_from_64_blocks_a_rank_on(void) {
    static const char *const even[] = {NULL, "zigzag", "balanced"};

    for (int64_t shards = 1; shards <= 16; shards++)
        for (int64_t extra = 0; extra < 3 * shards * 512; extra += 401) {
            int64_t length = 64 * 512 * shards + extra;
            attn_mask mask = mask_of(length, length, (attn_mask_spec){.causal = ATTN_CAUSAL});

            for (size_t i = 0; i < sizeof even / sizeof *even; i++)
                check_imbalance(even[i], shards, &mask, 1.02);
        }
}

static void test_balanced_is_even_on_packed_documents(void) {
    const int64_t length = 65536;
    int64_t *starts = mixed_documents(64, length);

    for (int causal = 0; causal < 2; causal++)
        for (int64_t shards = 1; shards <= 8; shards++) {
            attn_mask_spec spec = {.causal = causal == 1 ? ATTN_CAUSAL : ATTN_NOT_CAUSAL,
                                   .document_count = 64,
                                   .document_starts = starts};
            attn_mask mask = mask_of(length, length, spec);

            check_imbalance("balanced", shards, &mask, 1.05);
        }
    free(starts);
}

static void test_balanced_rows_are_even_too(void) {
    int64_t *starts = mixed_documents(40, 50000);
    const attn_mask_spec specs[] = {
        {.causal = ATTN_NOT_CAUSAL},
        {.causal = ATTN_CAUSAL},
        {.causal = ATTN_CAUSAL, .document_count = 40, .document_starts = starts},
        {.causal = ATTN_CAUSAL, .prefix = 20000},
    };

    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++)
        for (int64_t shards = 1; shards <= 12; shards++) {
            attn_mask mask = mask_of(50000, 50000, specs[s]);
            attn_layout layout = layout_of("balanced", shards, &mask);
            int64_t mean = layout.block_count / shards * 17 / 16;
            int64_t rounded_up = (layout.block_count + shards - 1) / shards;

            for (int64_t i = 0; i < shards; i++)
                CU_ASSERT(attn_layout_blocks(&layout, i) <=
                          (mean > rounded_up ? mean : rounded_up));
            attn_layout_destroy(&layout);
        }
    free(starts);
}

/* The least imbalanced of the three that auto looks at, the simplest of equals. */
static void test_auto_takes_what_is_even(void) {
    static const struct {
        attn_mask_spec spec;
        int64_t length, shards;
        const char *expected;
    } cases[] = {
        {{.causal = ATTN_NOT_CAUSAL}, 65536, 4, "contiguous"},
        {{.causal = ATTN_NOT_CAUSAL}, 300, 4, "contiguous"}, /* uneven, but so are all */
        {{.causal = ATTN_CAUSAL}, 65536, 1, "contiguous"},
        {{.causal = ATTN_CAUSAL}, 65536, 4, "zigzag"},
        {{.causal = ATTN_CAUSAL, .windowed = 1, .left = 500, .right = 0}, 1 << 20, 4, "contiguous"},
        {{.causal = ATTN_CAUSAL, .prefix = 40000}, 65536, 4, "balanced"},
    };

    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        attn_mask mask = mask_of(cases[c].length, cases[c].length, cases[c].spec);
        attn_layout layout = layout_of(NULL, cases[c].shards, &mask);

        CU_ASSERT_STRING_EQUAL(attn_layout_name(layout.kind), cases[c].expected);
        attn_layout_destroy(&layout);
    }
}

static void test_the_same_request_gives_the_same_layout(void) {
    int64_t *starts = mixed_documents(100, 60000);
    attn_mask_spec spec = {.causal = ATTN_CAUSAL, .document_count = 100, .document_starts = starts};
    attn_mask mask = mask_of(60000, 60000, spec);
    attn_layout one = layout_of("balanced", 7, &mask), two = layout_of("balanced", 7, &mask);

    CU_ASSERT_EQUAL(memcmp(one.first_run, two.first_run, 8 * sizeof *one.first_run), 0);
    CU_ASSERT_EQUAL(memcmp(one.runs, two.runs, (size_t)one.first_run[7] * sizeof *one.runs), 0);
    attn_layout_destroy(&one);
    attn_layout_destroy(&two);
    free(starts);
}

static void test_a_sequence_beyond_memory_is_laid_out_at_once(void) {
    const int64_t length = INT64_C(1) << 31;
    attn_mask mask = mask_of(length, length, (attn_mask_spec){.causal = ATTN_CAUSAL});

    for (int i = 0; i < LAYOUTS; i++) {
        attn_layout layout = layout_of(names[i], 8, &mask);
        int64_t rows = 0;

        for (int64_t s = 0; s < 8; s++) rows += attn_layout_rows(&layout, s);
        CU_ASSERT_EQUAL(rows, length);
        attn_layout_destroy(&layout);
    }
    check_imbalance("zigzag", 8, &mask, 1.0001);
    check_imbalance("balanced", 8, &mask, 1.02);
}

/* Pair by pair. */
static void check_key_imbalance(const char *name, int64_t shards, const attn_mask *mask) {
    attn_layout queries = layout_of(name, shards, mask), keys;
    double most = 0, total = 0, imbalance = 0;
    attn_error error;

    CU_ASSERT_EQUAL(attn_layout_of_keys(&keys, &queries, mask->kv_length, &error), ATTN_OK);
    for (int64_t shard = 0; shard < shards; shard++) {
        double pairs = 0;

        for (int64_t run = 0; run < attn_layout_run_count(&keys, shard); run++) {
            attn_range rows = attn_layout_rows_of(&keys, attn_layout_run(&keys, shard, run));

            for (int64_t i = 0; i < mask->batch * mask->length; i++) {
                attn_visible seen = attn_mask_visible(mask, i / mask->length, i % mask->length);

                for (int s = 0; s < 2; s++)
                    for (int64_t key = seen.span[s].first; key < seen.span[s].last; key++)
                        pairs += key >= rows.first && key < rows.last;
            }
        }
        if (pairs > most) most = pairs;
        total += pairs;
    }
    CU_ASSERT_EQUAL(attn_layout_key_imbalance(&keys, mask, &imbalance, &error), ATTN_OK);
    CU_ASSERT_DOUBLE_EQUAL(imbalance, total > 0 ? most / total * (double)shards : 1, 1e-12);
    attn_layout_destroy(&keys);
    attn_layout_destroy(&queries);
}

static void test_the_imbalance_of_keys_counts_their_pairs(void) {
    static const int64_t lengths[] = {150, 0, 77}, none[] = {0, 0, 0};
    const attn_mask masks[] = {
        mask_of(200, 200, (attn_mask_spec){.causal = ATTN_CAUSAL}),
        mask_of(1, 300, (attn_mask_spec){.causal = ATTN_CAUSAL}),
        mask_of(70, 300,
                (attn_mask_spec){.causal = ATTN_CAUSAL, .windowed = 1, .left = 40, .first = 3}),
        {{.key_lengths = lengths}, 90, 160, 3},
        {{.key_lengths = none}, 90, 160, 3},
    };

    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++)
        for (int i = 0; i < LAYOUTS; i++)
            for (int64_t shards = 1; shards <= 5; shards++)
                check_key_imbalance(names[i], shards, &masks[m]);
}

/* --- keys ------------------------------------------------------------------------ */

static void test_as_many_keys_as_queries_are_the_same_rows(void) {
    for (int i = 0; i < LAYOUTS; i++) {
        attn_mask mask = mask_of(3000, 3000, (attn_mask_spec){.causal = ATTN_CAUSAL});
        attn_layout queries = layout_of(names[i], 5, &mask), keys, others;
        attn_error error;

        CU_ASSERT_EQUAL(attn_layout_of_keys(&keys, &queries, 3000, &error), ATTN_OK);
        CU_ASSERT_EQUAL(keys.kind, queries.kind);
        CU_ASSERT_EQUAL(memcmp(keys.first_run, queries.first_run, 6 * sizeof *keys.first_run), 0);
        CU_ASSERT_EQUAL(
            memcmp(keys.runs, queries.runs, (size_t)keys.first_run[5] * sizeof *keys.runs), 0);
        CU_ASSERT_EQUAL(attn_layout_of_keys(&others, &queries, 7777, &error), ATTN_OK);
        CU_ASSERT_STRING_EQUAL(attn_layout_name(others.kind),
                               strcmp(names[i], "balanced") == 0 ? "contiguous" : names[i]);
        check_ownership(&others);
        attn_layout_destroy(&others);
        attn_layout_destroy(&keys);
        attn_layout_destroy(&queries);
    }
}

/* --- lists of rows --------------------------------------------------------------- */

/* Members of all head groups together list each row once, and find what they list. */
static void test_lists_of_rows_make_up_the_sequence(void) {
    static const int64_t lengths[] = {1, 33, 301, 1021};

    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (int i = 0; i < LAYOUTS; i++)
            for (int64_t shards = 1; shards <= 6; shards++)
                for (int64_t members = 1; members <= 4; members++) {
                    int64_t length = lengths[l], wrong = 0;
                    attn_mask mask =
                        mask_of(length, length, (attn_mask_spec){.causal = ATTN_CAUSAL});
                    attn_layout layout = layout_of(names[i], shards, &mask);
                    char listed[1021] = {0};

                    for (int64_t rank = 0; rank < shards * members; rank++) {
                        int64_t rows = attn_layout_rows(&layout, rank / members), before = -1;
                        attn_row_list list;
                        attn_error error;

                        CU_ASSERT_EQUAL(
                            attn_row_list_create(&list, &layout, rank / members,
                                                 attn_deal(rows, members, rank % members), &error),
                            ATTN_OK);
                        for (int64_t own = 0; own < list.count; own++) {
                            int64_t row = attn_row_list_at(&list, own);
                            attn_rows rest = attn_row_list_from(&list, own, 3);

                            listed[row]++;
                            wrong += row <= before || attn_row_list_find(&list, row) != own;
                            wrong += rest.first != row || rest.count < 1 || rest.count > 3;
                            wrong += attn_row_list_at(&list, own + rest.count - 1) !=
                                     row + rest.count - 1;
                            before = row;
                        }
                        CU_ASSERT_EQUAL(attn_row_list_find(&list, length), -1);
                        attn_row_list_destroy(&list);
                    }
                    for (int64_t row = 0; row < length; row++) wrong += listed[row] != 1;
                    CU_ASSERT_EQUAL(wrong, 0);
                    attn_layout_destroy(&layout);
                }
}

/* --- reach ------------------------------------------------------------------------- */

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
        for (int i = 0; i < LAYOUTS; i++)
            for (int64_t shards = 1; shards <= 5; shards++) {
                attn_mask mask = mask_of(301, 301, specs[s]);
                attn_layout layout = layout_of(names[i], shards, &mask);
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
        {"the imbalance of keys counts their pairs", test_the_imbalance_of_keys_counts_their_pairs},
        {"every block is owned once", test_every_block_is_owned_once},
        {"runs are few", test_runs_are_few},
        {"balanced shards have no more runs than they need",
         test_balanced_shards_have_no_more_runs_than_they_need},
        {"causal zigzag and balanced are even from 64 blocks a rank on",
         test_causal_zigzag_and_balanced_are_even_from_64_blocks_a_rank_on},
        {"balanced is even on packed documents", test_balanced_is_even_on_packed_documents},
        {"balanced rows are even too", test_balanced_rows_are_even_too},
        {"auto takes what is even", test_auto_takes_what_is_even},
        {"the same request gives the same layout", test_the_same_request_gives_the_same_layout},
        {"a sequence beyond memory is laid out at once",
         test_a_sequence_beyond_memory_is_laid_out_at_once},
        {"as many keys as queries are the same rows",
         test_as_many_keys_as_queries_are_the_same_rows},
        {"lists of rows make up the sequence", test_lists_of_rows_make_up_the_sequence},
        {"reach has the blocks that queries see", test_reach_has_the_blocks_that_queries_see},
    };
    return attn_test_main("unit.layout", tests, ATTN_TEST_COUNT(tests));
}
