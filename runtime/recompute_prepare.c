#include "recompute_prepare.h"

#include <math.h>
#include <stddef.h>

int64_t attn_recompute_query_position(const attn_problem *problem, int64_t row) {
    /* Given q and k belong together, their last rows at one position, or their first. */
    int64_t rows_left = problem->length - row;

    if (problem->model_dim > 0 || problem->mask.causal == ATTN_CAUSAL_TOP_LEFT) return row;
    return problem->kv_length - rows_left;
}

static void norm_head(const attn_problem *problem, const double *norm, double *head) {
    double squares = 0, rms;

    for (int32_t c = 0; c < problem->key_dim; c++) squares += head[c] * head[c];
    rms = sqrt(squares / problem->key_dim + problem->qk_norm_eps);
    for (int32_t c = 0; c < problem->key_dim; c++)
        head[c] = head[c] / rms * (norm == NULL ? 1 : norm[c]);
}

/* Rows after which pair `pair` has turned once, by YaRN: between the wavelength and `factor`
 * times as many turns a row, weighed by where the pair lies between those that turn 32
 * times and once in the original length. */
static double yarn_wavelength(const attn_rope *rope, double pair, double wavelength) {
    const double full_turn = 2 * acos(-1.0);
    const double octaves = 2 * log(rope->theta) / rope->dim; /* from a pair to the next */
    double fast = floor(log((double)rope->original_length / 32 / full_turn) / octaves);
    double slow = ceil(log((double)rope->original_length / full_turn) / octaves);
    double stretched;

    if (fast < 0) fast = 0;
    if (slow > rope->dim - 1) slow = rope->dim - 1;
    if (pair <= fast) return wavelength;
    if (pair >= slow) return wavelength * rope->factor;
    stretched = (pair - fast) / (slow - fast);
    return 1 / (stretched / (wavelength * rope->factor) + (1 - stretched) / wavelength);
}

static double wavelength_of(const attn_rope *rope, double pair) {
    const double full_turn = 2 * acos(-1.0);
    double theta_log = log(rope->theta);
    double wavelength = full_turn * exp(2 * pair / rope->dim * theta_log);

    if (rope->scaling == ATTN_ROPE_LINEAR) wavelength *= rope->factor;
    if (rope->scaling == ATTN_ROPE_NTK) {
        theta_log += log(rope->factor) * rope->dim / (rope->dim - 2);
        wavelength = full_turn * exp(2 * pair / rope->dim * theta_log);
    }
    if (rope->scaling == ATTN_ROPE_YARN) wavelength = yarn_wavelength(rope, pair, wavelength);
    return wavelength;
}

/* Pair `pair` of all heads of all rows, as a complex number times m e^(iφ). */
static void turn_pair(const attn_problem *problem, int32_t pair, int64_t first, int64_t rows,
                      int64_t heads, double *data) {
    const attn_rope *rope = &problem->rope;
    const double full_turn = 2 * acos(-1.0), wavelength = wavelength_of(rope, pair);
    const double m = rope->scaling == ATTN_ROPE_YARN ? 1 + log(rope->factor) / 10 : 1;
    const int is_half = rope->pairing == ATTN_ROPE_HALF;
    const int32_t real = is_half ? pair : 2 * pair;
    const int32_t imaginary = is_half ? pair + rope->dim / 2 : 2 * pair + 1;

    for (int64_t row = 0; row < rows; row++) {
        const double angle = full_turn * ((double)(first + row) / wavelength);
        const double cosine = m * cos(angle), sine = m * sin(angle);

        for (int64_t head = 0; head < heads; head++) {
            double *at = data + (row * heads + head) * problem->key_dim;
            const double re = at[real], im = at[imaginary];

            at[real] = re * cosine - im * sine;
            at[imaginary] = re * sine + im * cosine;
        }
    }
}

void attn_recompute_prepare(const attn_problem *problem, const double *norm, int64_t first,
                            int64_t rows, int64_t heads, double *data) {
    if (problem->qk_norm_eps > 0)
        for (int64_t i = 0; i < rows * heads; i++)
            norm_head(problem, norm, data + i * problem->key_dim);
    for (int32_t pair = 0; pair < problem->rope.dim / 2; pair++)
        turn_pair(problem, pair, first, rows, heads, data);
}
