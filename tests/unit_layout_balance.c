/* Layouts: shards have even work, as the mask has it, and the imbalance says what is uneven. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "laid_out.h"
#include "layout.h"

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

static void check_imbalance(const char *name, int64_t shards, const attn_mask *mask, double most) {
    attn_layout layout = attn_laid_out(name, shards, mask);
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
            attn_mask mask = attn_laid_out_mask(length, (attn_mask_spec){.causal = ATTN_CAUSAL});

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
            attn_mask mask = attn_laid_out_mask(length, spec);

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
            attn_mask mask = attn_laid_out_mask(50000, specs[s]);
            attn_layout layout = attn_laid_out("balanced", shards, &mask);
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
        attn_mask mask = attn_laid_out_mask(cases[c].length, cases[c].spec);
        attn_layout layout = attn_laid_out(NULL, cases[c].shards, &mask);

        CU_ASSERT_STRING_EQUAL(attn_layout_name(layout.kind), cases[c].expected);
        attn_layout_destroy(&layout);
    }
}

static void test_the_same_request_gives_the_same_layout(void) {
    int64_t *starts = mixed_documents(100, 60000);
    attn_mask_spec spec = {.causal = ATTN_CAUSAL, .document_count = 100, .document_starts = starts};
    attn_mask mask = attn_laid_out_mask(60000, spec);
    attn_layout one = attn_laid_out("balanced", 7, &mask),
                two = attn_laid_out("balanced", 7, &mask);

    CU_ASSERT_EQUAL(memcmp(one.first_run, two.first_run, 8 * sizeof *one.first_run), 0);
    CU_ASSERT_EQUAL(memcmp(one.runs, two.runs, (size_t)one.first_run[7] * sizeof *one.runs), 0);
    attn_layout_destroy(&one);
    attn_layout_destroy(&two);
    free(starts);
}

static void test_a_sequence_beyond_memory_is_laid_out_at_once(void) {
    const int64_t length = INT64_C(1) << 31;
    attn_mask mask = attn_laid_out_mask(length, (attn_mask_spec){.causal = ATTN_CAUSAL});

    for (int i = 0; i < ATTN_LAID_OUT_COUNT; i++) {
        attn_layout layout = attn_laid_out(attn_laid_out_names[i], 8, &mask);
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
    attn_layout queries = attn_laid_out(name, shards, mask), keys;
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
        attn_laid_out_mask(200, (attn_mask_spec){.causal = ATTN_CAUSAL}),
        {{.causal = ATTN_CAUSAL}, 1, 300, 1},
        {{.causal = ATTN_CAUSAL, .windowed = 1, .left = 40, .first = 3}, 70, 300, 1},
        {{.key_lengths = lengths}, 90, 160, 3},
        {{.key_lengths = none}, 90, 160, 3},
    };

    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++)
        for (int i = 0; i < ATTN_LAID_OUT_COUNT; i++)
            for (int64_t shards = 1; shards <= 5; shards++)
                check_key_imbalance(attn_laid_out_names[i], shards, &masks[m]);
}

int main(void) {
    static const attn_test tests[] = {
        {"causal zigzag and balanced are even from 64 blocks a rank on",
         test_causal_zigzag_and_balanced_are_even_from_64_blocks_a_rank_on},
        {"balanced is even on packed documents", test_balanced_is_even_on_packed_documents},
        {"balanced rows are even too", test_balanced_rows_are_even_too},
        {"auto takes what is even", test_auto_takes_what_is_even},
        {"the same request gives the same layout", test_the_same_request_gives_the_same_layout},
        {"a sequence beyond memory is laid out at once",
         test_a_sequence_beyond_memory_is_laid_out_at_once},
        {"the imbalance of keys counts their pairs", test_the_imbalance_of_keys_counts_their_pairs},
    };
    return attn_test_main("unit.layout_balance", tests, ATTN_TEST_COUNT(tests));
}
