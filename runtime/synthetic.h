/* synthetic.h: input without a file, the same on any number of ranks.
 *
 * A counter-based generator: an element's value depends on the seed, the tensor
 * and the element's index alone, and only on integer and exactly rounded
 * arithmetic, so it is the same on every machine. Not collective.
 *
 *     value = scale · √3/2 · Σ_{i<4} u_i,   u_i uniform in (−1, 1)
 *
 * (Irwin–Hall: mean 0, variance scale²; near enough to a normal distribution, and
 * bounded by 2√3 scale.) The u_i are the four 16-bit parts of a hash: SplitMix64's
 * finaliser (Steele, Lea & Flood 2014) of seed, tensor and index.
 */
#ifndef ATTN_RUNTIME_SYNTHETIC_H
#define ATTN_RUNTIME_SYNTHETIC_H

#include <stdint.h>

typedef enum attn_synthetic_tensor {
    ATTN_SYNTHETIC_X,
    ATTN_SYNTHETIC_Q,
    ATTN_SYNTHETIC_K,
    ATTN_SYNTHETIC_V,
    ATTN_SYNTHETIC_WEIGHT, /* + projection */
    ATTN_SYNTHETIC_BIAS = ATTN_SYNTHETIC_WEIGHT + 4,
    ATTN_SYNTHETIC_MEMORY = ATTN_SYNTHETIC_BIAS + 4,
    ATTN_SYNTHETIC_NORM, /* + 0 of q, + 1 of k */
} attn_synthetic_tensor;

/* Elements [first, first + count) of a tensor, to `out`. */
void attn_synthetic_fill(int64_t seed, int32_t tensor, int64_t first, int64_t count, float scale,
                         float *out);

/* A 64-bit hash of (seed, stream, index); also used to choose rows. */
uint64_t attn_synthetic_hash(uint64_t seed, uint64_t stream, uint64_t index);

#endif
