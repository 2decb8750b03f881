/* tanh.h: the hyperbolic tangent in fp32, for the cap of scores.
 *
 * tanh x = x P(x²) / Q(x²), two polynomials of degree 4 whose constant terms are exactly 1, fitted
 * to the least relative error over |x| <= ATTN_TANH_MOST (3.3e-8 after rounding the coefficients
 * to fp32); beyond, where the tangent is within 2^-25 of ±1, it is taken at that bound. What
 * remains is the rounding of the evaluation: the result is within 6 · 2^-24 of its due,
 * relatively, with or without fused operations, for the least arguments as for the largest.
 *
 * tanh(−x) is exactly −tanh(x). NaN stays NaN. */
#ifndef ATTN_KERNELS_TANH_H
#define ATTN_KERNELS_TANH_H

#define ATTN_TANH_MOST 9.02f

/* P(z) = 1 + z (P1 + z (P2 + z (P3 + z P4))), and Q likewise */
#define ATTN_TANH_P1 0x1.1213d2p-3f
#define ATTN_TANH_P2 0x1.ca6b2cp-9f
#define ATTN_TANH_P3 0x1.5a361ep-16f
#define ATTN_TANH_P4 0x1.cbe148p-27f
#define ATTN_TANH_Q1 0x1.de5f36p-2f
#define ATTN_TANH_Q2 0x1.a816dep-6f
#define ATTN_TANH_Q3 0x1.58d36cp-12f
#define ATTN_TANH_Q4 0x1.a23c40p-21f

/* Without a branch, so that loops over it vectorise. */
static inline float attn_tanh(float x) {
    const float least = x < -ATTN_TANH_MOST ? -ATTN_TANH_MOST : x;
    const float argument = least > ATTN_TANH_MOST ? ATTN_TANH_MOST : least;
    const float z = argument * argument;
    float p = ATTN_TANH_P4, q = ATTN_TANH_Q4;

    p = p * z + ATTN_TANH_P3;
    p = p * z + ATTN_TANH_P2;
    p = p * z + ATTN_TANH_P1;
    p = p * z + 1.0f;
    q = q * z + ATTN_TANH_Q3;
    q = q * z + ATTN_TANH_Q2;
    q = q * z + ATTN_TANH_Q1;
    q = q * z + 1.0f;
    return argument * p / q;
}

#endif
