/* Rounding to the storage, against the nearest of the two neighbours in bf16. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "attnspan/kernels.h"
#include "harness.h"

static float float_of(uint32_t bits) {
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static float rounded(float x) {
    uint16_t stored;

    attn_store(ATTN_BF16, &x, 1, &stored);
    return float_of((uint32_t)stored << 16);
}

static void test_names(void) {
    CU_ASSERT_STRING_EQUAL(attn_storage_name(ATTN_FP32), "fp32");
    CU_ASSERT_STRING_EQUAL(attn_storage_name(ATTN_BF16), "bf16");
    CU_ASSERT_PTR_NULL(attn_storage_name(ATTN_STORAGES));
    CU_ASSERT_PTR_NULL(attn_storage_name(-1));
    CU_ASSERT_EQUAL(attn_storage_bytes(ATTN_FP32), 4);
    CU_ASSERT_EQUAL(attn_storage_bytes(ATTN_BF16), 2);
}

/* All upper halves of finite numbers, and below each the halfway point and its neighbours. */
static void test_nearest_even(void) {
    static const uint32_t lower[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    int holds = 1;

    for (uint32_t upper = 0; upper < 0x10000; upper++) {
        if ((upper & 0x7f80u) == 0x7f80u) continue;
        for (size_t i = 0; i < sizeof lower / sizeof *lower; i++) {
            const float x = float_of(upper << 16 | lower[i]);
            const float below = float_of(upper << 16), above = float_of((upper + 1) << 16);
            /* Beyond the largest, the next number is one step away like the others. */
            const double next = isinf(above)
                                    ? 2.0 * (double)below - (double)float_of((upper - 1) << 16)
                                    : (double)above;
            const double down = fabs((double)x - (double)below), up = fabs(next - (double)x);
            const float wanted = down < up || (down == up && (upper & 1) == 0) ? below : above;
            const float got = rounded(x);

            holds &= memcmp(&got, &wanted, sizeof got) == 0;
        }
    }
    CU_ASSERT(holds);
}

static void test_special(void) {
    CU_ASSERT(rounded(INFINITY) == INFINITY && rounded(-INFINITY) == -INFINITY);
    CU_ASSERT(isnan(rounded(NAN)));
    CU_ASSERT(isnan(rounded(float_of(0x7f800001u)))); /* its upper half alone is an infinity */
    CU_ASSERT(isnan(rounded(float_of(0xffffffffu))));
    CU_ASSERT(signbit(rounded(-0.0f)));
}

static void test_fp32_is_kept(void) {
    const float data[3] = {1.1f, -0.0f, 3e38f};
    float stored[3];

    attn_store(ATTN_FP32, data, 3, stored);
    CU_ASSERT(memcmp(data, stored, sizeof data) == 0);
}

int main(void) {
    static const attn_test tests[] = {
        {"unit.storage.names", test_names},
        {"unit.storage.nearest_even", test_nearest_even},
        {"unit.storage.infinities_and_nan", test_special},
        {"unit.storage.fp32_is_kept", test_fp32_is_kept},
    };

    return attn_test_main("unit_storage", tests, ATTN_TEST_COUNT(tests));
}
