/* survey.h: what each rank of a plan has and sends, without running anything.
 *
 * Ranks are planned by the plan's own code (plan_imagine.h): all of them up to
 * ATTN_SURVEY_MOST, beyond it as many, or an eighth on a long axis, evenly spaced, which stand for
 * the others in the sums. Not collective. Cost: one plan
 * for each of these ranks, without its buffers.
 */
#ifndef ATTN_RUNTIME_SURVEY_H
#define ATTN_RUNTIME_SURVEY_H

#include "attnspan/plan.h"
#include "choose.h"

enum { ATTN_SURVEY_MOST = 64 };

/* Messages of an execution inside nodes and between them. */
typedef struct attn_traffic {
    double messages[2], bytes[2]; /* [crosses the network] */
} attn_traffic;

typedef struct attn_surveyed_rank {
    int64_t rank, node, member, shard;
    int64_t first_head, heads;
    int64_t queries, keys; /* rows held */
    int64_t bytes;         /* that its plan and the caller's arrays take */
    attn_traffic sends;
} attn_surveyed_rank;

typedef struct attn_survey {
    attn_surveyed_rank ranks[ATTN_SURVEY_MOST]; /* ascending */
    int32_t count;
    int is_complete;                    /* all ranks are there; the sums are exact */
    attn_traffic exchange, circulation; /* of all ranks */
    double rank_bytes, node_bytes;      /* the most that a rank, and that a node's ranks take */
    double flops;                       /* of the attention of all ranks */
    const char *kernel;                 /* which this machine would run */
} attn_survey;

/* Statuses as attn_plan_create. */
attn_status attn_survey_take(const attn_problem *problem, const attn_options *options,
                             const attn_cluster *cluster, const attn_choice *choice,
                             attn_survey *survey, attn_error *error);

#endif
