/* attention_execution.h: plans executed on whole arrays: by one rank alone, and on meshes of all
 * ranks, which must have its bits. */
#ifndef ATTN_TESTS_ATTENTION_EXECUTION_H
#define ATTN_TESTS_ATTENTION_EXECUTION_H

#include <stddef.h>

#include "attention_arrays.h"
#include "attnspan/plan.h"

/* Executes on this rank's rows of the inputs; its rows of y and lse are new arrays, which the
 * caller frees. lse may be NULL. Collective on the plan's ranks. */
void attn_execution_run(attn_plan *plan, const attn_arrays *arrays, float **y, float **lse);

/* Asserts that the last execution sent the bytes and messages that the plan tells of. */
void attn_execution_check_sends(const attn_plan *plan);

/* The result of this rank alone, by that kernel (NULL: the fastest), to y and lse of `arrays`. */
void attn_execution_alone(const attn_problem *problem, attn_storage storage, const char *kernel,
                          attn_arrays *arrays);

/* What a rank does alone is done by one rank for all: whether it is this one's turn. */
int attn_execution_is_my_turn(size_t turn);

/* The result of the rank whose turn it is, alone, to `arrays` of all ranks. Collective. */
void attn_execution_for_all(const attn_problem *problem, attn_storage storage, const char *kernel,
                            size_t turn, attn_arrays *arrays);

/* Asserts that all ranks with these options have the bits of `arrays`, and send what was told.
 * Collective. */
void attn_execution_check_mesh(const attn_problem *problem, const attn_arrays *arrays,
                               const attn_options *options);

/* The same, or that it is refused where a bias would have to travel. Collective. */
void attn_execution_check_way(const attn_problem *problem, const attn_arrays *arrays,
                              const attn_options *options);

#endif
