/* Advice about tensors that were not found.
 *
 * 1. A name that ends as the first weight of a scheme does gives a prefix; it fits when all
 *    weights of the scheme are there by that prefix.
 * 2. Prefixes of the config's own scheme are looked for first, then those of the others.
 * 3. Of several, the one that shares most with the config's prefix is named, and how many
 *    there are: the layers of a model.
 */
#include "weights_missing.h"

#include <stdio.h>
#include <string.h>

#include "names.h"
#include "weights.h"

enum { ADVICE_BYTES = 512 };

/* The layers that a scheme finds. */
typedef struct weight_hint {
    int scheme;
    char prefix[ATTN_NAME_BYTES]; /* of the one to name */
    size_t count;
} weight_hint;

/* `prefix` and the name of a weight, in `text`, which is returned. */
static const char *full_name(const char *prefix, int scheme, int projection,
                             char text[ATTN_WEIGHT_NAME_BYTES]) {
    snprintf(text, ATTN_WEIGHT_NAME_BYTES, "%s%s", prefix, attn_scheme_weight(scheme, projection));
    return text;
}

static int fits(const attn_checkpoint *checkpoint, int scheme, const char *prefix) {
    char name[ATTN_WEIGHT_NAME_BYTES];

    for (int i = 0; i < ATTN_PROJECTIONS; i++)
        if (!attn_checkpoint_lists(checkpoint, full_name(prefix, scheme, i, name))) return 0;
    return 1;
}

static size_t shared_bytes(const char *left, const char *right) {
    size_t bytes = 0;

    while (left[bytes] != '\0' && left[bytes] == right[bytes]) bytes++;
    return bytes;
}

static void find_layers(const attn_checkpoint *checkpoint, int scheme, const char *wanted,
                        weight_hint *hint) {
    const char *weight = attn_scheme_weight(scheme, 0);
    size_t count, weight_bytes = strlen(weight);
    const char *const *names = attn_checkpoint_names(checkpoint, &count);

    *hint = (weight_hint){.scheme = scheme};
    for (size_t i = 0; i < count; i++) {
        size_t bytes = strlen(names[i]);
        char prefix[ATTN_NAME_BYTES];

        if (bytes < weight_bytes || bytes - weight_bytes >= sizeof prefix) continue;
        bytes -= weight_bytes;
        if (strcmp(names[i] + bytes, weight) != 0) continue;
        memcpy(prefix, names[i], bytes);
        prefix[bytes] = '\0';
        if (!fits(checkpoint, scheme, prefix)) continue;
        if (hint->count++ == 0 || shared_bytes(wanted, prefix) > shared_bytes(wanted, hint->prefix))
            memcpy(hint->prefix, prefix, sizeof prefix);
    }
}

static void find_hint(const attn_checkpoint *checkpoint, int scheme, const char *prefix,
                      weight_hint *hint) {
    find_layers(checkpoint, scheme, prefix, hint);
    for (int other = 0; hint->count == 0 && attn_scheme_name(other) != NULL; other++)
        find_layers(checkpoint, other, prefix, hint);
}

/* "; set input.weights.scheme: llama and input.weights.prefix: layers.0. (or …)" */
static void write_advice(const weight_hint *hint, int scheme, const char *prefix,
                         char text[ADVICE_BYTES]) {
    int other_scheme = hint->scheme != scheme, other_prefix = strcmp(hint->prefix, prefix) != 0;
    const char *glue = other_scheme ? " and " : "; ";
    char buffer[ATTN_NAME_SHOWN_BYTES], others[64] = "";
    size_t used = 0;

    text[0] = '\0';
    if (other_scheme)
        used = (size_t)snprintf(text, ADVICE_BYTES, "; set input.weights.scheme: %s",
                                attn_scheme_name(hint->scheme));
    if (hint->count > 1)
        snprintf(others, sizeof others, " (or another of the %zu that fit)", hint->count);
    if (other_prefix && hint->prefix[0] == '\0')
        snprintf(text + used, ADVICE_BYTES - used, "%sleave input.weights.prefix out", glue);
    else if (other_prefix)
        snprintf(text + used, ADVICE_BYTES - used, "%s%sinput.weights.prefix: %s%s", glue,
                 other_scheme ? "" : "set ", attn_names_show(hint->prefix, buffer), others);
}

/* The names that the scheme looks for, each once: q, k and v may be in one tensor. */
static const char *write_wanted(int scheme, const char *prefix, char text[ATTN_NAMES_SHOWN_BYTES]) {
    char names[ATTN_PROJECTIONS][ATTN_WEIGHT_NAME_BYTES];
    const char *list[ATTN_PROJECTIONS];
    size_t count = 0;

    for (int i = 0; i < ATTN_PROJECTIONS; i++) {
        const char *name = full_name(prefix, scheme, i, names[i]);
        if (count == 0 || strcmp(list[count - 1], name) != 0) list[count++] = name;
    }
    return attn_names_join(list, count, text);
}

attn_status attn_weights_missing(const attn_checkpoint *checkpoint, int scheme, const char *prefix,
                                 const char *name, const char **key, attn_error *error) {
    char buffer[ATTN_NAME_SHOWN_BYTES], advice[ADVICE_BYTES], wanted[ATTN_NAMES_SHOWN_BYTES];
    char list[ATTN_NAMES_SHOWN_BYTES];
    const char *const *names;
    weight_hint hint;
    size_t count;

    find_hint(checkpoint, scheme, prefix, &hint);
    attn_names_show(name, buffer);
    write_wanted(scheme, prefix, wanted);
    if (hint.count > 0) {
        *key = hint.scheme == scheme ? "input.weights.prefix" : "input.weights.scheme";
        write_advice(&hint, scheme, prefix, advice);
        return attn_fail(error, ATTN_ERR_INPUT, "%s: has no tensor '%s'%s; scheme %s looks for %s",
                         attn_checkpoint_path(checkpoint), buffer, advice, attn_scheme_name(scheme),
                         wanted);
    }
    names = attn_checkpoint_names(checkpoint, &count);
    return attn_fail(error, ATTN_ERR_INPUT,
                     "%s: has no tensor '%s'; scheme %s looks for %s; it has %s",
                     attn_checkpoint_path(checkpoint), buffer, attn_scheme_name(scheme), wanted,
                     attn_names_join(names, count, list));
}
