/* attention_arrays.h: whole synthetic inputs and results of a problem, and the rows of them that
 * one rank holds. Where memory runs out, the program ends. */
#ifndef ATTN_TESTS_ATTENTION_ARRAYS_H
#define ATTN_TESTS_ATTENTION_ARRAYS_H

#include "attention_cases.h"
#include "attnspan/plan.h"

/* [outer][length][width]: `length` rows are dealt to the ranks, whatever is around and in them. */
typedef struct attn_array {
    int64_t outer, length, width;
    float *data; /* NULL: the problem has none */
} attn_array;

enum { ATTN_ARRAYS_WEIGHTS = 8, ATTN_ARRAYS_NORMS = 2 };

/* Owned. y and lse have any numbers until they are computed. */
typedef struct attn_arrays {
    attn_array q, k, v;   /* [B · heads][N or N_kv][d], or */
    attn_array x, memory; /* [B][N or N_kv][d_model or d_memory] */
    attn_array bias;      /* [H or 1][N][N_kv] */
    attn_array y;         /* as x, or as q with d_v */
    attn_array lse;       /* [B · H][N][1] */
    /* Weight and bias of query, key, value and output; norms of q and k. */
    float *weights[ATTN_ARRAYS_WEIGHTS], *norms[ATTN_ARRAYS_NORMS];
    attn_weights layer; /* the same */
} attn_arrays;

/* The same on all ranks, and each time. Some keys have a bias of −inf, and a query has no other. */
void attn_arrays_create(const attn_problem *problem, int with_biases, attn_arrays *arrays);
void attn_arrays_destroy(attn_arrays *arrays);

int64_t attn_array_elems(const attn_array *array);

/* [outer][rows.count][width], which the caller frees; NULL of what the problem does not have. */
float *attn_array_part(const attn_array *whole, attn_row_list rows);

/* The same, all NaN: where nothing is written to it, that shows. */
float *attn_array_unwritten_part(const attn_array *whole, attn_row_list rows);

/* Whether `part` has the bits of these rows. */
int attn_array_has_part(const attn_array *whole, attn_row_list rows, const float *part);

#endif
