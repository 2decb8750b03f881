/* plan_parts.h: the second part of planning: what each noun of the way will do and need.
 *
 * After the mesh, from the rows of each rank to the messages of the circulation; memory is reserved
 * (buffers.h), not allocated.
 */
#ifndef ATTN_RUNTIME_PLAN_PARTS_H
#define ATTN_RUNTIME_PLAN_PARTS_H

#include "plan_state.h"
#include "status.h"

/* Rows, the caller's arrays, tensors and their exchanges, projections, and attention but for what
 * its steps have at hand. Not collective. ATTN_ERR_CONFIG, ATTN_ERR_MEMORY. */
attn_status attn_plan_parts_describe(attn_plan *plan, const attn_options *options,
                                     attn_error *error);

/* The circulation, attention's steps, and the trace of both; after plan->reach. Collective on the
 * mesh, on which it is not agreed. ATTN_ERR_CONFIG, ATTN_ERR_MEMORY. */
attn_status attn_plan_parts_circulate(attn_plan *plan, const attn_options *options,
                                      attn_error *error);

#endif
