/* exp2.h against libm's exp2 in double. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../kernels/exp2.h"
#include "harness.h"

/* Largest error over a dense sweep, in units of the last place of the result. */
static void test_accuracy(void) {
    double worst = 0;

    for (int64_t i = 0; i <= 126 * INT64_C(20000); i++) {
        const float x = -(float)i / 20000.0f;
        const double exact = exp2((double)x);
        const double ulp = exp2(floor((double)x) - 23);
        const double error = fabs((double)attn_exp2(x) - exact) / ulp;

        worst = attn_larger_error(worst, error);
    }
    for (int exponent = -60; exponent < 0; exponent++) { /* near 0, where weights are near 1 */
        const float x = -ldexpf(1.0f, exponent);
        const double error = fabs((double)attn_exp2(x) - exp2((double)x)) / 0x1p-24;

        worst = attn_larger_error(worst, error);
    }
    CU_ASSERT(worst <= 1.5);
}

static void test_exact(void) {
    CU_ASSERT(attn_exp2(0.0f) == 1.0f);
    CU_ASSERT(attn_exp2(-0.0f) == 1.0f);
    for (int n = -126; n <= 127; n++) CU_ASSERT(attn_exp2((float)n) == ldexpf(1.0f, n));
}

/* Adjacent steps may swap by a rounding, never by more. */
static void test_order(void) {
    float previous = attn_exp2(-126.0f);
    int holds = 1;

    for (int64_t i = -126 * INT64_C(8192) + 1; i <= 0; i++) {
        const float power = attn_exp2((float)i / 8192.0f);

        holds &= power > previous && power <= 1.0f;
        previous = power;
    }
    for (float x = -1e-6f; x < 0; x = nextafterf(x, 0) * 0.999f) holds &= attn_exp2(x) <= 1.0f;
    CU_ASSERT(holds);
}

static void test_flush(void) {
    static const float low[] = {-126.0001f, -127.0f, -150.0f, -1e4f,
                                -1e9f,      -1e30f,  -3e38f,  -INFINITY};
    const float above = nextafterf(-126.0f, 0);

    for (size_t i = 0; i < sizeof low / sizeof *low; i++) {
        CU_ASSERT(attn_exp2(low[i]) == 0.0f);
        CU_ASSERT(!signbit(attn_exp2(low[i])));
    }
    CU_ASSERT(attn_exp2(above) >= 0x1p-126f);
    CU_ASSERT(isnan(attn_exp2(NAN)));
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.exp2.accuracy", test_accuracy},
        {"unit.exp2.whole_powers_are_exact", test_exact},
        {"unit.exp2.keeps_order", test_order},
        {"unit.exp2.flushes_to_zero", test_flush},
    };

    return attn_test_main("unit_exp2", tests, ATTN_TEST_COUNT(tests));
}
