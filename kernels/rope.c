/* rope.c: rotary position embedding: frequencies, tables, and the turn itself.
 *
 * A table is made once, when a plan is: one cos and one sin of libm for each pair of each
 * row, from scratch. (The angle-addition recurrence would be cheaper, but its rounding
 * depends on where it starts, and rows start elsewhere on another mesh.) A turn then reads
 * the table and takes 3 dim flops. */
#include "attnspan/rope.h"

#include <math.h>
#include <stddef.h>

static const double two_pi = 6.28318530717958647693;

const char *attn_rope_pairing_name(int pairing) {
    static const char *const names[] = {
        [ATTN_ROPE_HALF] = "half", [ATTN_ROPE_INTERLEAVED] = "interleaved"};

    return pairing >= 0 && pairing < (int)(sizeof names / sizeof *names) ? names[pairing] : NULL;
}

/* --- scalings ----------------------------------------------------------------- */

static double plain(const attn_rope *rope, double theta, int32_t pair) {
    return pow(theta, -2.0 * pair / rope->dim);
}

static double unscaled(const attn_rope *rope, int32_t pair) {
    return plain(rope, rope->theta, pair);
}

static double linear(const attn_rope *rope, int32_t pair) {
    return plain(rope, rope->theta, pair) / rope->factor;
}

static double ntk(const attn_rope *rope, int32_t pair) {
    const double theta = rope->theta * pow(rope->factor, rope->dim / (rope->dim - 2.0));

    return plain(rope, theta, pair);
}

/* The pair, as a real number, that turns `turns` times over the original length. */
static double pair_of_turns(const attn_rope *rope, double turns) {
    const double length = (double)rope->original_length;

    return rope->dim * log(length / (two_pi * turns)) / (2 * log(rope->theta));
}

static double yarn(const attn_rope *rope, int32_t pair) {
    const double fast_turns = 32, slow_turns = 1; /* beta_fast, beta_slow of the paper */
    const double first = fmax(floor(pair_of_turns(rope, fast_turns)), 0);
    const double last = fmin(ceil(pair_of_turns(rope, slow_turns)), rope->dim - 1);
    const double width = last > first ? last - first : 0.001; /* a step */
    const double ramp = fmin(fmax((pair - first) / width, 0), 1);
    const double frequency = plain(rope, rope->theta, pair);

    return (1 - ramp) * frequency + ramp * frequency / rope->factor;
}

static double yarn_magnitude(const attn_rope *rope) {
    return 1 + 0.1 * log(rope->factor);
}

static const struct {
    const char *name;
    double (*frequency)(const attn_rope *rope, int32_t pair);
    double (*magnitude)(const attn_rope *rope); /* NULL: 1 */
    int32_t least_dim;
    int64_t least_length; /* of original_length: c(1) is positive then */
} scalings[] = {
    [ATTN_ROPE_UNSCALED] = {"none", unscaled, NULL, 2, 0},
    [ATTN_ROPE_LINEAR] = {"linear", linear, NULL, 2, 0},
    [ATTN_ROPE_NTK] = {"ntk", ntk, NULL, 4, 0},
    [ATTN_ROPE_YARN] = {"yarn", yarn, yarn_magnitude, 2, 8},
};

enum { SCALINGS = sizeof scalings / sizeof *scalings };

const char *attn_rope_scaling_name(int scaling) {
    return scaling >= 0 && scaling < (int)SCALINGS ? scalings[scaling].name : NULL;
}

const char *attn_rope_refused(const attn_rope *rope, int32_t head_dim) {
    if (rope->dim == 0) return NULL;
    if (attn_rope_pairing_name((int)rope->pairing) == NULL) return "has an unknown pairing";
    if (attn_rope_scaling_name((int)rope->scaling) == NULL) return "has an unknown scaling";
    if (rope->dim < 0 || rope->dim % 2 != 0) return "has an odd dim; elements turn in pairs";
    if (rope->dim > head_dim) return "has a dim above the width of a head; at most all of it turns";
    if (!isfinite(rope->theta) || rope->theta <= 1) return "has a theta that is not above 1";
    if (rope->scaling == ATTN_ROPE_UNSCALED) return NULL;
    if (!isfinite(rope->factor) || rope->factor < 1) return "has a factor below 1";
    if (rope->dim < scalings[rope->scaling].least_dim)
        return "has a dim below 4, which ntk cannot stretch";
    if (rope->original_length < scalings[rope->scaling].least_length)
        return "has an original length below 8, which yarn cannot stretch";
    return NULL;
}

double attn_rope_frequency(const attn_rope *rope, int32_t pair) {
    return scalings[rope->scaling].frequency(rope, pair);
}

double attn_rope_magnitude(const attn_rope *rope) {
    return scalings[rope->scaling].magnitude == NULL ? 1 : scalings[rope->scaling].magnitude(rope);
}

/* --- tables and turns --------------------------------------------------------- */

void attn_rope_table(const attn_rope *rope, int64_t first, int64_t rows, float *table) {
    const int32_t pairs = rope->dim / 2;
    const double magnitude = attn_rope_magnitude(rope);

    for (int32_t pair = 0; pair < pairs; pair++) {
        const double frequency = attn_rope_frequency(rope, pair);

        for (int64_t row = 0; row < rows; row++) {
            const double angle = (double)(first + row) * frequency;
            float *cosines = table + row * rope->dim;

            cosines[pair] = (float)(magnitude * cos(angle));
            cosines[pairs + pair] = (float)(magnitude * sin(angle));
        }
    }
}

static void turn_halves(int32_t pairs, const float *restrict cosines, const float *restrict sines,
                        float *restrict low, float *restrict high) {
    for (int32_t p = 0; p < pairs; p++) {
        const float a = low[p], b = high[p];

        low[p] = a * cosines[p] - b * sines[p];
        high[p] = b * cosines[p] + a * sines[p];
    }
}

static void turn_neighbours(int32_t pairs, const float *restrict cosines,
                            const float *restrict sines, float *restrict head) {
    for (int32_t p = 0; p < pairs; p++) {
        const float a = head[2 * p], b = head[2 * p + 1];

        head[2 * p] = a * cosines[p] - b * sines[p];
        head[2 * p + 1] = b * cosines[p] + a * sines[p];
    }
}

void attn_rope_turn(const attn_rope *rope, const float *row, float *head) {
    const int32_t pairs = rope->dim / 2;

    if (rope->pairing == ATTN_ROPE_HALF)
        turn_halves(pairs, row, row + pairs, head, head + pairs);
    else
        turn_neighbours(pairs, row, row + pairs, head);
}
