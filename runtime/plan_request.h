/* plan_request.h: whether a plan's request means something, before there is a mesh. */
#ifndef ATTN_RUNTIME_PLAN_REQUEST_H
#define ATTN_RUNTIME_PLAN_REQUEST_H

#include "attnspan/plan.h"
#include "status.h"

/* Sizes, mask, terms and what becomes of q and k; then the options but for the kernel. Not
 * collective. ATTN_ERR_CONFIG; ATTN_ERR_MEMORY: more elements than can be counted with. */
attn_status attn_plan_request_check(const attn_problem *problem, const attn_options *options,
                                    attn_error *error);

#endif
