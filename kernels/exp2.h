/* exp2.h: 2^x in fp32, the exponential of every kernel.
 *
 * x = n + r with n the nearest integer, so |r| <= 1/2; 2^r is a polynomial of
 * degree 6 whose constant term is exactly 1, and 2^n is written into the
 * exponent bits. The coefficients minimise the largest relative error over
 * [-1/2, 1/2] (3.0e-9 after rounding them to fp32): what remains is the
 * rounding of the evaluation, within 1.5 ulp with or without fused operations.
 *
 * exp2(0) is exactly 1. Below ATTN_EXP2_LOWEST, and at -inf, the result is 0:
 * no subnormal is ever made. NaN stays NaN. */
#ifndef ATTN_KERNELS_EXP2_H
#define ATTN_KERNELS_EXP2_H

#include <stdint.h>
#include <string.h>

/* 2^r = 1 + r (C1 + r (C2 + r (C3 + r (C4 + r (C5 + r C6))))) */
#define ATTN_EXP2_C1 0x1.62e430p-1f
#define ATTN_EXP2_C2 0x1.ebfbdcp-3f
#define ATTN_EXP2_C3 0x1.c6af7cp-5f
#define ATTN_EXP2_C4 0x1.3b2de0p-7f
#define ATTN_EXP2_C5 0x1.5f0830p-10f
#define ATTN_EXP2_C6 0x1.416b5cp-13f

/* The least x whose power is a normal number. */
#define ATTN_EXP2_LOWEST (-126.0f)

/* 1.5 · 2^23: adding it rounds to the nearest integer, which then stands in the
 * low bits of the sum. */
#define ATTN_EXP2_ROUND 0x1.8p23f

#define ATTN_LOG2_E 0x1.715476p0f

/* The same for vectors with a permutation of lanes: x = n + i/8 + r, |r| <= 1/16,
 * and 2^x = T + T r (C1 + r (C2 + r C3)) with T = 2^n · 2^(i/8): half the
 * multiplications, which are what a kernel has no room for. The polynomial's
 * largest relative error is 2.6e-8, that of the whole within 1.5 ulp.
 *
 * Entry i of the table holds the bits of 2^(i/8) less i << 20: adding the whole
 * of 8 n + i, shifted by 20, writes n into the exponent and takes i away again.
 * At ATTN_EXP2_FLOOR, to which all below is raised, T is exactly 0; between there
 * and ATTN_EXP2_LOWEST it is subnormal, and the result within 2^-126 of its due. */
#define ATTN_EXP2_T_C1    0x1.62e432p-1f
#define ATTN_EXP2_T_C2    0x1.ec0c2ep-3f
#define ATTN_EXP2_T_C3    0x1.c68dfep-5f
#define ATTN_EXP2_T_ROUND 0x1.8p20f /* rounds to eighths; 8 n + i stands in the low bits */
#define ATTN_EXP2_T_SHIFT 20
#define ATTN_EXP2_FLOOR   (-127.0f)

static const uint32_t attn_exp2_table[8] = {0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7,
                                            0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};

/* The same for vectors that look up 32 floats and scale by powers of two: x = n + i/32 + r,
 * 0 <= r < 1/32, and 2^x = (T + T r (C1 + C2 r)) 2^n with T = 2^(i/32). The polynomial is 1 at
 * r = 0, so that 2^0 is exactly 1; its largest relative error is 6.6e-8, that of the whole
 * within 2 ulp. Adding the constant, rounded down, leaves 32 n + i in the low bits. */
#define ATTN_EXP2_W_BITS  5
#define ATTN_EXP2_W_C1    0x1.62e11ep-1f
#define ATTN_EXP2_W_C2    0x1.f0f3e6p-3f
#define ATTN_EXP2_W_ROUND 0x1.8p18f

static const float attn_exp2_wide_table[32] = {
    0x1.000000p0f, 0x1.059b0ep0f, 0x1.0b5586p0f, 0x1.11301ep0f, 0x1.172b84p0f, 0x1.1d4874p0f,
    0x1.2387a6p0f, 0x1.29e9e0p0f, 0x1.306fe0p0f, 0x1.371a74p0f, 0x1.3dea64p0f, 0x1.44e086p0f,
    0x1.4bfdaep0f, 0x1.5342b6p0f, 0x1.5ab07ep0f, 0x1.6247ecp0f, 0x1.6a09e6p0f, 0x1.71f75ep0f,
    0x1.7a1148p0f, 0x1.82589ap0f, 0x1.8ace54p0f, 0x1.93737cp0f, 0x1.9c4918p0f, 0x1.a5503cp0f,
    0x1.ae89fap0f, 0x1.b7f770p0f, 0x1.c199bep0f, 0x1.cb720ep0f, 0x1.d5818ep0f, 0x1.dfc974p0f,
    0x1.ea4afap0f, 0x1.f50766p0f};

/* 2^x for x <= 127. Without a branch, so that loops over it vectorise: what lies
 * below the lowest x is cleared as bits, not chosen. */
static inline float attn_exp2(float x) {
    const float rounded = x + ATTN_EXP2_ROUND;
    const float r = x - (rounded - ATTN_EXP2_ROUND);
    const uint32_t keep = (uint32_t)(x < ATTN_EXP2_LOWEST) - 1; /* all ones, or 0 below */
    float power = ATTN_EXP2_C6, scale;
    uint32_t bits;

    power = power * r + ATTN_EXP2_C5;
    power = power * r + ATTN_EXP2_C4;
    power = power * r + ATTN_EXP2_C3;
    power = power * r + ATTN_EXP2_C2;
    power = power * r + ATTN_EXP2_C1;
    power = power * r + 1.0f;

    memcpy(&bits, &rounded, sizeof bits);
    bits = (bits << 23) + UINT32_C(0x3f800000);
    memcpy(&scale, &bits, sizeof scale);
    power *= scale;

    memcpy(&bits, &power, sizeof bits);
    bits &= keep;
    memcpy(&power, &bits, sizeof power);
    return power;
}

#endif
