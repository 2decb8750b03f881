#include "kernel_call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_memory.h"

enum { SCRATCH_GUARD = 16 }; /* bytes behind it */

/* Queries and keys are uniform in +-spread: scores of deviation 0.75, the largest about 4. */
static const float spread = 1.5f;

static struct {
    const attn_kernel *kernel;
    int few;
} tested;

void attn_call_set_kernel(const attn_kernel *kernel, int few) {
    tested.kernel = kernel;
    tested.few = few;
}

const attn_kernel *attn_call_kernel(void) {
    return tested.kernel;
}

int32_t attn_call_most_rows(void) {
    return tested.few ? ATTN_FEW_ROWS : tested.kernel->query_rows;
}

int attn_call_rounds_weights(void) {
    return tested.kernel->depth == 2 && !tested.few;
}

/* --- inputs --------------------------------------------------------------------------- */

static size_t stored_bytes(const attn_call *call, int64_t elems) {
    return (size_t)(elems * attn_storage_bytes(call->kernel->storage));
}

/* `elems` NaNs in the kernel's storage. */
static void *stored_nans(const attn_call *call, int64_t elems) {
    return attn_memory_nans(stored_bytes(call, elems));
}

/* Fills rows with numbers; the gaps between them stay NaN. */
static float *random_rows(int64_t rows, int32_t columns, ptrdiff_t stride, float largest) {
    const size_t elems = (size_t)((rows - 1) * stride + columns);
    float *data = attn_memory_nans(elems * sizeof *data);

    for (int64_t row = 0; row < rows; row++)
        for (int32_t i = 0; i < columns; i++)
            data[row * stride + i] = largest * attn_random_float();
    return data;
}

attn_call attn_call_new_of(const attn_kernel *kernel, int32_t rows, int64_t keys, int32_t key_dim,
                           int32_t value_dim) {
    attn_call call = {.kernel = kernel,
                      .rows = rows,
                      .key_dim = key_dim,
                      .value_dim = value_dim,
                      .keys = keys,
                      .query_stride = key_dim + attn_random_below(4),
                      .key_stride = key_dim + attn_random_below(4),
                      .value_stride = value_dim + attn_random_below(4),
                      .scale = 1.0f / sqrtf((float)key_dim)};
    const size_t scratch_bytes = kernel->scratch_bytes(key_dim, value_dim) + SCRATCH_GUARD;

    call.query = random_rows(rows, key_dim, call.query_stride, spread);
    call.key = random_rows(keys, key_dim, call.key_stride, spread);
    call.value = random_rows(keys, value_dim, value_dim, 1);
    call.stored_query = stored_nans(&call, (rows - 1) * call.query_stride + key_dim);
    call.stored_key = stored_nans(&call, (keys - 1) * call.key_stride + key_dim);
    call.stored_value = stored_nans(&call, (keys - 1) * call.value_stride + value_dim);
    call.packed_keys = stored_nans(&call, attn_packed_key_elems(kernel, keys, key_dim));
    call.packed_values = stored_nans(&call, attn_packed_value_elems(kernel, keys, value_dim));
    call.visible = attn_memory_aligned((size_t)rows * sizeof *call.visible);
    call.also = attn_memory_aligned((size_t)rows * sizeof *call.also);
    for (int32_t row = 0; row < rows; row++) {
        call.visible[row] = (attn_interval){0, keys};
        call.also[row] = (attn_interval){0, 0};
    }
    call.scratch = attn_memory_aligned(scratch_bytes);
    memset(call.scratch, 0xff, scratch_bytes); /* NaNs */
    return call;
}

attn_call attn_call_new(int32_t rows, int64_t keys, int32_t key_dim, int32_t value_dim) {
    return attn_call_new_of(tested.kernel, rows, keys, key_dim, value_dim);
}

void attn_call_free(attn_call *call) {
    attn_memory_free_nans(call->query);
    attn_memory_free_nans(call->key);
    attn_memory_free_nans(call->value);
    attn_memory_free_nans(call->stored_query);
    attn_memory_free_nans(call->stored_key);
    attn_memory_free_nans(call->stored_value);
    attn_memory_free_nans(call->packed_keys);
    attn_memory_free_nans(call->packed_values);
    free(call->visible);
    free(call->also);
    free(call->scratch);
    attn_call_free_terms(call);
}

int attn_call_scratch_holds(const attn_call *call) {
    const unsigned char *end = call->scratch;
    int holds = 1;

    end += call->kernel->scratch_bytes(call->key_dim, call->value_dim);
    for (size_t i = 0; i < SCRATCH_GUARD; i++) holds &= end[i] == 0xff;
    return holds;
}

/* --- terms of scores ------------------------------------------------------------------ */

static void add_slopes(attn_call *call) {
    call->slope = attn_memory_aligned((size_t)call->rows * sizeof *call->slope);
    call->position = attn_memory_aligned((size_t)call->rows * sizeof *call->position);
    for (int32_t row = 0; row < call->rows; row++) {
        call->slope[row] = ldexpf(8 / (float)(call->keys + 80), -(row % 9));
        call->position[row] = row * (call->keys + 80) / call->rows - 40;
    }
    call->terms.slope = call->slope;
    call->terms.position = call->position;
}

static void add_biases(attn_call *call) {
    call->bias = attn_memory_aligned((size_t)call->rows * sizeof *call->bias);
    for (int32_t row = 0; row < call->rows; row++)
        call->bias[row] = random_rows(1, (int32_t)call->keys, call->keys, 2);
    call->terms.bias = (const float *const *)call->bias;
}

void attn_call_add_terms(attn_call *call, int which) {
    call->has_terms = 1;
    if (which & ATTN_CALL_SOFTCAP) call->terms.softcap = 6;
    if (which & ATTN_CALL_SLOPES) add_slopes(call);
    if (which & ATTN_CALL_BIAS) add_biases(call);
}

void attn_call_free_terms(attn_call *call) {
    for (int32_t row = 0; call->bias != NULL && row < call->rows; row++)
        attn_memory_free_nans(call->bias[row]);
    free(call->bias);
    free(call->slope);
    free(call->position);
}

float attn_call_partial_scale(const attn_call *call) {
    return call->has_terms ? 1 : call->scale;
}

/* --- what the kernel gets ------------------------------------------------------------- */

float attn_call_element(const attn_call *call, const void *from, int64_t at) {
    uint32_t bits;
    uint16_t upper;
    float x;

    if (call->kernel->storage == ATTN_BF16) {
        memcpy(&upper, (const char *)from + 2 * at, sizeof upper);
        bits = (uint32_t)upper << 16;
    } else {
        memcpy(&bits, (const char *)from + 4 * at, sizeof bits);
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Stores rows of `columns` floats, `stride` apart, at rows `to_stride` apart, and rounds them to
 * what is stored. */
static void store(const attn_call *call, float *data, ptrdiff_t stride, int64_t rows,
                  int32_t columns, void *to, ptrdiff_t to_stride) {
    for (int64_t row = 0; row < rows; row++) {
        attn_store(call->kernel->storage, data + row * stride, columns,
                   (char *)to + stored_bytes(call, row * to_stride));
        for (int64_t i = 0; i < columns; i++)
            data[row * stride + i] = attn_call_element(call, to, row * to_stride + i);
    }
}

void attn_call_pack(const attn_call *call) {
    store(call, call->query, call->query_stride, call->rows, call->key_dim, call->stored_query,
          call->query_stride);
    store(call, call->key, call->key_stride, call->keys, call->key_dim, call->stored_key,
          call->key_stride);
    store(call, call->value, call->value_dim, call->keys, call->value_dim, call->stored_value,
          call->value_stride);
    call->kernel->pack_keys(call->stored_key, call->key_stride, call->keys, call->key_dim,
                            call->packed_keys);
    call->kernel->pack_values(call->stored_value, call->value_stride, call->keys, call->value_dim,
                              call->packed_values);
}

attn_block_args attn_call_args(const attn_call *call, int64_t first, int64_t last) {
    const char *keys = call->packed_keys, *values = call->packed_values;
    int64_t key_elems = attn_packed_key_elems(call->kernel, first, call->key_dim);
    int64_t value_elems = attn_packed_value_elems(call->kernel, first, call->value_dim);

    if (tested.few) {
        keys = call->stored_key;
        values = call->stored_value;
        key_elems = first * call->key_stride;
        value_elems = first * call->value_stride;
    }
    return (attn_block_args){.query = call->stored_query,
                             .query_stride = call->query_stride,
                             .rows = call->rows,
                             .key_dim = call->key_dim,
                             .value_dim = call->value_dim,
                             .keys = keys + stored_bytes(call, key_elems),
                             .values = values + stored_bytes(call, value_elems),
                             .key_stride = call->key_stride,
                             .value_stride = call->value_stride,
                             .key_count = last - first,
                             .visible = call->visible,
                             .also_visible = call->has_also ? call->also : NULL,
                             .scale = call->scale,
                             .terms = call->has_terms ? &call->terms : NULL,
                             .scratch = call->scratch};
}

void attn_call_attend(const attn_kernel *kernel, const attn_block_args *args, attn_partial result) {
    if (tested.few)
        kernel->attend_few(args, result);
    else
        kernel->attend(args, result);
}

attn_partial attn_call_result(const attn_call *call) {
    const attn_partial result = attn_partial_new(call->rows, call->value_dim);
    const attn_block_args args = attn_call_args(call, 0, call->keys);

    attn_call_pack(call);
    attn_call_attend(call->kernel, &args, result);
    return result;
}
