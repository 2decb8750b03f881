/* project.h: the projections at both ends of a layer, x → q, k, v and
 * concatenation → y. In cross-attention k and v come from a memory instead of x.
 *
 * Rows are computed in tiles whose height depends on the problem alone, aligned to
 * global positions; a tile that this rank holds only in part is filled up with
 * zeros. So every matrix product has the same shape on any number of ranks, each
 * row sits at the same place in it, and BLAS returns the same bits. A tile is one
 * single-threaded sgemm; tiles run in parallel on the runtime's own threads.
 *
 * Results go straight to the head exchange's regions, with the bias added on the
 * way: one pass over memory. Rows of q and k are prepared (qk_prepare.h) in the tile.
 *
 * Cost: 2 · rows · d_model · (H d_k + H_kv (d_k + d_v) + H d_v) flops, rows rounded
 * up to whole tiles; memory of one tile per thread. Not collective.
 */
#ifndef ATTN_RUNTIME_PROJECT_H
#define ATTN_RUNTIME_PROJECT_H

#include "attnspan/plan.h"
#include "buffers.h"
#include "head_tensor.h"

typedef struct attn_project {
    int64_t batch, model_dim;
    int64_t memory_dim;        /* 0: no memory */
    attn_row_list rows;        /* own rows of x; borrowed */
    attn_row_list memory_rows; /* own rows of the memory; borrowed */
    int threads;
    const attn_head_tensor *query, *key, *value, *output; /* borrowed */
    int64_t tile_rows, memory_tile_rows;
    float *scratch; /* borrowed: [threads][scratch_elems] */
    int64_t scratch_elems;
} attn_project;

/* Reserves the tiles, for `length` rows of x and `memory_length` of the memory. The fields
 * up to `output` are set by the caller. */
void attn_project_plan(attn_project *project, int64_t length, int64_t memory_length,
                       attn_buffers *buffers);

/* x [B][rows][d_model], and memory [B][memory_rows][d_memory] where there is one, → the
 * regions of query, key and value. */
void attn_project_inputs(const attn_project *project, const attn_weights *weights, const float *x,
                         const float *memory);

/* Regions of output → y [B][rows][d_model]. */
void attn_project_output(const attn_project *project, const attn_weights *weights, float *y);

#endif
