/* The generator: counter-based, reproducible, with the moments it promises. */
#include "synthetic.h"

#include <math.h>
#include <string.h>

#include "harness.h"

enum { COUNT = 100000 };

static float values[COUNT];

static void test_an_element_does_not_depend_on_the_range_asked_for(void) {
    float part[100];

    attn_synthetic_fill(3, ATTN_SYNTHETIC_X, 0, COUNT, 1.0f, values);
    for (int64_t first = 0; first < COUNT - 100; first += 977) {
        attn_synthetic_fill(3, ATTN_SYNTHETIC_X, first, 100, 1.0f, part);
        CU_ASSERT_EQUAL(memcmp(part, values + first, sizeof part), 0);
    }
}

static void test_mean_variance_and_bound_are_as_promised(void) {
    const double scale = 0.5, bound = 2 * sqrt(3.0) * scale;
    double sum = 0, squares = 0, most = 0;

    attn_synthetic_fill(11, ATTN_SYNTHETIC_WEIGHT, 0, COUNT, (float)scale, values);
    for (int i = 0; i < COUNT; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
        most = fmax(most, fabs((double)values[i]));
    }
    /* Four standard errors: σ/√n for the mean, about σ²√(2/n) for the variance. */
    CU_ASSERT(fabs(sum / COUNT) < 4 * scale / sqrt(COUNT));
    CU_ASSERT(fabs(squares / COUNT - scale * scale) < 4 * scale * scale * sqrt(2.0 / COUNT));
    CU_ASSERT(most <= bound && most > 0.8 * bound);
}

static void test_seeds_and_tensors_are_unrelated(void) {
    static float others[COUNT];
    double product = 0;

    attn_synthetic_fill(1, ATTN_SYNTHETIC_Q, 0, COUNT, 1.0f, values);
    attn_synthetic_fill(2, ATTN_SYNTHETIC_Q, 0, COUNT, 1.0f, others);
    for (int i = 0; i < COUNT; i++) product += (double)values[i] * (double)others[i];
    CU_ASSERT(fabs(product / COUNT) < 4 / sqrt(COUNT));
    attn_synthetic_fill(1, ATTN_SYNTHETIC_K, 0, COUNT, 1.0f, others);
    product = 0;
    for (int i = 0; i < COUNT; i++) product += (double)values[i] * (double)others[i];
    CU_ASSERT(fabs(product / COUNT) < 4 / sqrt(COUNT));
}

/* Published figures must stay reproducible: these are the generator's first values. */
static void test_the_first_values_never_change(void) {
    float first[3];

    attn_synthetic_fill(42, ATTN_SYNTHETIC_X, 0, 3, 1.0f, first);
    CU_ASSERT_EQUAL(attn_synthetic_hash(42, 0, 0), UINT64_C(0xd417568e97401af3));
    CU_ASSERT_EQUAL(first[0], -0x1.e707f2p-3f);
    CU_ASSERT_EQUAL(first[1], 0x1.a4d59p-1f);
    CU_ASSERT_EQUAL(first[2], 0x1.a02384p+0f);
}

int main(void) {
    static const attn_test tests[] = {
        {"an element does not depend on the range asked for",
         test_an_element_does_not_depend_on_the_range_asked_for},
        {"mean, variance and bound are as promised", test_mean_variance_and_bound_are_as_promised},
        {"seeds and tensors are unrelated", test_seeds_and_tensors_are_unrelated},
        {"the first values never change", test_the_first_values_never_change},
    };
    return attn_test_main("unit.synthetic", tests, ATTN_TEST_COUNT(tests));
}
