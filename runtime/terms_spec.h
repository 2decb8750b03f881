/* terms_spec.h: a problem's terms of scores as a whole: their check, their own copy, their words.
 * The bias itself is not among them: a rank has its part (attn_plan_bias). */
#ifndef ATTN_RUNTIME_TERMS_SPEC_H
#define ATTN_RUNTIME_TERMS_SPEC_H

#include <mpi.h>

#include "attnspan/plan.h"
#include "status.h"

/* Whether the problem's terms mean something on its sizes. ATTN_ERR_CONFIG: "is …; must be …"
 * about *key, "sinks", a key of attention. Not collective. */
attn_status attn_terms_spec_check(const attn_problem *problem, const char **key, attn_error *error);

/* Numbers in the arrays of `heads` heads. */
int64_t attn_terms_spec_elems(const attn_terms *terms, int64_t heads);

/* Lets the terms point to a copy of their arrays in *memory, which the caller frees; NULL when
 * there are none. ATTN_ERR_MEMORY. Not collective. */
attn_status attn_terms_spec_copy(attn_terms *terms, int64_t heads, float **memory,
                                 attn_error *error);

/* The same on all ranks with rank 0's arrays; the numbers in *terms are rank 0's already. On rank
 * 0 *memory is what attn_terms_spec_copy made. Collective; agreed on at the boundary "terms". */
attn_status attn_terms_spec_broadcast(MPI_Comm comm, attn_terms *terms, int64_t heads,
                                      float **memory, attn_error *error);

/* "softcap 50, ALiBi, a bias for each head, sinks"; "" without any. A text that does not fit is
 * cut. */
void attn_terms_spec_words(const attn_terms *terms, char *text, size_t bytes);

#endif
