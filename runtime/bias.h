/* bias.h: the additive bias [H or 1][N][N_kv] of a job, of which each rank reads only what it
 * attends with: its own heads, or the one, × the queries of its shard × all keys.
 *
 * Cost: each element crosses the file system once for each rank that needs it: a bias of all heads
 * once in all, one of one head once for each head group member.
 */
#ifndef ATTN_RUNTIME_BIAS_H
#define ATTN_RUNTIME_BIAS_H

#include <mpi.h>

#include "inputs.h"
#include "tensor_io.h"

/* Fills in attn_plan_bias(); nothing without a bias. Collective; agreed on at the boundary
 * "load". Elements are finite or −inf: ATTN_ERR_INPUT; ATTN_ERR_IO, ATTN_ERR_MEMORY. */
attn_status attn_bias_load(MPI_Comm comm, const attn_inputs *inputs, attn_plan *plan,
                           const attn_plan_info *info, attn_error *error);

/* For the oracle, by the element: keys `keys` of row `row` of the bias of head `head`, which is 0
 * where there is one for all, into `out`. Not collective. */
attn_status attn_bias_read(attn_tensor_reader *reader, const attn_problem *problem, int64_t head,
                           int64_t row, const attn_row_list *keys, float *out, attn_error *error);

#endif
