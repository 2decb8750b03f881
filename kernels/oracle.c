/* oracle.c: naive attention in fp64, the reference of tests and of `verify`.
 *
 * Two passes over the keys of one query: the largest scaled score, then the sum
 * of exponentials and the weighted sum of values, in key order, with libm's
 * exp and tanh. Nothing is shared with the kernels, neither code nor order of rounding.
 *
 * Cost: visible keys · (4 key_dim + 2 value_dim) flops and one exp each. The
 * dot product runs in eight interleaved sums, which a compiler may keep in
 * vector registers without reordering anything. */
#include <math.h>

#include "attnspan/kernels.h"

enum { LANES = 8 };

static double dot(const double *a, const double *b, int32_t length) {
    double sums[LANES] = {0};
    double total = 0;
    int32_t i = 0;

    for (; i + LANES <= length; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sums[lane] += a[i + lane] * b[i + lane];
    for (; i < length; i++) total += a[i] * b[i];
    for (int lane = 0; lane < LANES; lane++) total += sums[lane];
    return total;
}

/* The score of key j of the piece. */
static double score_of(const double *query, const double *key, int32_t key_dim, double scale,
                       const attn_oracle_terms *terms, int64_t j) {
    double score = scale * dot(query, key, key_dim);

    if (terms == NULL) return score;
    if (terms->softcap > 0) score = terms->softcap * tanh(score / terms->softcap);
    score -= terms->slope * fabs((double)(j - terms->position));
    return terms->bias == NULL ? score : score + (double)terms->bias[j];
}

double attn_oracle_max(const double *query, const double *keys, ptrdiff_t key_stride,
                       int32_t key_dim, attn_interval visible, double scale,
                       const attn_oracle_terms *terms, double max) {
    for (int64_t j = visible.first; j < visible.last; j++) {
        const double score = score_of(query, keys + j * key_stride, key_dim, scale, terms, j);

        /* A NaN stays: it must not pass for a score that lost. */
        if (score > max || isnan(score)) max = score;
    }
    return max;
}

void attn_oracle_add(const double *query, const double *keys, ptrdiff_t key_stride,
                     const double *values, ptrdiff_t value_stride, int32_t key_dim,
                     int32_t value_dim, attn_interval visible, double scale,
                     const attn_oracle_terms *terms, double max, double *sum, double *out) {
    if (max == -INFINITY) return; /* no key of any piece is visible */
    for (int64_t j = visible.first; j < visible.last; j++) {
        const double *value = values + j * value_stride;
        const double score = score_of(query, keys + j * key_stride, key_dim, scale, terms, j);
        const double weight = exp(score - max);

        *sum += weight;
        for (int32_t c = 0; c < value_dim; c++) out[c] += weight * value[c];
    }
}

void attn_oracle_sink(double sink, int32_t value_dim, double *max, double *sum, double *out) {
    const double before = *max;

    *max = before >= sink || isnan(before) ? before : sink;
    if (*sum != 0) {
        const double factor = exp(before - *max);

        *sum *= factor;
        for (int32_t c = 0; c < value_dim; c++) out[c] *= factor;
    }
    *sum += exp(sink - *max);
}

void attn_oracle_finish(double max, double sum, int32_t value_dim, double *out, double *lse) {
    const int empty = sum == 0;

    for (int32_t c = 0; c < value_dim; c++) out[c] = empty ? 0 : out[c] / sum;
    *lse = empty ? -INFINITY : max + log(sum);
}
