#include "config_rope.h"

#include <inttypes.h>

static attn_rope_scaling scaling_of(const attn_config *config) {
    if (!config->attention.rope_scaling) return ATTN_ROPE_UNSCALED;
    return (attn_rope_scaling)(config->attention.rope_scaling_kind + ATTN_ROPE_LINEAR);
}

static attn_status check_scaling(const attn_config *config, attn_error *error) {
    const double factor = config->attention.rope_factor;
    const int is_yarn = scaling_of(config) == ATTN_ROPE_YARN;

    if (!config->attention.rope_scaling) return ATTN_OK;
    if (config->attention.rope_scaling_kind == ATTN_AUTO)
        return attn_config_fail(config, "attention.rope.scaling", error, ATTN_ERR_CONFIG,
                                "has no kind; add kind: linear, ntk or yarn");
    if (factor == 0)
        return attn_config_fail(
            config, "attention.rope.scaling", error, ATTN_ERR_CONFIG,
            "has no factor; add factor: TIMES, how much longer a sequence gets");
    if (factor < 1)
        return attn_config_fail(config, "attention.rope.scaling.factor", error, ATTN_ERR_CONFIG,
                                "is %g; must be at least 1", factor);
    if (is_yarn && config->attention.rope_original_length == ATTN_AUTO)
        return attn_config_fail(config, "attention.rope.scaling", error, ATTN_ERR_CONFIG,
                                "has no original_length; yarn needs it: add original_length: ROWS "
                                "that the model was trained on");
    if (!is_yarn && config->attention.rope_original_length != ATTN_AUTO)
        return attn_config_fail(config, "attention.rope.scaling.original_length", error,
                                ATTN_ERR_CONFIG, "means nothing for kind: %s; leave it out",
                                attn_rope_scaling_name((int)scaling_of(config)));
    return ATTN_OK;
}

/* `dim` of heads `head_dim` wide, where both are known. */
static attn_status check_dim(const attn_config *config, int64_t dim, int64_t head_dim,
                             attn_error *error) {
    const int is_given = config->attention.rope_dim != ATTN_AUTO;
    const char *key = is_given ? "attention.rope.dim" : "attention.rope";

    if (dim == ATTN_AUTO) return ATTN_OK;
    if (dim % 2 != 0)
        return attn_config_fail(config, key, error, ATTN_ERR_CONFIG,
                                is_given ? "is %" PRId64 "; must be even: elements turn in pairs"
                                         : "would turn heads %" PRId64
                                           " wide; elements turn in pairs: add an even dim",
                                dim);
    if (head_dim != ATTN_AUTO && dim > head_dim)
        return attn_config_fail(config, key, error, ATTN_ERR_CONFIG,
                                "is %" PRId64
                                "; must be at most the width of a head, which is "
                                "%" PRId64,
                                dim, head_dim);
    if (scaling_of(config) == ATTN_ROPE_NTK && dim < 4)
        return attn_config_fail(config, key, error, ATTN_ERR_CONFIG,
                                "turns %" PRId64
                                " elements, which ntk cannot stretch; take "
                                "dim: 4 or more, or another kind",
                                dim);
    return ATTN_OK;
}

attn_status attn_config_rope_check(attn_config *config, attn_error *error) {
    if (!config->attention.rope) return ATTN_OK;
    if (config->attention.rope_theta <= 1)
        return attn_config_fail(config, "attention.rope.theta", error, ATTN_ERR_CONFIG,
                                "is %g; must be above 1", config->attention.rope_theta);
    if (check_scaling(config, error) != ATTN_OK) return error->status;
    return check_dim(config, config->attention.rope_dim, config->attention.head_dim, error);
}

attn_status attn_config_rope_of(const attn_config *config, int64_t head_dim, attn_rope *rope,
                                attn_error *error) {
    int64_t dim = config->attention.rope_dim == ATTN_AUTO ? head_dim : config->attention.rope_dim;

    *rope = (attn_rope){0};
    if (!config->attention.rope) return attn_ok(error);
    if (check_dim(config, dim, head_dim, error) != ATTN_OK) return error->status;
    rope->dim = (int32_t)dim;
    rope->theta = config->attention.rope_theta;
    rope->pairing = (attn_rope_pairing)config->attention.rope_pairing;
    rope->scaling = scaling_of(config);
    if (rope->scaling != ATTN_ROPE_UNSCALED) rope->factor = config->attention.rope_factor;
    if (rope->scaling == ATTN_ROPE_YARN)
        rope->original_length = config->attention.rope_original_length;
    return attn_ok(error);
}
