/* kernel_call.h: one call of the kernel that is tested, with its inputs.
 *
 * Of each input there is fp32 to look at and to change, and what the kernel gets: the same in its
 * storage, and packed. attn_call_pack() makes these, and rounds the fp32 to what is stored. What
 * stands between rows is NaN, and so is what stands behind the last. */
#ifndef ATTN_TESTS_KERNEL_CALL_H
#define ATTN_TESTS_KERNEL_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "attnspan/kernels.h"

typedef struct attn_call {
    const attn_kernel *kernel;
    int32_t rows, key_dim, value_dim;
    int64_t keys;
    ptrdiff_t query_stride, key_stride; /* elements, of fp32 and of what is stored */
    ptrdiff_t value_stride;             /* of what is stored; fp32 is [keys][value_dim] */
    float scale;
    float *query, *key, *value;                     /* owned */
    void *stored_query, *stored_key, *stored_value; /* owned */
    void *packed_keys, *packed_values;              /* owned */
    attn_interval *visible;                         /* owned; [rows]: all keys */
    attn_interval *also;                            /* owned; [rows]: none */
    int has_also;                                   /* whether the kernel gets them */
    float *slope;                                   /* owned; [rows], as are the next two */
    int64_t *position;                              /* owned */
    float **bias;                                   /* owned, each: [keys] */
    attn_score_terms terms;                         /* of these three */
    int has_terms;                                  /* whether the kernel gets them */
    void *scratch;                                  /* owned */
} attn_call;

/* The terms of scores that a call may have. */
enum { ATTN_CALL_SOFTCAP = 1, ATTN_CALL_SLOPES = 2, ATTN_CALL_BIAS = 4, ATTN_CALL_ALL_TERMS = 7 };

/* Sets what is tested, once: a kernel, with `few` its attend_few() in place of attend(). */
void attn_call_set_kernel(const attn_kernel *kernel, int few);
const attn_kernel *attn_call_kernel(void);

/* Most rows of a call. */
int32_t attn_call_most_rows(void);

/* Whether the weights that multiply values are rounded to bf16. */
int attn_call_rounds_weights(void);

/* A call on random numbers; of the kernel that is tested, or of another one. */
attn_call attn_call_new(int32_t rows, int64_t keys, int32_t key_dim, int32_t value_dim);
attn_call attn_call_new_of(const attn_kernel *kernel, int32_t rows, int64_t keys, int32_t key_dim,
                           int32_t value_dim);
void attn_call_free(attn_call *call);

/* Gives a call those terms: slopes that take up to 8 from a score, positions from before the first
 * key to behind the last, biases up to the very end of their memory. */
void attn_call_add_terms(attn_call *call, int which);
void attn_call_free_terms(attn_call *call);

/* Element `at` of an array in the kernel's storage. */
float attn_call_element(const attn_call *call, const void *from, int64_t at);

void attn_call_pack(const attn_call *call);

/* What the kernel gets for the keys [first, last), first at a multiple of ATTN_KEY_UNIT; what the
 * rows see, and their terms, count from key 0 all the same. */
attn_block_args attn_call_args(const attn_call *call, int64_t first, int64_t last);

/* Runs the kernel. */
void attn_call_attend(const attn_kernel *kernel, const attn_block_args *args, attn_partial result);

/* Packs and runs the call; the partial is the caller's to free. */
attn_partial attn_call_result(const attn_call *call);

/* The scale with which the call's partials are merged and finished. */
float attn_call_partial_scale(const attn_call *call);

/* Whether nothing was written beyond the scratch. */
int attn_call_scratch_holds(const attn_call *call);

#endif
