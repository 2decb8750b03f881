/* Masks: the closed forms against counting, and lengths that only a closed form
 * can count. */
#include <stdint.h>

#include "attnspan/kernels.h"
#include "harness.h"

static int sees(const attn_mask *mask, int64_t query, int64_t key) {
    return mask->kind == ATTN_MASK_NONE || key < query + 1 + mask->kv_length - mask->length;
}

static void check_mask(const attn_mask *mask) {
    int64_t counts[16] = {0}; /* keys that the queries before see, and the query */

    for (int64_t row = 0; row < mask->length; row++) {
        const attn_interval visible = attn_mask_visible(mask, row);
        int same = visible.first >= 0 && visible.last <= mask->kv_length;

        counts[row + 1] = counts[row];
        for (int64_t key = 0; key < mask->kv_length; key++) {
            same &= sees(mask, row, key) == (key >= visible.first && key < visible.last);
            counts[row + 1] += sees(mask, row, key);
        }
        CU_ASSERT(same);
    }
    for (int64_t first = 0; first <= mask->length; first++)
        for (int64_t last = 0; last <= mask->length; last++)
            CU_ASSERT(attn_mask_pairs(mask, first, last) ==
                      (first < last ? counts[last] - counts[first] : 0));
}

static void test_small(void) {
    for (int kind = ATTN_MASK_NONE; kind <= ATTN_MASK_CAUSAL; kind++)
        for (int64_t length = 1; length <= 12; length++)
            for (int64_t kv_length = 1; kv_length <= 14; kv_length++) {
                const attn_mask mask = {(attn_mask_kind)kind, length, kv_length};

                check_mask(&mask);
            }
}

static void test_large(void) {
    const int64_t n = INT64_C(1) << 31;
    const attn_mask causal = {ATTN_MASK_CAUSAL, n, n};
    const attn_mask none = {ATTN_MASK_NONE, n, n};
    const attn_mask decode = {ATTN_MASK_CAUSAL, 1, INT64_MAX};
    const attn_mask lone = {ATTN_MASK_CAUSAL, INT64_MAX, 1};

    CU_ASSERT(attn_mask_pairs(&none, 0, n) == n * n);
    CU_ASSERT(attn_mask_pairs(&causal, 0, n) == n / 2 * (n + 1));
    CU_ASSERT(attn_mask_pairs(&causal, n - 3, n) == 3 * n - 3);
    CU_ASSERT(attn_mask_pairs(&decode, 0, 1) == INT64_MAX);
    CU_ASSERT(attn_mask_visible(&decode, 0).last == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&lone, 0, INT64_MAX) == 1);
    CU_ASSERT(attn_mask_visible(&lone, 0).last == 0);
    CU_ASSERT(attn_mask_visible(&lone, INT64_MAX - 1).last == 1);
}

/* The largest product below 2^63 is exact, the next is held at INT64_MAX. */
static void test_saturation(void) {
    const int64_t huge = INT64_C(1) << 40;
    const attn_mask none = {ATTN_MASK_NONE, huge, huge};
    const attn_mask causal = {ATTN_MASK_CAUSAL, huge, huge};
    const attn_mask all = {ATTN_MASK_CAUSAL, INT64_MAX, INT64_MAX};
    const int64_t most = INT64_C(4294967295); /* most (most + 1) / 2 < 2^63 */
    const attn_mask fits = {ATTN_MASK_CAUSAL, most, most};

    CU_ASSERT(attn_mask_pairs(&none, 0, huge) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&none, 0, 1 << 22) == INT64_C(1) << 62);
    CU_ASSERT(attn_mask_pairs(&none, 0, 1 << 23) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&causal, 0, huge) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&causal, 0, 1 << 23) == (INT64_C(1) << 22) * ((1 << 23) + 1));
    CU_ASSERT(attn_mask_pairs(&all, 0, INT64_MAX) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&all, INT64_MAX - 1, INT64_MAX) == INT64_MAX);
    CU_ASSERT(attn_mask_pairs(&fits, 0, most) == INT64_C(9223372034707292160));
}

static void test_names(void) {
    CU_ASSERT_STRING_EQUAL(attn_mask_name(ATTN_MASK_NONE), "none");
    CU_ASSERT_STRING_EQUAL(attn_mask_name(ATTN_MASK_CAUSAL), "causal");
    CU_ASSERT_PTR_NULL(attn_mask_name(ATTN_MASK_CAUSAL + 1));
    CU_ASSERT_PTR_NULL(attn_mask_name(-1));
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.mask.closed_form_counts", test_small},
        {"unit.mask.large_lengths", test_large},
        {"unit.mask.saturates", test_saturation},
        {"unit.mask.names", test_names},
    };

    return attn_test_main("unit_mask", tests, ATTN_TEST_COUNT(tests));
}
