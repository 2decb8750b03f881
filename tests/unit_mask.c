/* Masks: what a row sees against the definition, one pair at a time; pairs and spans against
 * counting; and lengths that only a closed form can count. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "harness.h"

enum { MOST = 16 };

/* The definition of kernels.h, written out anew. */
static int sees(const attn_mask *mask, int64_t item, int64_t query, int64_t key) {
    const attn_mask_spec *spec = &mask->spec;
    const int64_t beside =
        spec->causal == ATTN_CAUSAL_TOP_LEFT ? query : query - (mask->length - mask->kv_length);
    int64_t start = 0;
    int in_window = 1;

    if (spec->key_lengths != NULL && key >= spec->key_lengths[item]) return 0;
    for (int64_t d = 0; d < spec->document_count; d++) {
        const int64_t from = spec->document_starts[d], to = spec->document_starts[d + 1];

        if (query < from || query >= to) continue;
        if (key < from || key >= to) return 0;
        start = from;
    }
    if (key - start < spec->prefix) return 1;
    if (spec->causal != ATTN_NOT_CAUSAL && key > beside) return 0;
    if (spec->windowed && spec->left >= 0 && beside - key > spec->left) in_window = 0;
    if (spec->windowed && spec->right >= 0 && key - beside > spec->right) in_window = 0;
    return in_window || key - start < spec->first;
}

static void describe(const attn_mask *mask) {
    const attn_mask_spec *s = &mask->spec;

    fprintf(stderr,
            "    N %d, N_kv %d, causal %d, window %d [%d, %d], prefix %d, first %d, documents %d, "
            "key lengths %d\n",
            (int)mask->length, (int)mask->kv_length, (int)s->causal, (int)s->windowed, (int)s->left,
            (int)s->right, (int)s->prefix, (int)s->first, (int)s->document_count,
            s->key_lengths != NULL);
}

/* Whether the runs are within bounds, ascending and apart. */
static int is_proper(attn_visible seen, int64_t keys) {
    const attn_interval *a = &seen.span[0], *b = &seen.span[1];

    if (a->last == 0) return a->first == 0 && b->first == 0 && b->last == 0;
    if (a->first < 0 || a->first >= a->last || a->last > keys) return 0;
    if (b->last == 0) return b->first == 0;
    return a->last < b->first && b->first < b->last && b->last <= keys;
}

static int is_in(attn_visible seen, int64_t key) {
    for (int i = 0; i < 2; i++)
        if (key >= seen.span[i].first && key < seen.span[i].last) return 1;
    return 0;
}

static int rows_hold(const attn_mask *mask) {
    int hold = 1;

    for (int64_t item = 0; item < mask->batch; item++)
        for (int64_t row = 0; row < mask->length; row++) {
            const attn_visible seen = attn_mask_visible(mask, item, row);

            hold &= is_proper(seen, mask->kv_length);
            for (int64_t key = 0; key < mask->kv_length; key++)
                hold &= is_in(seen, key) == sees(mask, item, row, key);
        }
    return hold;
}

/* Pairs and span of the rows [first, last) of the items [from, to). */
static int range_holds(const attn_mask *mask, int64_t item, int64_t from, int64_t to, int64_t first,
                       int64_t last) {
    const attn_visible span = attn_mask_span(mask, item, first, last);
    int64_t pairs = 0, least = MOST, most = -1, end = span.span[1].last;
    int hold = is_proper(span, mask->kv_length);
    int is_one = mask->spec.document_count == 0;

    for (int64_t d = 0; d < mask->spec.document_count; d++)
        is_one |=
            mask->spec.document_starts[d] <= first && last <= mask->spec.document_starts[d + 1];
    for (int64_t key = 0; key < mask->kv_length; key++) {
        int64_t seen = 0;

        for (int64_t i = from; i < to; i++)
            for (int64_t row = first; row < last; row++) seen += sees(mask, i, row, key);
        pairs += seen;
        if (seen > 0 && key < least) least = key;
        if (seen > 0) most = key;
        hold &= is_in(span, key) >= (seen > 0);
        if (is_one) hold &= is_in(span, key) == (seen > 0);
    }
    if (end == 0) end = span.span[0].last;
    if (most < 0)
        hold &= end == 0;
    else
        hold &= span.span[0].first == least && end == most + 1;
    return hold && attn_mask_pairs(mask, item, first, last) == pairs;
}

static int ranges_hold(const attn_mask *mask) {
    int hold = 1;

    for (int64_t first = 0; first <= mask->length; first++)
        for (int64_t last = 0; last <= mask->length; last++) {
            for (int64_t item = 0; item < mask->batch; item++)
                hold &= range_holds(mask, item, item, item + 1, first, last);
            hold &= range_holds(mask, ATTN_MASK_EVERY_ITEM, 0, mask->batch, first, last);
        }
    return hold;
}

static void check_mask(const attn_mask *mask) {
    const int rows = rows_hold(mask), ranges = ranges_hold(mask);

    CU_ASSERT(rows);
    CU_ASSERT(ranges);
    if (!rows || !ranges) describe(mask);
}

/* Calls check_mask for causal × window × prefix × first on the mask's lengths. */
static void check_combinations(attn_mask mask, const int64_t *lefts, int left_count) {
    static const int64_t rights[] = {-1, 0, 2}, prefixes[] = {0, 3}, firsts[] = {0, 1, 4};

    for (int causal = ATTN_NOT_CAUSAL; causal <= ATTN_CAUSAL_TOP_LEFT; causal++)
        for (int l = -1; l < left_count; l++)
            for (int r = 0; r < (l < 0 ? 1 : 3); r++)
                for (int p = 0; p < 2; p++)
                    for (int f = 0; f < 3; f++) {
                        mask.spec.causal = (attn_causal)causal;
                        mask.spec.windowed = l >= 0;
                        mask.spec.left = l < 0 ? 0 : lefts[l];
                        mask.spec.right = rights[r];
                        mask.spec.prefix = prefixes[p];
                        mask.spec.first = firsts[f];
                        check_mask(&mask);
                    }
}

static void test_all_and_causal(void) {
    for (int causal = ATTN_NOT_CAUSAL; causal <= ATTN_CAUSAL_TOP_LEFT; causal++)
        for (int64_t length = 1; length <= 12; length++)
            for (int64_t kv_length = 1; kv_length <= 14; kv_length++) {
                const attn_mask mask = {{.causal = (attn_causal)causal}, length, kv_length, 1};

                check_mask(&mask);
            }
}

static void test_windows_prefixes_and_first_keys(void) {
    static const int64_t lefts[] = {-1, 0, 2, 5};
    static const int64_t lengths[][2] = {{1, 1}, {1, 9}, {9, 1}, {10, 10}, {5, 11}, {11, 6}};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check_combinations((attn_mask){{0}, lengths[i][0], lengths[i][1], 1}, lefts, 4);
}

static void test_documents(void) {
    static const int64_t lefts[] = {-1, 0, 3};
    static const int64_t starts[][6] = {{0, 11},       {0, 1, 11},       {0, 10, 11},
                                        {0, 6, 7, 11}, {0, 1, 2, 3, 11}, {0, 4, 5, 9, 10, 11}};
    static const int64_t counts[] = {1, 2, 2, 3, 4, 5};

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        check_combinations(
            (attn_mask){{.document_count = counts[i], .document_starts = starts[i]}, 11, 11, 1},
            lefts, 3);
}

static void test_key_lengths(void) {
    static const int64_t lefts[] = {-1, 2};
    static const int64_t key_lengths[] = {6, 0, 9, 1};
    static const int64_t starts[] = {0, 2, 6, 9};
    const attn_mask_spec padded = {.key_lengths = key_lengths};
    const attn_mask_spec packed = {
        .key_lengths = key_lengths, .document_count = 3, .document_starts = starts};

    check_combinations((attn_mask){padded, 9, 9, 4}, lefts, 2);
    check_combinations((attn_mask){padded, 4, 9, 3}, lefts, 2);
    check_combinations((attn_mask){padded, 12, 9, 2}, lefts, 2);
    check_combinations((attn_mask){packed, 9, 9, 4}, lefts, 2);
}

/* With one item's keys cut off at each length. */
static void test_each_key_length_over_documents(void) {
    static const int64_t starts[] = {0, 3, 4, 8};

    for (int64_t keys = 0; keys <= 8; keys++) {
        const attn_mask mask = {{.causal = ATTN_CAUSAL,
                                 .windowed = 1,
                                 .left = 1,
                                 .first = 1,
                                 .document_count = 3,
                                 .document_starts = starts,
                                 .key_lengths = &keys},
                                8,
                                8,
                                1};
        check_mask(&mask);
    }
}

/* The longest gap stays out of a span over several documents. */
static void test_spans_leave_out_the_longest_gap(void) {
    static const int64_t starts[] = {0, 100, 400};
    const attn_mask mask = {{.causal = ATTN_CAUSAL,
                             .windowed = 1,
                             .left = 4,
                             .first = 2,
                             .document_count = 2,
                             .document_starts = starts},
                            400,
                            400,
                            1};
    const attn_visible span = attn_mask_span(&mask, 0, 50, 60);
    const attn_visible two = attn_mask_span(&mask, 0, 90, 110);
    const attn_mask one = {
        {.causal = ATTN_CAUSAL, .windowed = 1, .left = 4, .first = 2}, 400, 400, 1};
    const attn_visible late = attn_mask_span(&one, 0, 300, 400);

    CU_ASSERT(span.span[0].first == 0 && span.span[0].last == 2);
    CU_ASSERT(span.span[1].first == 46 && span.span[1].last == 60);
    CU_ASSERT(two.span[0].first == 0 && two.span[0].last == 2);
    CU_ASSERT(two.span[1].first == 86 && two.span[1].last == 110);
    CU_ASSERT(late.span[0].last == 2 && late.span[1].first == 296 && late.span[1].last == 400);
}

static void test_large(void) {
    const int64_t n = INT64_C(1) << 31;
    const attn_mask causal = {{.causal = ATTN_CAUSAL}, n, n, 1};
    const attn_mask none = {{0}, n, n, 1};
    const attn_mask window = {{.causal = ATTN_CAUSAL, .windowed = 1, .left = 4095}, n, n, 3};
    const attn_mask decode = {{.causal = ATTN_CAUSAL}, 1, INT64_MAX, 1};
    const attn_mask lone = {{.causal = ATTN_CAUSAL}, INT64_MAX, 1, 1};
    const attn_mask wide = {
        {.windowed = 1, .left = INT64_MAX, .right = INT64_MAX, .first = INT64_MAX}, n, n, 1};

    CU_ASSERT(attn_mask_pairs(&none, 0, 0, n) == n * n);
    CU_ASSERT(attn_mask_pairs(&wide, 0, 0, n) == n * n);
    CU_ASSERT(attn_mask_pairs(&causal, 0, 0, n) == n / 2 * (n + 1));
    CU_ASSERT(attn_mask_pairs(&causal, 0, n - 3, n) == 3 * n - 3);
    CU_ASSERT(attn_mask_pairs(&window, 0, 0, n) == (n - 4096) * 4096 + 4096 * 4097 / 2);
    CU_ASSERT(attn_mask_pairs(&window, ATTN_MASK_EVERY_ITEM, n - 1, n) == 3 * 4096);
    CU_ASSERT(attn_mask_pairs(&decode, 0, 0, 1) == INT64_MAX);
    CU_ASSERT(attn_mask_visible(&decode, 0, 0).span[0].last == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&lone, 0, 0, INT64_MAX) == 1);
    CU_ASSERT(attn_mask_visible(&lone, 0, 0).span[0].last == 0);
    CU_ASSERT(attn_mask_visible(&lone, 0, INT64_MAX - 1).span[0].last == 1);
    CU_ASSERT(attn_mask_span(&lone, 0, 0, INT64_MAX - 1).span[0].last == 0);
}

/* The largest product below 2^63 is exact, the next is held at INT64_MAX. */
static void test_saturation(void) {
    const int64_t huge = INT64_C(1) << 40;
    const attn_mask none = {{0}, huge, huge, 1};
    const attn_mask causal = {{.causal = ATTN_CAUSAL}, huge, huge, 1};
    const attn_mask all = {{.causal = ATTN_CAUSAL}, INT64_MAX, INT64_MAX, 1};
    const attn_mask items = {{0}, 1 << 20, huge, 1 << 20};
    const int64_t most = INT64_C(4294967295); /* most (most + 1) / 2 < 2^63 */
    const attn_mask fits = {{.causal = ATTN_CAUSAL}, most, most, 1};

    CU_ASSERT(attn_mask_pairs(&none, 0, 0, huge) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&none, 0, 0, 1 << 22) == INT64_C(1) << 62);
    CU_ASSERT(attn_mask_pairs(&none, 0, 0, 1 << 23) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&causal, 0, 0, huge) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&causal, 0, 0, 1 << 23) == (INT64_C(1) << 22) * ((1 << 23) + 1));
    CU_ASSERT(attn_mask_pairs(&all, 0, 0, INT64_MAX) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&all, 0, INT64_MAX - 1, INT64_MAX) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&fits, 0, 0, most) == INT64_C(9223372034707292160));
    CU_ASSERT(attn_mask_pairs(&items, 5, 0, 1 << 20) == INT64_C(1) << 60);
    CU_ASSERT(attn_mask_pairs(&items, ATTN_MASK_EVERY_ITEM, 0, 1 << 20) == INT64_MAX);
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.mask.all_and_causal", test_all_and_causal},
        {"unit.mask.windows_prefixes_and_first_keys", test_windows_prefixes_and_first_keys},
        {"unit.mask.documents", test_documents},
        {"unit.mask.key_lengths", test_key_lengths},
        {"unit.mask.each_key_length_over_documents", test_each_key_length_over_documents},
        {"unit.mask.spans_leave_out_the_longest_gap", test_spans_leave_out_the_longest_gap},
        {"unit.mask.large_lengths", test_large},
        {"unit.mask.saturates", test_saturation},
    };

    return attn_test_main("unit_mask", tests, ATTN_TEST_COUNT(tests));
}
