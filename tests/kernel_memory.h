/* kernel_memory.h: what the tests hand to a kernel, and what it writes to: memory that shows where
 * it reads or writes beyond it, and random numbers. Without memory the program ends. */
#ifndef ATTN_TESTS_KERNEL_MEMORY_H
#define ATTN_TESTS_KERNEL_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "attnspan/kernels.h"

/* The same numbers in every run: 32 bits; 0 … count − 1; uniform in [-1, 1). */
uint32_t attn_random_bits(void);
int32_t attn_random_below(int64_t count);
float attn_random_float(void);

/* Uninitialised, 64-byte aligned; to be freed by free(). */
void *attn_memory_aligned(size_t bytes);

/* NaNs, fp32 or bf16: 4 bytes off the allocator's alignment and up to the very end of its memory,
 * where sanitizers see one byte too many. */
void *attn_memory_nans(size_t bytes);
void attn_memory_free_nans(void *memory);

/* `count` NaNs for results, between canaries; whether these are still as they were. */
float *attn_memory_guarded(size_t count);
int attn_memory_guards_hold(const float *memory, size_t count);
void attn_memory_free_guarded(float *memory);

/* A partial in such memory. */
attn_partial attn_partial_new(int32_t rows, int32_t value_dim);
int attn_partial_guards_hold(attn_partial partial, int32_t rows, int32_t value_dim);
void attn_partial_free(attn_partial partial);

/* Whether both have the same bits. */
int attn_partial_same(attn_partial a, attn_partial b, int32_t rows, int32_t value_dim);

void attn_partial_copy(attn_partial to, attn_partial from, int32_t rows, int32_t value_dim);

/* Its rows from `first` on; nothing is copied. */
attn_partial attn_partial_at(attn_partial partial, int32_t first, int32_t value_dim);

/* Makes rows those of queries that see no key; whether a row is one. */
void attn_partial_clear(attn_partial partial, int32_t rows, int32_t value_dim);
int attn_partial_is_empty(attn_partial partial, int32_t row);

#endif
