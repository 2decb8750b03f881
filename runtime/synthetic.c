#include "synthetic.h"

static uint64_t mix(uint64_t bits) {
    bits ^= bits >> 30;
    bits *= UINT64_C(0xbf58476d1ce4e5b9);
    bits ^= bits >> 27;
    bits *= UINT64_C(0x94d049bb133111eb);
    return bits ^ (bits >> 31);
}

uint64_t attn_synthetic_hash(uint64_t seed, uint64_t stream, uint64_t index) {
    const uint64_t golden = UINT64_C(0x9e3779b97f4a7c15);

    return mix(mix(mix(seed + golden) + (stream + 1) * golden) + index * golden);
}

/* Sum of the four 16-bit parts, each as an odd number in (−2^16, 2^16): exact. */
static int32_t sum_of_parts(uint64_t bits) {
    int32_t sum = 0;

    for (int part = 0; part < 4; part++) {
        sum += 2 * (int32_t)(bits & 0xffff) - 0xffff;
        bits >>= 16;
    }
    return sum;
}

void attn_synthetic_fill(int64_t seed, int32_t tensor, int64_t first, int64_t count, float scale,
                         float *out) {
    const double half_sqrt_3 = 0.86602540378443864676;
    const double unit = half_sqrt_3 / 65536 * (double)scale;

    for (int64_t i = 0; i < count; i++)
        out[i] = (float)(unit * sum_of_parts(attn_synthetic_hash((uint64_t)seed, (uint64_t)tensor,
                                                                 (uint64_t)(first + i))));
}
