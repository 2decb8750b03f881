/* support.h: what works with what: every mask and term × circulation × layout × storage.
 *
 * A cell is what planning says of an example (plan_imagine.h), so that the table knows of every
 * refusal, and of its words. Tests run every cell that is not refused, on several numbers of ranks.
 * Not collective.
 */
#ifndef ATTN_RUNTIME_SUPPORT_H
#define ATTN_RUNTIME_SUPPORT_H

#include "attnspan/plan.h"

/* A small example of a mask, a term, or a form of heads. */
typedef struct attn_support_row {
    const char *name; /* as the config has it */
    attn_problem problem;
} attn_support_row;

/* NULL past the last. Static storage. */
const attn_support_row *attn_support_row_at(int index);

/* ATTN_OK, or how the cell is refused. */
attn_status attn_support_cell(const attn_problem *problem, const char *circulation,
                              const char *layout, attn_storage storage, attn_error *error);

/* The table in Markdown, to stdout: a cell of the page stands for all layouts and storages that say
 * the same. ATTN_ERR_MEMORY. */
attn_status attn_support_print(attn_error *error);

#endif
