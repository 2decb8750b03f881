#include "terms_spec.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "agree.h"
#include "memory.h"

/* For a power of two n the slopes are 2^(−8/n), 2^(−16/n), …, 2^−8. Between powers the paper's
 * code takes those of the power below and fills up with every other one of the power above. */
void attn_alibi_slopes(int64_t heads, float *slopes) {
    int64_t below = 1;

    while (2 * below <= heads) below *= 2;
    for (int64_t head = 0; head < heads; head++)
        slopes[head] = head < below
                           ? (float)exp2(-8.0 * (double)(head + 1) / (double)below)
                           : (float)exp2(-4.0 * (double)(2 * (head - below) + 1) / (double)below);
}

/* --- what means something --------------------------------------------------- */

static attn_status check_softcap(const attn_problem *problem, attn_error *error) {
    const float softcap = problem->terms.softcap;

    if (isfinite(softcap) && softcap >= 0) return ATTN_OK;
    return attn_fail(error, ATTN_ERR_CONFIG, "is %g; must be above 0 and finite, or 0 for none",
                     (double)softcap);
}

static attn_status check_finite(const float *values, int64_t count, attn_error *error) {
    for (int64_t i = 0; values != NULL && i < count; i++)
        if (!isfinite(values[i]))
            return attn_fail(error, ATTN_ERR_CONFIG,
                             "have %g for head %" PRId64 "; each must be finite", (double)values[i],
                             i);
    return ATTN_OK;
}

static attn_status check_slopes(const attn_problem *problem, attn_error *error) {
    return check_finite(problem->terms.slopes, problem->heads, error);
}

/* A sink is brought down to the scores before their scale. */
static attn_status check_sinks(const attn_problem *problem, attn_error *error) {
    const float *sinks = problem->terms.sinks;
    const double scale =
        problem->scale > 0 ? (double)problem->scale : 1 / sqrt((double)problem->key_dim);

    if (check_finite(sinks, problem->heads, error) != ATTN_OK) return error->status;
    for (int64_t i = 0; sinks != NULL && i < problem->heads; i++)
        if (!isfinite((float)((double)sinks[i] / scale)))
            return attn_fail(error, ATTN_ERR_CONFIG,
                             "have %g for head %" PRId64
                             ", whose quotient with the scale fp32 cannot hold; must be smaller",
                             (double)sinks[i], i);
    return ATTN_OK;
}

static attn_status check_bias(const attn_problem *problem, attn_error *error) {
    const int64_t heads = problem->terms.bias_heads;

    if (heads == 0 || heads == 1 || heads == problem->heads) return ATTN_OK;
    return attn_fail(error, ATTN_ERR_CONFIG,
                     "is for %" PRId64 " heads; must be for 1 or for all %" PRId64, heads,
                     problem->heads);
}

attn_status attn_terms_spec_check(const attn_problem *problem, const char **key,
                                  attn_error *error) {
    static const struct {
        const char *key;
        attn_status (*check)(const attn_problem *problem, attn_error *error);
    } checks[] = {
        {"softcap", check_softcap},
        {"alibi.slopes", check_slopes},
        {"sinks", check_sinks},
        {"mask.bias", check_bias},
    };

    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        *key = checks[i].key;
        if (checks[i].check(problem, error) != ATTN_OK) return error->status;
    }
    return attn_ok(error);
}

/* --- arrays ----------------------------------------------------------------- */

int64_t attn_terms_spec_elems(const attn_terms *terms, int64_t heads) {
    return heads * ((terms->slopes != NULL) + (terms->sinks != NULL));
}

/* Slopes first, sinks behind them. */
static attn_status allocate(const attn_terms *terms, int64_t heads, float **memory,
                            attn_error *error) {
    const int64_t elems = attn_terms_spec_elems(terms, heads);

    *memory = NULL;
    if (elems == 0) return attn_ok(error);
    *memory = attn_alloc((size_t)elems, sizeof **memory);
    if (*memory == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the %" PRId64 " slopes and sinks",
                         elems);
    return attn_ok(error);
}

static void point_to(attn_terms *terms, int64_t heads, const float *memory) {
    if (terms->sinks != NULL) terms->sinks = memory + (terms->slopes != NULL ? heads : 0);
    if (terms->slopes != NULL) terms->slopes = memory;
}

attn_status attn_terms_spec_copy(attn_terms *terms, int64_t heads, float **memory,
                                 attn_error *error) {
    const size_t bytes = (size_t)heads * sizeof **memory;

    if (allocate(terms, heads, memory, error) != ATTN_OK) return error->status;
    if (terms->slopes != NULL) memcpy(*memory, terms->slopes, bytes);
    if (terms->sinks != NULL)
        memcpy(*memory + (terms->slopes != NULL ? heads : 0), terms->sinks, bytes);
    point_to(terms, heads, *memory);
    return attn_ok(error);
}

attn_status attn_terms_spec_broadcast(MPI_Comm comm, attn_terms *terms, int64_t heads,
                                      float **memory, attn_error *error) {
    enum { PIECE = 1 << 24 };
    const int64_t elems = attn_terms_spec_elems(terms, heads);
    int rank;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    attn_ok(error);
    if (rank != 0) allocate(terms, heads, memory, error);
    if (attn_agree(comm, "terms", error) != ATTN_OK) return error->status;
    for (int64_t done = 0; done < elems; done += PIECE)
        ATTN_MPI(MPI_Bcast(*memory + done, (int)(elems - done < PIECE ? elems - done : PIECE),
                           MPI_FLOAT, 0, comm));
    point_to(terms, heads, *memory);
    return attn_ok(error);
}

/* --- words ------------------------------------------------------------------ */

void attn_terms_spec_words(const attn_terms *terms, char *text, size_t bytes) {
    char softcap[48] = "";
    const char *const words[] = {
        softcap,
        terms->slopes == NULL ? "" : "ALiBi",
        terms->bias_heads == 0   ? ""
        : terms->bias_heads == 1 ? "a bias for all heads"
                                 : "a bias for each head",
        terms->sinks == NULL ? "" : "sinks",
    };
    size_t used = 0;

    if (terms->softcap > 0) snprintf(softcap, sizeof softcap, "softcap %g", (double)terms->softcap);
    text[0] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i][0] != '\0' && used < bytes)
            used += (size_t)snprintf(text + used, bytes - used, "%s%s", used == 0 ? "" : ", ",
                                     words[i]);
}
