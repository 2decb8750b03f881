#include "plan_request.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>

#include "circulate.h"
#include "layout.h"
#include "mask_spec.h"
#include "terms_spec.h"
#include "topology.h"

static attn_status check_prepare(const attn_problem *problem, attn_error *error) {
    const char *refused = attn_rope_refused(&problem->rope, problem->key_dim);

    if (refused != NULL) return attn_fail(error, ATTN_ERR_CONFIG, "the rotation %s", refused);
    if (!isfinite(problem->qk_norm_eps) || problem->qk_norm_eps < 0)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "the eps of a norm must be positive and finite, or 0 for no norm");
    return attn_ok(error);
}

static attn_status check_mask(const attn_problem *problem, attn_error *error) {
    const char *part;
    attn_error reason;

    if (attn_mask_spec_check(problem, &part, &reason) == ATTN_OK) return attn_ok(error);
    return attn_fail(error, reason.status, "mask.%s: %s", part, reason.message);
}

static attn_status check_terms(const attn_problem *problem, attn_error *error) {
    const char *key;
    attn_error reason;

    if (attn_terms_spec_check(problem, &key, &reason) == ATTN_OK) return attn_ok(error);
    return attn_fail(error, reason.status, "%s: %s", key, reason.message);
}

static attn_status check_problem(const attn_problem *problem, attn_error *error) {
    /* Products of a few sizes stay far from 2^63 below this. */
    const double most_elems = 1e15;
    double widest =
        (double)problem->heads * ((double)problem->key_dim + (double)problem->value_dim + 2);
    double widest_row = fmax((double)problem->model_dim, (double)problem->memory_dim);
    double rows = (double)problem->batch * ((double)problem->length + (double)problem->kv_length);

    if (problem->batch < 1 || problem->length < 1 || problem->kv_length < 1 || problem->heads < 1 ||
        problem->kv_heads < 1 || problem->key_dim < 1 || problem->value_dim < 1 ||
        problem->model_dim < 0 || problem->memory_dim < 0)
        return attn_fail(error, ATTN_ERR_CONFIG, "a size of the problem is not positive");
    if (problem->heads % problem->kv_heads != 0)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "%" PRId64 " heads are not a multiple of %" PRId64 " kv heads",
                         problem->heads, problem->kv_heads);
    if (!isfinite(problem->scale) || problem->scale < 0)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "the scale must be positive and finite, or 0 for 1/sqrt(d_k)");
    if (problem->model_dim > 0 && problem->memory_dim == 0 && problem->length != problem->kv_length)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "a layer without memory attends to itself: %" PRId64
                         " queries, but %" PRId64 " keys",
                         problem->length, problem->kv_length);
    if (problem->memory_dim > 0 && problem->model_dim == 0)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "a memory needs a layer, whose keys and values are projected from it");
    if (check_prepare(problem, error) != ATTN_OK) return error->status;
    if (widest > INT_MAX / 4 || widest_row > INT_MAX / 4)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "a row of all heads must be shorter than %d elements", INT_MAX / 4);
    if (rows * (widest + widest_row) > most_elems)
        return attn_fail(error, ATTN_ERR_MEMORY,
                         "the arrays of the problem take %.2e GiB, but only %.2f GiB are available "
                         "on a node; use a shorter sequence or fewer heads",
                         rows * (widest + widest_row) * sizeof(float) / 0x1p30,
                         (double)attn_memory_available() / 0x1p30);
    if (check_mask(problem, error) != ATTN_OK) return error->status;
    return check_terms(problem, error);
}

static attn_status check_options(const attn_options *options, attn_error *error) {
    if (options->mesh_heads < 0 || options->mesh_sequence < 0 || options->threads < 0)
        return attn_fail(error, ATTN_ERR_CONFIG, "mesh and threads are positive, or 0 for auto");
    if (attn_storage_name((int)options->storage) == NULL)
        return attn_fail(error, ATTN_ERR_CONFIG, "there is no storage %d", (int)options->storage);
    if (options->circulate != NULL && attn_circulation_find(options->circulate) == NULL)
        return attn_fail(error, ATTN_ERR_CONFIG, "there is no circulation \"%s\"",
                         options->circulate);
    if (options->share_nodes < ATTN_SHARE_AUTO || options->share_nodes > ATTN_SHARE_ALWAYS)
        return attn_fail(error, ATTN_ERR_CONFIG, "there is no choice %d of sharing",
                         (int)options->share_nodes);
    if (options->layout != NULL && attn_layout_find(options->layout) < 0)
        return attn_fail(error, ATTN_ERR_CONFIG, "there is no layout \"%s\"", options->layout);
    return attn_ok(error);
}

attn_status attn_plan_request_check(const attn_problem *problem, const attn_options *options,
                                    attn_error *error) {
    if (check_problem(problem, error) != ATTN_OK) return error->status;
    return check_options(options, error);
}
