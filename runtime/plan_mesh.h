/* plan_mesh.h: the first part of planning: from a request to the mesh.
 *
 *   1. check the request, copy its arrays, take the kernel that all ranks run;
 *   2. find out which ranks share a node; choose what is open (choose.h);
 *   3. make the mesh.
 */
#ifndef ATTN_RUNTIME_PLAN_MESH_H
#define ATTN_RUNTIME_PLAN_MESH_H

#include "plan_state.h"
#include "status.h"

/* What can be found wrong with a request before the mesh is there, and copies of its arrays; sets
 * the kernel. Collective on `comm`, on which it is not agreed. ATTN_ERR_CONFIG, ATTN_ERR_MEMORY. */
attn_status attn_plan_mesh_check(attn_plan *plan, MPI_Comm comm, const attn_options *options,
                                 attn_error *error);

/* Whether the way's circulation takes the problem. Not collective. ATTN_ERR_CONFIG. */
attn_status attn_plan_mesh_takes(const attn_problem *problem, const attn_way *way,
                                 attn_error *error);

/* All of it, of a plan with its problem. Collective on `comm`; agreed on. ATTN_ERR_CONFIG,
 * ATTN_ERR_MEMORY. */
attn_status attn_plan_mesh(attn_plan *plan, MPI_Comm comm, const attn_options *options,
                           attn_error *error);

#endif
