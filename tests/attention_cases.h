/* attention_cases.h: the problems that the tests of whole plans go through, and the ways to compute
 * them by name. The program's own tables of ways have no say. */
#ifndef ATTN_TESTS_ATTENTION_CASES_H
#define ATTN_TESTS_ATTENTION_CASES_H

#include <stddef.h>

#include "attnspan/plan.h"

typedef struct attn_case {
    const char *what;
    attn_problem problem;
    int with_biases; /* in the projections of a layer */
} attn_case;

/* NULL past the last. Static storage. */
const attn_case *attn_case_at(size_t index);

/* The problem of that case; without one the program ends. */
attn_problem attn_case_problem(const char *what);

enum { ATTN_CASE_LAYOUTS = 4, ATTN_CASE_CIRCULATIONS = 3 };

extern const char *const attn_case_layouts[ATTN_CASE_LAYOUTS];
extern const char *const attn_case_circulations[ATTN_CASE_CIRCULATIONS];

#endif
