/* plan_imagine.h: the plan of a rank that is not here.
 *
 * It is planned as any other, by the same code, for a place in a mesh of any size; but nothing is
 * allocated, so that it cannot be executed: it tells rows, heads, bytes and messages
 * (attn_plan_get_info, attn_plan_sends). Nodes have cluster->ranks_per_node ranks, the last one
 * perhaps fewer. Two things that ranks would agree on are this rank's own guess: a gather cuts its
 * slices by what they cost this one, not the worst; and of those that share on another node the
 * first receives.
 */
#ifndef ATTN_RUNTIME_PLAN_IMAGINE_H
#define ATTN_RUNTIME_PLAN_IMAGINE_H

#include "attnspan/plan.h"
#include "choose.h"

/* The plan of rank `rank` for a way of the cluster; the options' mesh, circulation, layout and
 * threads are those of `choice` and `cluster`. Not collective. Statuses as attn_plan_create. */
attn_status attn_plan_imagine(const attn_problem *problem, const attn_options *options,
                              const attn_cluster *cluster, const attn_choice *choice, int64_t rank,
                              attn_plan **plan, attn_error *error);

#endif
