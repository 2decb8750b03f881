/* attnspan/plan.h: exact multi-head attention over the ranks of a communicator.
 *
 * Simple: one layer, x → y.
 *
 *     attn_problem problem = {.batch = 1, .length = n, .kv_length = n, .heads = 8,
 *                             .kv_heads = 2, .key_dim = 64, .value_dim = 64,
 *                             .model_dim = 512, .mask = {.causal = ATTN_CAUSAL}};
 *     attn_options options = {0};                       // everything auto
 *     attn_plan *plan;
 *     attn_error error;
 *
 *     if (attn_plan_create(comm, &problem, &options, &plan, &error) != ATTN_OK) …
 *     attn_row_list rows = attn_plan_query_rows(plan);  // rows of x and y held here
 *     … fill x [batch][rows.count][model_dim] …
 *     attn_execute_layer(plan, &weights, x, y, NULL);   // as often as wanted
 *     attn_plan_destroy(plan);
 *
 * Attention alone (model_dim = 0): attn_execute(plan, q, k, v, out, lse).
 *
 * Whatever can fail happens in attn_plan_create: it chooses the mesh and the
 * kernel, splits communicators, cuts messages and allocates. Execution only
 * computes and sends. The result's bits depend on the problem and the kernel, not
 * on the number of ranks, the mesh, the circulation, the layout or the threads.
 *
 * Arrays are fp32, C order and contiguous, whatever the storage. Sizes are counted in elements.
 */
#ifndef ATTNSPAN_PLAN_H
#define ATTNSPAN_PLAN_H

#include <mpi.h>
#include <stdint.h>

#include "attnspan/kernels.h"
#include "attnspan/machine.h"
#include "attnspan/rope.h"
#include "attnspan/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ATTN_PLAN_AUTO = 0 };

/* What becomes of the scaled scores before their softmax, in the order of attn_score_terms
 * (kernels.h); and a sink (gpt-oss): an extra logit of each head, in the denominator only. With
 * sinks out = Σ_j exp(t_j) v_j / (exp(sink) + Σ_j exp(t_j)) and lse is the logarithm of that
 * denominator; a query that sees no key has zeros and lse = sink. {0}: none of it.
 *
 * The distance of ALiBi is counted from the key that the query stands beside, as the mask has it
 * (attn_mask_spec): i + N_kv − N, but with a causal mask at the top left i. */
typedef struct attn_terms {
    float softcap;       /* c > 0; 0: none */
    const float *slopes; /* [H], of ALiBi; NULL: none; a plan copies them */
    const float *sinks;  /* [H]; NULL: none; a plan copies them */
    int64_t bias_heads;  /* H, or 1: one bias for all heads; 0: none; attn_plan_bias() takes it */
} attn_terms;

/* The published slopes (Press et al. 2022): slopes[0 … H − 1]. Not collective. */
void attn_alibi_slopes(int64_t heads, float *slopes);

/* What to compute. All ranks pass the same. */
typedef struct attn_problem {
    int64_t batch;       /* B >= 1 */
    int64_t length;      /* N >= 1, queries */
    int64_t kv_length;   /* N_kv >= 1, keys; equal to N in a layer without memory */
    int64_t heads;       /* H >= 1 */
    int64_t kv_heads;    /* H_kv >= 1, divides H */
    int32_t key_dim;     /* d_k >= 1 */
    int32_t value_dim;   /* d_v >= 1 */
    int64_t model_dim;   /* d_model, or 0: q, k, v are given and there are no projections */
    float scale;         /* of the scores, > 0; 0: 1 / sqrt(d_k) */
    attn_mask_spec mask; /* {0}: every query sees every key; a plan copies its arrays */
    int64_t memory_dim;  /* d_memory: a layer's keys and values come from a memory this wide
                            (cross-attention); 0: from x */

    /* Before the scores, q and k go through these, in this order. A row's position is its
     * number in its sequence; with q, k, v given the last query stands where the last key
     * does, query i at i + N_kv − N, but with a mask at the top left the first where the first
     * key does, query i at i. */
    double qk_norm_eps; /* of the RMS norm of each head, > 0; 0: no norm */
    attn_rope rope;     /* rope.dim 0: no rotation */

    attn_terms terms; /* of scores; {0}: none */
} attn_problem;

/* Whether the ranks of a node with the same heads share one copy of the keys and values that
 * arrive; AUTO: where that saves memory or messages. */
typedef enum attn_share_nodes {
    ATTN_SHARE_AUTO,
    ATTN_SHARE_NEVER,
    ATTN_SHARE_ALWAYS
} attn_share_nodes;

/* How to compute it. {0} leaves everything to the library. All ranks pass the
 * same, but for the callback. */
typedef struct attn_options {
    int64_t mesh_heads;    /* P_h, or ATTN_PLAN_AUTO */
    int64_t mesh_sequence; /* P_s, or ATTN_PLAN_AUTO */
    const char *circulate; /* "ring", "gather", "reduce", or NULL */
    const char *layout;    /* "contiguous", "zigzag", "striped", "balanced", or NULL: the first of
                              contiguous, zigzag and balanced that shares the work evenly */
    attn_share_nodes share_nodes;
    const char *kernel;          /* "generic", or NULL: the fastest that all ranks run */
    attn_storage storage;        /* of q, k and v on their way to the kernels; 0: fp32 */
    int32_t threads;             /* OpenMP threads of a rank, or ATTN_PLAN_AUTO */
    const attn_machine *machine; /* its rates tell what is fastest; NULL: attn_machine_default() */
    int with_lse;                /* nonzero: executions may ask for lse */
    int with_trace;              /* nonzero: executions record what they do (runtime/trace.h) */
    double memory_fraction;      /* of a node's available memory that the plan may take; 0: 0.95 */

    /* Called by the calling thread now and then during attention with the share of
     * this rank's work that is done, 0 … 1. NULL: never. */
    void (*on_progress)(void *context, double done);
    void *progress_context;
} attn_options;

/* The projections, y = x Wᵀ + b as torch.nn.Linear has it: weights are
 * [out][in], biases [out] or NULL, norms [d_k] or NULL for ones. Borrowed during an
 * execution; the same on all ranks. */
typedef struct attn_weights {
    const float *query, *query_bias;    /* [H · d_k][d_model] */
    const float *key, *key_bias;        /* [H_kv · d_k][d_model, or d_memory] */
    const float *value, *value_bias;    /* [H_kv · d_v][d_model, or d_memory] */
    const float *output, *output_bias;  /* [d_model][H · d_v] */
    const float *query_norm, *key_norm; /* unread without a norm */
} attn_weights;

/* Rows [first, first + count) of a sequence. */
typedef struct attn_rows {
    int64_t first, count;
} attn_rows;

/* Rows that a rank holds: ascending runs that do not touch. Its arrays have them end to end, run
 * behind run, `count` rows in all. */
typedef struct attn_row_list {
    const attn_rows *runs; /* the plan's */
    int64_t run_count, count;
} attn_row_list;

/* What the last execution took on this rank. */
typedef struct attn_stats {
    double project_sec;  /* x → q, k, v, prepared; with q, k, v given: their rearrangement */
    double exchange_sec; /* rows ↔ heads, both ways */
    double attend_sec;   /* packing, circulation, kernels, merging */
    double output_sec;   /* W^O; with q, k, v given: the rearrangement of out */

    /* Within these: */
    double compute_sec;  /* of attend: kernels and merging, the mean over threads with work */
    double wait_sec;     /* of exchange and attend: blocked until messages are through, or ranks
                            that share have what they wait for */
    double transfer_sec; /* of attend: from the first message of a step until all are seen done;
                            where ranks share, until all of them have theirs */
    double hidden_sec;   /* of transfer: not blocked meanwhile */

    int64_t sent_bytes; /* to other ranks */
    int64_t sent_messages;
    int64_t crossed_bytes;                         /* of those sent, to ranks on other nodes */
    int64_t circulated_bytes, circulated_messages; /* of those sent, along the axis of shards */
} attn_stats;

/* What was planned. Strings have static storage. */
typedef struct attn_plan_info {
    int32_t mesh_heads, mesh_sequence; /* P_h, P_s */
    int32_t member, shard;             /* this rank's place */
    int32_t nodes;
    int32_t threads;
    float scale; /* of the scores */
    const char *circulate, *layout, *kernel;
    int share_ranks;                         /* most ranks of a node that share one copy of keys and
                                                values; 1: none does */
    const char *share_reason;                /* why none does; "" when some do */
    int64_t first_head, head_count;          /* query heads computed here */
    int64_t first_kv_head, kv_head_count;    /* kv heads needed for them */
    attn_row_list shard_queries, shard_keys; /* rows of this rank's shard; the plan's */
    double imbalance;     /* unmasked pairs of the shards' queries, or of their keys where these
                             stay: most over mean */
    double predicted_sec; /* of an execution: sizes over the machine's rates */
    char why[160];        /* why this mesh, circulation and layout; "" when all was stated */
    int64_t bytes; /* that this rank's plan and the caller's arrays take; of what is shared, the
                      part that this rank brings */
    int64_t node_bytes; /* that those of this node's ranks take together */
    int64_t send_bytes; /* to other ranks in an execution, by formula */
    double flops;       /* of all ranks: 2 (d_k + d_v) per unmasked pair, head and batch item */
} attn_plan_info;

typedef struct attn_plan attn_plan;

/* Makes a plan on a duplicate of `comm`. Collective; all ranks return the same
 * status and message.
 *  ATTN_ERR_CONFIG   a size is out of range or a choice does not fit the ranks
 *  ATTN_ERR_MEMORY   the plan does not fit in the memory of a node, or an allocation failed
 * After a failure *plan is NULL. */
attn_status attn_plan_create(MPI_Comm comm, const attn_problem *problem,
                             const attn_options *options, attn_plan **plan, attn_error *error);

/* Rows of x, q, y and out, and rows of k, v and memory, that this rank passes and
 * receives. Equal in a layer without memory. Not collective. */
attn_row_list attn_plan_query_rows(const attn_plan *plan);
attn_row_list attn_plan_key_rows(const attn_plan *plan);

/* This rank's part of the bias [H or 1][N][N_kv]: [head_count, or 1][shard_queries.count][N_kv]
 * of attn_plan_info, for the caller to fill in before an execution; the plan's memory. Elements
 * are finite or −inf. NULL without a bias, and where the part is empty it has no elements. Not
 * collective. */
float *attn_plan_bias(attn_plan *plan);

/* Not collective. */
void attn_plan_get_info(const attn_plan *plan, attn_plan_info *info);

/* One layer: x [B][rows][d_model] → y of the same shape, and lse [B][H][rows] =
 * log Σ exp of the scaled scores, with their terms and sink, unless it is NULL. `memory` [B][key
 * rows][d_memory] when memory_dim > 0, else NULL. y must not overlap x or memory. Needs model_dim >
 * 0. Collective. */
void attn_execute_layer(attn_plan *plan, const attn_weights *weights, const float *x,
                        const float *memory, float *y, float *lse);

/* Attention alone: q [B][H][query rows][d_k], k [B][H_kv][key rows][d_k],
 * v [B][H_kv][key rows][d_v] → out [B][H][query rows][d_v] and lse [B][H][query
 * rows] unless it is NULL. A norm's weights are ones. Needs model_dim = 0. Collective. */
void attn_execute(attn_plan *plan, const float *q, const float *k, const float *v, float *out,
                  float *lse);

/* Not collective. */
attn_stats attn_plan_stats(const attn_plan *plan);

/* Collective; NULL is legal. */
void attn_plan_destroy(attn_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
