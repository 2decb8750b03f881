/* Conversion to fp32: every fp16 and bf16 pattern, the corners of fp64. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "dtype.h"
#include "harness.h"

/* fp16 by its definition, (-1)^s 2^(e-15) (1 + f/1024), in double arithmetic. */
static double value_of_half(unsigned half) {
    int exponent = (int)(half >> 10 & 0x1f);
    double fraction = (double)(half & 0x3ff) / 1024;
    double magnitude = exponent == 0 ? ldexp(fraction, -14) : ldexp(1 + fraction, exponent - 15);

    return half & 0x8000 ? -magnitude : magnitude;
}

static int same_bits(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0;
}

static void every_fp16_is_exact(void) {
    int wrong = 0;

    for (unsigned i = 0; i <= 0xffff; i++) {
        uint16_t half = (uint16_t)i;
        float got;
        int64_t finite = attn_dtype_to_fp32(ATTN_DTYPE_F16, &half, 1, &got);
        if ((i & 0x7c00) == 0x7c00)
            wrong += finite != 0 || ((i & 0x3ff) != 0 ? !isnan(got) : !isinf(got));
        else
            wrong += finite != 1 || !same_bits(got, (float)value_of_half(i));
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void every_bf16_is_exact(void) {
    int wrong = 0;

    for (unsigned i = 0; i <= 0xffff; i++) {
        uint16_t brain = (uint16_t)i;
        uint32_t bits = (uint32_t)i << 16;
        float got, right;
        int64_t finite = attn_dtype_to_fp32(ATTN_DTYPE_BF16, &brain, 1, &got);
        memcpy(&right, &bits, sizeof right);
        wrong += finite != (isfinite(right) ? 1 : 0) || !same_bits(got, right);
    }
    CU_ASSERT_EQUAL(wrong, 0);
}

static void fp64_is_rounded_to_nearest(void) {
    const double ulp = (double)FLT_EPSILON;
    const double in[] = {1 + ulp / 2, 1 + ulp * 0.75, 1 + ulp * 1.5, (double)FLT_MAX, 1e-60, -0.0};
    const float right[] = {1, 1 + FLT_EPSILON, 1 + 2 * FLT_EPSILON, FLT_MAX, 0, -0.0f};
    enum { COUNT = sizeof in / sizeof *in };
    float got[COUNT];

    CU_ASSERT_EQUAL(attn_dtype_to_fp32(ATTN_DTYPE_F64, in, COUNT, got), COUNT);
    for (int i = 0; i < COUNT; i++) CU_ASSERT(same_bits(got[i], right[i]));
}

static void fp32_converts_in_place(void) {
    float values[] = {1, -2, 0x1p-149f, INFINITY, 5};

    CU_ASSERT_EQUAL(attn_dtype_to_fp32(ATTN_DTYPE_F32, values, 5, values), 3);
    CU_ASSERT_EQUAL(values[2], 0x1p-149f);
    CU_ASSERT_EQUAL(attn_dtype_to_fp32(ATTN_DTYPE_F32, values, 3, values), 3);
    CU_ASSERT_EQUAL(attn_dtype_to_fp32(ATTN_DTYPE_F32, values, 0, values), 0);
}

static void unaligned_elements_convert(void) {
    const double in[2] = {3.5, -7};
    unsigned char bytes[sizeof in + 1];
    float got[2];

    memcpy(bytes + 1, in, sizeof in);
    CU_ASSERT_EQUAL(attn_dtype_to_fp32(ATTN_DTYPE_F64, bytes + 1, 2, got), 2);
    CU_ASSERT(got[0] == 3.5f && got[1] == -7.0f);
}

static void defects_are_named(void) {
    const double large = -1e300, not_a_number = (double)NAN;
    const uint16_t half = 0xfc00;
    char text[ATTN_DEFECT_BYTES];

    attn_dtype_defect(ATTN_DTYPE_F64, &large, text);
    CU_ASSERT_STRING_EQUAL(text, "-1e+300, beyond the range of fp32");
    attn_dtype_defect(ATTN_DTYPE_F64, &not_a_number, text);
    CU_ASSERT_STRING_EQUAL(text, "NaN");
    attn_dtype_defect(ATTN_DTYPE_F16, &half, text);
    CU_ASSERT_STRING_EQUAL(text, "-infinity");
}

/* What rounding makes an infinity of is none. */
static void minus_infinity_is_told_from_large_numbers(void) {
    const double doubles[] = {(double)-INFINITY, (double)INFINITY, -1e300, (double)NAN};
    const float floats[] = {-INFINITY, INFINITY, -3e38f, NAN};
    const uint16_t fp16[] = {0xfc00, 0x7c00, 0xfbff, 0xfe00};
    const uint16_t bf16[] = {0xff80, 0x7f80, 0xff7f, 0xffc0};

    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(attn_dtype_is_minus_infinity(ATTN_DTYPE_F64, &doubles[i]), i == 0);
        CU_ASSERT_EQUAL(attn_dtype_is_minus_infinity(ATTN_DTYPE_F32, &floats[i]), i == 0);
        CU_ASSERT_EQUAL(attn_dtype_is_minus_infinity(ATTN_DTYPE_F16, &fp16[i]), i == 0);
        CU_ASSERT_EQUAL(attn_dtype_is_minus_infinity(ATTN_DTYPE_BF16, &bf16[i]), i == 0);
    }
}

int main(void) {
    static const attn_test tests[] = {
        {"every fp16 is exact", every_fp16_is_exact},
        {"every bf16 is exact", every_bf16_is_exact},
        {"fp64 is rounded to nearest", fp64_is_rounded_to_nearest},
        {"fp32 converts in place", fp32_converts_in_place},
        {"unaligned elements convert", unaligned_elements_convert},
        {"defects are named", defects_are_named},
        {"minus infinity is told from large numbers", minus_infinity_is_told_from_large_numbers},
    };

    return attn_test_main("dtype", tests, ATTN_TEST_COUNT(tests));
}
