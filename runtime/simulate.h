/* simulate.h: work that is charged to a simulated cluster instead of being done.
 *
 * The build with ATTN_SIMULATE is for SimGrid's MPI, which runs all ranks in one process and lets
 * their time pass as a platform file says. It plans, and sends every message, as any other build
 * does; what a CPU would work on is left out and its time is charged:
 *
 *     a pair of query and key, of a head       (score + 2 (d_k + d_v) / attention rate
 *                                              + block / its keys) / threads
 *     a multiply-add of a projection           2 / (threads · gemm rate)
 *     a byte of an array that is rearranged    1 / (copy rate · threads, of one head each)
 *
 * at the rates of the plan's machine, which its prediction is made of, too (cost.h). Pairs are
 * those that the kernel computes: for a group of queries all keys between the first and the last
 * one that some row of it sees, in whole vectors, step by step as they arrive; a shard that no
 * query sees is free. So the machine's time of an edge is not charged; nor are merging, planning,
 * reading K and V for few queries, and the calls of MPI themselves.
 *
 * Idealised are: work that divides evenly among the threads of a rank; transfers that move
 * while the rank computes, whether it polls or not; cores, memory and links that nobody else uses.
 *
 * Arrays of all ranks have the same addresses, and no memory: what is in them means nothing. So
 * there is no result to verify or to write.
 *
 * Other builds get the functions below as nothing, and no branch on ATTN_SIMULATED.
 */
#ifndef ATTN_RUNTIME_SIMULATE_H
#define ATTN_RUNTIME_SIMULATE_H

#include <stddef.h>
#include <stdint.h>

#include "attend.h"
#include "attnspan/machine.h"

#ifdef ATTN_SIMULATE

enum { ATTN_SIMULATED = 1 };

/* What is charged from now on on this rank. */
void attn_simulate_rates(const attn_machine *machine);

/* Bytes that are rearranged, a head by one thread. */
void attn_simulate_copy(int64_t bytes, int64_t heads, int threads);

/* Flops of projections. */
void attn_simulate_gemm(double flops, int threads);

/* A step of attend.h. */
void attn_simulate_attend(attn_attend *attend, int32_t step);

/* Frees what of a plan only attending needs; of a tree that is not a share. */
void attn_simulate_forget(attn_attend *attend);

/* An array, which is not freed; NULL without address space. */
void *attn_simulate_alloc(int64_t bytes);

/* Threads of a rank, bytes of a node's memory, and a line about the cluster, as scripts/simulate.sh
 * says by ATTNSPAN_SIMULATE_THREADS, _MEMORY and _CLUSTER; 1, −1 (unknown) and a word without. */
int attn_simulate_threads(void);
int64_t attn_simulate_memory(void);
const char *attn_simulate_cluster(void);

#else

enum { ATTN_SIMULATED = 0 };

static inline void attn_simulate_rates(const attn_machine *machine) {
    (void)machine;
}

static inline void attn_simulate_copy(int64_t bytes, int64_t heads, int threads) {
    (void)bytes;
    (void)heads;
    (void)threads;
}

static inline void attn_simulate_gemm(double flops, int threads) {
    (void)flops;
    (void)threads;
}

static inline void attn_simulate_attend(attn_attend *attend, int32_t step) {
    (void)attend;
    (void)step;
}

static inline void attn_simulate_forget(attn_attend *attend) {
    (void)attend;
}

static inline void *attn_simulate_alloc(int64_t bytes) {
    (void)bytes;
    return NULL;
}

static inline int attn_simulate_threads(void) {
    return 1;
}

static inline int64_t attn_simulate_memory(void) {
    return -1;
}

static inline const char *attn_simulate_cluster(void) {
    return "";
}

#endif
#endif
