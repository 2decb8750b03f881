/* tanh.h against libm's tanh in double. */
#include <math.h>
#include <stdint.h>

#include "../kernels/tanh.h"
#include "harness.h"

/* Relative error in units of 2^-24, which is what a result may be off by half of. */
static double error_of(float x) {
    const double exact = tanh((double)x);

    return fabs(((double)attn_tanh(x) - exact) / exact) / 0x1p-24;
}

static void test_accuracy(void) {
    double worst = 0;

    for (int64_t i = 1; i <= 2000000; i++) { /* to beyond the last that is not 1 */
        const double error = error_of((float)i * 5e-6f);

        worst = attn_larger_error(worst, error);
    }
    for (float x = 0x1p-126f; x < 10; x *= 1.0009f) { /* and near 0, where it is its argument */
        const double error = error_of(x);

        worst = attn_larger_error(worst, error);
    }
    CU_ASSERT(worst <= 6);
}

static void test_odd(void) {
    int holds = 1;

    for (float x = 0x1p-126f; x < 100; x *= 1.01f) holds &= attn_tanh(-x) == -attn_tanh(x);
    CU_ASSERT(holds);
    CU_ASSERT(attn_tanh(0.0f) == 0);
}

static void test_saturates(void) {
    static const float far[] = {9.02f, 9.5f, 20, 1e4f, 1e30f, 3e38f, INFINITY};

    for (size_t i = 0; i < sizeof far / sizeof *far; i++) {
        CU_ASSERT(fabs((double)attn_tanh(far[i]) - 1) <= 6 * 0x1p-24);
        CU_ASSERT(attn_tanh(far[i]) == attn_tanh(far[0]));
    }
    CU_ASSERT(isnan(attn_tanh(NAN)));
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.tanh.accuracy", test_accuracy},
        {"unit.tanh.is_odd", test_odd},
        {"unit.tanh.saturates", test_saturates},
    };

    return attn_test_main("unit_tanh", tests, ATTN_TEST_COUNT(tests));
}
