/* row_list.h: rows of a sequence as a list of runs (attn_row_list of plan.h).
 *
 * Rows of a list are numbered from 0 in its order, run behind run: row `own` of a rank's arrays
 * is row attn_row_list_at(list, own) of the sequence. Lists are short, so all walk them. Not
 * collective.
 */
#ifndef ATTN_RUNTIME_ROW_LIST_H
#define ATTN_RUNTIME_ROW_LIST_H

#include "attnspan/plan.h"
#include "layout.h"
#include "status.h"

/* Local rows `part` of a shard. ATTN_ERR_MEMORY. */
attn_status attn_row_list_create(attn_row_list *list, const attn_layout *layout, int64_t shard,
                                 attn_range part, attn_error *error);

/* Row of the sequence; `own` < count. */
int64_t attn_row_list_at(const attn_row_list *list, int64_t own);

/* The longest run of the sequence from own row `own` on, of at most `most` rows. */
attn_rows attn_row_list_from(const attn_row_list *list, int64_t own, int64_t most);

/* Where the list has that row of the sequence; −1 when it has not. */
int64_t attn_row_list_find(const attn_row_list *list, int64_t row);

/* A zeroed list is legal. */
void attn_row_list_destroy(attn_row_list *list);

#endif
