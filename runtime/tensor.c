#include "tensor.h"

#include <string.h>

#include "npy.h"
#include "safetensors.h"

int64_t attn_tensor_elems(const attn_tensor *tensor) {
    int64_t elems = 1;

    for (int32_t i = 0; i < tensor->dims; i++) elems *= tensor->shape[i];
    return elems;
}

int attn_tensor_bytes(int32_t dims, const int64_t *shape, attn_dtype dtype, int64_t *bytes) {
    int64_t product = attn_dtype_bytes(dtype);
    int empty = 0;

    for (int32_t i = 0; i < dims; i++) {
        if (shape[i] < 0) return 0;
        if (shape[i] == 0) {
            empty = 1;
            continue;
        }
        if (product > INT64_MAX / shape[i]) return 0;
        product *= shape[i];
    }
    *bytes = empty ? 0 : product;
    return 1;
}

static int ends_with(const char *text, const char *suffix) {
    size_t text_bytes = strlen(text), suffix_bytes = strlen(suffix);

    return text_bytes >= suffix_bytes && strcmp(text + text_bytes - suffix_bytes, suffix) == 0;
}

/* The '#' behind the last ".safetensors"; NULL when there is none. A path may
 * contain '#' before it, and a tensor's name behind it. */
static const char *find_separator(const char *reference) {
    static const char mark[] = ".safetensors#";
    const char *found = NULL;

    for (const char *at = strstr(reference, mark); at != NULL; at = strstr(at + 1, mark))
        found = at + sizeof mark - 2;
    return found;
}

static attn_status describe_safetensors(const char *reference, const char *separator,
                                        attn_tensor *tensor, attn_error *error) {
    char path[ATTN_PATH_BYTES];
    size_t path_bytes = (size_t)(separator - reference);
    const char *name = separator + 1;

    if (*name == '\0')
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: no tensor's name behind '#'; write FILE.safetensors#NAME", reference);
    memcpy(path, reference, path_bytes);
    path[path_bytes] = '\0';
    return attn_safetensors_describe(path, name, tensor, error);
}

attn_status attn_tensor_describe(const char *reference, attn_tensor *tensor, attn_error *error) {
    const char *separator = find_separator(reference);
    size_t path_bytes = separator ? (size_t)(separator - reference) : strlen(reference);

    if (path_bytes >= ATTN_PATH_BYTES)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%.64s...: a path of %zu bytes; must have less than %d", reference,
                         path_bytes, ATTN_PATH_BYTES);
    if (separator != NULL) return describe_safetensors(reference, separator, tensor, error);
    if (ends_with(reference, ".npy")) return attn_npy_describe(reference, tensor, error);
    if (ends_with(reference, ".safetensors"))
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: does not say which tensor of the file; write %s#NAME", reference,
                         reference);
    return attn_fail(error, ATTN_ERR_INPUT,
                     "%s: not a tensor's reference; must be FILE.npy or FILE.safetensors#NAME",
                     reference);
}
