/* bench_ranks.h: points of a sweep on the first ranks of one job.
 *
 * Ranks are sorted by node, so that few of them fill as few nodes as they can. Those that a point
 * leaves out sleep until it is done: they may share cores with the threads of the others.
 */
#ifndef ATTN_RUNTIME_BENCH_RANKS_H
#define ATTN_RUNTIME_BENCH_RANKS_H

#include <mpi.h>

#include "mesh.h"

typedef struct attn_bench_ranks {
    attn_mesh all; /* owned: its `world` are all ranks, sorted by node */
    int threads;   /* of this rank, by attn_threads_auto, when all ranks compute */
} attn_bench_ranks;

/* Rank 0 of `comm` is rank 0 here. Collective. */
void attn_bench_ranks_create(MPI_Comm comm, attn_bench_ranks *ranks);

/* A communicator of the first `count` ranks, 1 … all; MPI_COMM_NULL on the others. Rank 0 is rank 0
 * of it. Collective on all. */
MPI_Comm attn_bench_ranks_enter(const attn_bench_ranks *ranks, int count);

/* Frees it and waits for all ranks. Collective on all. */
void attn_bench_ranks_leave(const attn_bench_ranks *ranks, MPI_Comm active);

/* Collective; a zeroed one is legal. */
void attn_bench_ranks_destroy(attn_bench_ranks *ranks);

#endif
