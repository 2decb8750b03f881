/* choose.h: what of the mesh, the circulation and the layout is left to the program.
 *
 *   1. for every factorisation P_h × P_s of the ranks that agrees with what is stated: the layout
 *      that shares the work evenly (layout.h), and each circulation;
 *   2. predict its time (cost.h);
 *   3. take the fastest; of those within 3 % of it the one with the most head groups, because the
 *      head exchange moves less than a circulation, and the first circulation of the table.
 *
 * Depends on its arguments alone. The bits of a result do not depend on the choice. Cost:
 * O(divisors of P · circulations) predictions. Not collective.
 */
#ifndef ATTN_RUNTIME_CHOOSE_H
#define ATTN_RUNTIME_CHOOSE_H

#include "attnspan/plan.h"
#include "cost.h"
#include "status.h"

/* What is stated; ATTN_PLAN_AUTO (0), NULL and −1 leave it open. */
typedef struct attn_wish {
    int64_t members, shards;
    const char *circulate;
    int layout; /* of attn_layout_name() */
    attn_share_nodes share_nodes;
    attn_storage storage;
} attn_wish;

enum { ATTN_CHOICE_BYTES = sizeof((attn_plan_info *)0)->why };

typedef struct attn_choice {
    attn_way way;
    attn_cost cost;
    char why[ATTN_CHOICE_BYTES]; /* "4 x 2, ring, zigzag: 1.2 ms predicted, next …"; "" when nothing
                                    was open */
} attn_choice;

/* Whether the stated part of a mesh fits that many ranks. ATTN_ERR_CONFIG. */
attn_status attn_choose_fits(const attn_wish *wish, int64_t ranks, attn_error *error);

/* The choice, and behind it the next ones by their predicted times: `count` of them, at most `most`
 * >= 1. ATTN_ERR_CONFIG: no mesh fits, or none that shares where that is stated; ATTN_ERR_MEMORY.
 */
attn_status attn_choose_list(const attn_problem *problem, const attn_wish *wish,
                             const attn_cluster *cluster, attn_choice *choices, int32_t most,
                             int32_t *count, attn_error *error);

/* The choice alone. */
attn_status attn_choose(const attn_problem *problem, const attn_wish *wish,
                        const attn_cluster *cluster, attn_choice *choice, attn_error *error);

#endif
