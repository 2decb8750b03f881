#include "dtype.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Elements are copied into integers and floats as they lie in the file. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensor files are little-endian");

int64_t attn_dtype_bytes(attn_dtype dtype) {
    static const int64_t bytes_of[] = {
#define ATTN_DTYPE_BYTES(name, bytes, text) bytes,
        ATTN_DTYPE_LIST(ATTN_DTYPE_BYTES)
#undef ATTN_DTYPE_BYTES
    };
    return bytes_of[dtype];
}

const char *attn_dtype_name(attn_dtype dtype) {
    static const char *const name_of[] = {
#define ATTN_DTYPE_TEXT(name, bytes, text) text,
        ATTN_DTYPE_LIST(ATTN_DTYPE_TEXT)
#undef ATTN_DTYPE_TEXT
    };
    return name_of[dtype];
}

static float float_of_bits(uint32_t bits) {
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* fp16 is 1 sign, 5 exponent (bias 15) and 10 fraction bits; fp32's bias is 127.
 * A subnormal fp16 is its fraction times 2^-24, which fp32 holds exactly. */
static float float_of_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = ((uint32_t)half >> 10) & 0x1fu;
    uint32_t fraction = half & 0x3ffu;

    if (exponent == 0) {
        float magnitude = (float)fraction * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    if (exponent == 0x1f) return float_of_bits(sign | 0x7f800000u | fraction << 13);
    return float_of_bits(sign | (exponent + (127 - 15)) << 23 | fraction << 13);
}

static void convert_f32(const unsigned char *elems, int64_t count, float *out) {
    if ((const void *)elems != (const void *)out) memcpy(out, elems, (size_t)count * sizeof *out);
}

static void convert_f64(const unsigned char *elems, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) {
        double value;
        memcpy(&value, elems + i * (int64_t)sizeof value, sizeof value);
        out[i] = (float)value;
    }
}

static void convert_f16(const unsigned char *elems, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, elems + i * (int64_t)sizeof half, sizeof half);
        out[i] = float_of_half(half);
    }
}

/* bf16 is the upper half of an fp32. */
static void convert_bf16(const unsigned char *elems, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t upper;
        memcpy(&upper, elems + i * (int64_t)sizeof upper, sizeof upper);
        out[i] = float_of_bits((uint32_t)upper << 16);
    }
}

typedef void (*convert_function)(const unsigned char *elems, int64_t count, float *out);

static const convert_function converters[] = {
    [ATTN_DTYPE_F32] = convert_f32,
    [ATTN_DTYPE_F64] = convert_f64,
    [ATTN_DTYPE_F16] = convert_f16,
    [ATTN_DTYPE_BF16] = convert_bf16,
};

/* By bits, so that no compiler flag about finite maths can remove the check. */
static int is_finite(float value) {
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

int64_t attn_dtype_to_fp32(attn_dtype dtype, const void *elems, int64_t count, float *out) {
    int64_t i = 0;

    converters[dtype](elems, count, out);
    while (i < count && is_finite(out[i])) i++;
    return i;
}

/* An element as a double; exact. */
static double widened(attn_dtype dtype, const void *elem) {
    double value;
    float narrow;

    if (dtype == ATTN_DTYPE_F64) {
        memcpy(&value, elem, sizeof value);
        return value;
    }
    converters[dtype](elem, 1, &narrow);
    return (double)narrow;
}

int attn_dtype_is_minus_infinity(attn_dtype dtype, const void *elem) {
    const double value = widened(dtype, elem);

    return isinf(value) && value < 0;
}

void attn_dtype_defect(attn_dtype dtype, const void *elem, char text[ATTN_DEFECT_BYTES]) {
    const double value = widened(dtype, elem);

    if (isnan(value))
        snprintf(text, ATTN_DEFECT_BYTES, "NaN");
    else if (isinf(value))
        snprintf(text, ATTN_DEFECT_BYTES, "%sinfinity", value < 0 ? "-" : "");
    else
        snprintf(text, ATTN_DEFECT_BYTES, "%.9g, beyond the range of fp32", value);
}
