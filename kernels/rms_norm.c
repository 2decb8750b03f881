/* rms_norm.c: root mean square norm of a head of q or k.
 *
 * The sum of squares runs in eight interleaved fp64 sums, added up in a fixed order: a
 * compiler may keep them in vector registers without reordering anything. Squares of fp32
 * neither overflow nor vanish in fp64. 5 dim flops. */
#include <math.h>
#include <stddef.h>

#include "attnspan/rope.h"

enum { LANES = 8 };

static double sum_of_squares(const float *head, int32_t dim) {
    double sums[LANES] = {0};
    double total = 0;
    int32_t i = 0;

    for (; i + LANES <= dim; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += (double)head[i + lane] * (double)head[i + lane];
    for (; i < dim; i++) total += (double)head[i] * (double)head[i];
    for (int lane = 0; lane < LANES; lane++) total += sums[lane];
    return total;
}

void attn_rms_norm(float *head, int32_t dim, double eps, const float *weight) {
    const double factor = 1 / sqrt(sum_of_squares(head, dim) / dim + eps);

    if (weight == NULL)
        for (int32_t i = 0; i < dim; i++) head[i] = (float)((double)head[i] * factor);
    else
        for (int32_t i = 0; i < dim; i++)
            head[i] = (float)((double)head[i] * factor * (double)weight[i]);
}
