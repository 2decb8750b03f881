/* cost.h: how long an execution takes on a mesh, predicted from sizes and rates.
 *
 * Nothing is run and nothing is collective, so that it holds for any number of ranks. All times are
 * those of the busiest rank. With P = P_h × P_s, own rows r = N / P, shard rows S = N / P_s,
 * a member's heads h and kv heads g, elements of b bytes, and t threads, or a rank's part of the
 * node's cores where these are fewer:
 *
 *     project, output
 *               of a layer: flops / (t · gemm rate); else q, k, v (where they do not stay) and
 *               out / copy rate
 *     exchange  b (r (H − h) d_k + r_kv (G − g) (d_k + d_v)) bytes forth, G kv heads in all,
 *               4 (S − r) h d_v bytes back, and P_h − 1 messages of each of 4 arrays
 *     attend    packing own keys and values / (t · copy rate); then
 *               c = h (pairs (score + 2 (d_k + d_v) / kernel rate) + queries (blocks + edges))
 *                     · imbalance / (P_s t),
 *               with the time of each block that has keys of a query, and of each end of its keys
 *               that the mask cuts off (machine.h), and at least the time to read all of a rank's
 *               K and V; k the partials of a shard's queries written and read again / (t · copy
 *               rate), between two steps; m, if the other rank is on the same node, one shard of K
 *               and V / (t · its link's rate), copied by a thread of t;
 *               and of transfers what the circulation cannot hide behind it:
 *       ring    c / P_s + (P_s − 1) max(c / P_s + φ (k + m), x), x one shard of K and V
 *       gather  max(c + φ (4 k + m of those on the node), y + c (P_s − 1) / (4 P_s)),
 *               y = (P_s − 1) x: the last of 4 slices is attended to after it came
 *       reduce  c + φ (P_s − 1) k, and as often the own queries there and one partial back;
 *               the imbalance is that of the keys
 *
 * Where nodes share, y = (M − 1) x and (M − 1) / M for (P_s − 1) / P_s, on M nodes, and no m; on
 * one node k for 4 k. Of a circulation only the part φ travels that some query needs (reach.h). A
 * transfer goes at the rate of the slower link it crosses; the network of a node is shared by those
 * that use it at once: in a ring the P_h members of one shard, otherwise all ranks of the node.
 */
#ifndef ATTN_RUNTIME_COST_H
#define ATTN_RUNTIME_COST_H

#include <stdint.h>

#include "attnspan/machine.h"
#include "attnspan/plan.h"
#include "status.h"

/* The ranks that a prediction is for. */
typedef struct attn_cluster {
    int64_t ranks, ranks_per_node;
    int threads;     /* of a rank */
    int share_nodes; /* ranks of a node share what a gather brings, where there are several */
    attn_machine machine;
} attn_cluster;

/* One way to share the work. */
typedef struct attn_way {
    int64_t members, shards; /* P_h, P_s */
    const char *circulate;
    int layout; /* of attn_layout_name() */
} attn_way;

typedef struct attn_cost {
    double project_sec, exchange_sec, attend_sec, output_sec, total_sec;
    double compute_sec;                     /* of attend: kernels, and partials that wait */
    double transfer_sec;                    /* of the circulation, without any compute */
    double exposed_sec;                     /* of it, what compute cannot hide */
    int is_read_bound;                      /* compute_sec is that of reading K and V */
    double exchange_bytes, circulate_bytes; /* sent by a rank */
    double imbalance;
} attn_cost;

/* ATTN_ERR_CONFIG: no prediction for that circulation; ATTN_ERR_MEMORY. */
attn_status attn_cost_predict(const attn_problem *problem, attn_storage storage,
                              const attn_cluster *cluster, const attn_way *way, attn_cost *cost,
                              attn_error *error);

#endif
