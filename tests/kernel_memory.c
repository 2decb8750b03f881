#include "kernel_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 16 }; /* floats before and after */

static const float canary = 12345.0f;

/* --- random numbers ------------------------------------------------------------------- */

uint32_t attn_random_bits(void) {
    static uint64_t state = 1;

    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(state >> 32);
}

int32_t attn_random_below(int64_t count) {
    return (int32_t)(attn_random_bits() % (uint32_t)count);
}

float attn_random_float(void) {
    return (float)(attn_random_bits() >> 8) * 0x1p-23f - 1.0f;
}

/* --- memory --------------------------------------------------------------------------- */

void *attn_memory_aligned(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);

    if (memory == NULL) abort();
    return memory;
}

void *attn_memory_nans(size_t bytes) {
    char *memory = malloc(4 + bytes);

    if (memory == NULL) abort();
    memset(memory, 0xff, 4 + bytes);
    return memory + 4;
}

void attn_memory_free_nans(void *memory) {
    if (memory != NULL) free((char *)memory - 4);
}

float *attn_memory_guarded(size_t count) {
    float *memory = attn_memory_nans((GUARD + count + GUARD) * sizeof *memory);

    for (size_t i = 0; i < GUARD; i++) memory[i] = memory[GUARD + count + i] = canary;
    return memory + GUARD;
}

int attn_memory_guards_hold(const float *memory, size_t count) {
    for (size_t i = 0; i < GUARD; i++)
        if (memory[-1 - (ptrdiff_t)i] != canary || memory[count + i] != canary) return 0;
    return 1;
}

void attn_memory_free_guarded(float *memory) {
    attn_memory_free_nans(memory - GUARD);
}

/* --- partials ------------------------------------------------------------------------- */

static size_t out_elems(int32_t rows, int32_t value_dim) {
    return (size_t)rows * (size_t)value_dim;
}

static int same_bits(const float *a, const float *b, size_t count) {
    return memcmp(a, b, count * sizeof *a) == 0;
}

attn_partial attn_partial_new(int32_t rows, int32_t value_dim) {
    return (attn_partial){.out = attn_memory_guarded(out_elems(rows, value_dim)),
                          .max = attn_memory_guarded((size_t)rows),
                          .sum = attn_memory_guarded((size_t)rows)};
}

int attn_partial_guards_hold(attn_partial partial, int32_t rows, int32_t value_dim) {
    return attn_memory_guards_hold(partial.out, out_elems(rows, value_dim)) &&
           attn_memory_guards_hold(partial.max, (size_t)rows) &&
           attn_memory_guards_hold(partial.sum, (size_t)rows);
}

void attn_partial_free(attn_partial partial) {
    attn_memory_free_guarded(partial.out);
    attn_memory_free_guarded(partial.max);
    attn_memory_free_guarded(partial.sum);
}

int attn_partial_same(attn_partial a, attn_partial b, int32_t rows, int32_t value_dim) {
    return same_bits(a.out, b.out, out_elems(rows, value_dim)) &&
           same_bits(a.max, b.max, (size_t)rows) && same_bits(a.sum, b.sum, (size_t)rows);
}

void attn_partial_copy(attn_partial to, attn_partial from, int32_t rows, int32_t value_dim) {
    memcpy(to.out, from.out, out_elems(rows, value_dim) * sizeof *to.out);
    memcpy(to.max, from.max, (size_t)rows * sizeof *to.max);
    memcpy(to.sum, from.sum, (size_t)rows * sizeof *to.sum);
}

attn_partial attn_partial_at(attn_partial partial, int32_t first, int32_t value_dim) {
    return (attn_partial){.out = partial.out + (ptrdiff_t)first * value_dim,
                          .max = partial.max + first,
                          .sum = partial.sum + first};
}

void attn_partial_clear(attn_partial partial, int32_t rows, int32_t value_dim) {
    for (size_t i = 0; i < out_elems(rows, value_dim); i++) partial.out[i] = 0;
    for (int32_t row = 0; row < rows; row++) {
        partial.max[row] = -INFINITY;
        partial.sum[row] = 0;
    }
}

int attn_partial_is_empty(attn_partial partial, int32_t row) {
    return partial.max[row] == -INFINITY && partial.sum[row] == 0;
}
