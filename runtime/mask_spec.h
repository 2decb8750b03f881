/* mask_spec.h: a problem's mask as a whole: its check, its own copy, its words. */
#ifndef ATTN_RUNTIME_MASK_SPEC_H
#define ATTN_RUNTIME_MASK_SPEC_H

#include <mpi.h>

#include "attnspan/plan.h"
#include "status.h"

/* Borrows the problem's arrays. */
attn_mask attn_mask_spec_mask(const attn_problem *problem);

/* Whether the problem's mask means something on its sizes, which are positive. ATTN_ERR_CONFIG:
 * "is …; must be …" about *part, "window", a key of attention.mask. Not collective. */
attn_status attn_mask_spec_check(const attn_problem *problem, const char **part, attn_error *error);

/* Numbers in the spec's arrays. */
int64_t attn_mask_spec_elems(const attn_mask_spec *spec, int64_t batch);

/* Lets the spec point to a copy of its arrays in *memory, which the caller frees; NULL when there
 * are none. ATTN_ERR_MEMORY. Not collective. */
attn_status attn_mask_spec_copy(attn_mask_spec *spec, int64_t batch, int64_t **memory,
                                attn_error *error);

/* The same on all ranks with rank 0's arrays; the numbers in *spec are rank 0's already. On rank 0
 * *memory is what attn_mask_spec_copy made. Collective; agreed on at the boundary "mask". */
attn_status attn_mask_spec_broadcast(MPI_Comm comm, attn_mask_spec *spec, int64_t batch,
                                     int64_t **memory, attn_error *error);

/* "causal, window [128, 0], first 4"; "none". A text that does not fit is cut. */
void attn_mask_spec_words(const attn_mask_spec *spec, int64_t batch, char *text, size_t bytes);

#endif
