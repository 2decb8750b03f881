/* plan_state.h: what a plan consists of. Planned by plan.c, run by execute.c. */
#ifndef ATTN_RUNTIME_PLAN_STATE_H
#define ATTN_RUNTIME_PLAN_STATE_H

#include "attend.h"
#include "attnspan/plan.h"
#include "buffers.h"
#include "choose.h"
#include "circulate.h"
#include "head_tensor.h"
#include "kv_shard.h"
#include "layout.h"
#include "mesh.h"
#include "project.h"
#include "qk_prepare.h"
#include "reach.h"
#include "row_list.h"
#include "trace.h"

struct attn_plan {
    attn_problem problem; /* scale filled in; its arrays are the next two */
    int64_t *mask_arrays; /* owned; NULL: none */
    attn_choice choice;   /* of mesh, circulation and layout */
    float *terms_arrays;  /* owned: those of problem.terms; NULL: none */
    attn_mesh mesh;
    const attn_kernel *kernel; /* of the storage that was asked for */
    int threads;               /* of this rank */
    int with_lse;
    int is_imagined;   /* of a rank that is not here: without buffers */
    attn_trace *trace; /* owned; NULL: none is wanted */
    attn_layout query_layout, key_layout;
    double imbalance; /* of the shards' pairs */
    attn_reach reach;
    attn_row_list shard_queries, shard_keys; /* owned: rows of the shard */
    attn_row_list query_rows, key_rows;      /* owned: own rows */
    attn_qk_prepare query_prepare, key_prepare;
    attn_head_tensor query, key, value, output;
    attn_kv_source key_source, value_source; /* of the execution at hand */
    attn_kv_layout kv_layout;
    attn_circulate circulate;
    attn_attend attend;
    attn_project project;
    attn_buffers buffers;
    double node_bytes; /* of the buffers of all ranks of this node */
    attn_stats stats;  /* of the last execution */
};

#endif
