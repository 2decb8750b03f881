/* plan_imagine.h: the plan of a rank that is not here.
 *
 * It is planned as any other, by the same code, for a place in a mesh of any size; but nothing is
 * allocated, so that it cannot be executed: it tells rows, heads, bytes and messages
 * (attn_plan_get_info, attn_plan_sends). A gather cuts its slices by what the rank itself needs,
 * where real ranks take what the worst of them needs.
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
