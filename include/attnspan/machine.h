/* attnspan/machine.h: the rates of a cluster, from which times are predicted.
 *
 * A plan that has something to choose (plan.h) takes what they predict to be fastest. Results do
 * not depend on them, and a run does not measure them: ranks that start alike choose alike.
 */
#ifndef ATTNSPAN_MACHINE_H
#define ATTNSPAN_MACHINE_H

#include <stdint.h>

#include "attnspan/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A message of n bytes takes latency_sec + n / bytes_per_sec (Hockney 1994). */
typedef struct attn_link {
    double latency_sec, bytes_per_sec;
} attn_link;

/* Of one thread: a score, and its value's part of the output, takes
 * score_sec + 2 (d_k + d_v) / flops, of which the first term is the softmax's; and a query takes
 * block_sec more for each block of keys that it sees, whose partial is merged, and edge_sec for
 * each end of its keys that the mask cuts off, because rows that are computed together see other
 * keys there. */
typedef struct attn_attention_rate {
    double flops; /* per second */
    double score_sec, block_sec, edge_sec;
} attn_attention_rate;

typedef struct attn_machine {
    attn_attention_rate attention[ATTN_STORAGES]; /* by attn_storage */
    double gemm_flops;                            /* per second and thread, of the projections */
    double copy_bytes;   /* per second and thread: bytes of an array that is rearranged */
    double read_bytes;   /* per second, of a node's memory: keys and values of a few queries */
    double memory_bytes; /* of a node; 0: not known */
    int32_t cores;       /* of a node, which more threads than these share; 0: enough for all */
    attn_link node;      /* between two ranks of a node */
    attn_link network;   /* of a node to others; its ranks share it */
} attn_machine;

/* Figures of an ordinary cluster: 80 GFLOP/s a core, 4 GB/s to rearrange and 200 GB/s to read,
 * 1 us and 10 GB/s inside a node, 2 us and 10 GB/s (100 Gbit/s with its overheads) between nodes.
 * Not collective. */
attn_machine attn_machine_default(void);

#ifdef __cplusplus
}
#endif
#endif
