#define _POSIX_C_SOURCE 200809L

#include "bench_ranks.h"

#include <time.h>

#include "simulate.h"
#include "status.h"
#include "topology.h"

void attn_bench_ranks_create(MPI_Comm comm, attn_bench_ranks *ranks) {
    int count;

    ATTN_MPI(MPI_Comm_size(comm, &count));
    attn_mesh_create(comm, 1, count, &ranks->all);
    ranks->threads = attn_threads_auto(ranks->all.node);
}

MPI_Comm attn_bench_ranks_enter(const attn_bench_ranks *ranks, int count) {
    int color = ranks->all.rank < count ? 0 : MPI_UNDEFINED;
    MPI_Comm active;

    ATTN_MPI(MPI_Comm_split(ranks->all.world, color, ranks->all.rank, &active));
    if (active != MPI_COMM_NULL)
        ATTN_MPI(MPI_Comm_set_errhandler(active, MPI_ERRORS_RETURN)); /* ATTN_MPI reports */
    return active;
}

/* A blocking call would spin, and take a core from those that still compute; not where time is
 * simulated, and each look at the clock of a simulated hour costs one of ours. */
void attn_bench_ranks_leave(const attn_bench_ranks *ranks, MPI_Comm active) {
    const struct timespec pause = {.tv_nsec = 1000000};
    MPI_Request all_here;
    int done = 0;

    if (active != MPI_COMM_NULL) ATTN_MPI(MPI_Comm_free(&active));
    if (ATTN_SIMULATED) {
        ATTN_MPI(MPI_Barrier(ranks->all.world));
        return;
    }
    ATTN_MPI(MPI_Ibarrier(ranks->all.world, &all_here));
    for (;;) {
        ATTN_MPI(MPI_Test(&all_here, &done, MPI_STATUS_IGNORE));
        if (done) return;
        nanosleep(&pause, NULL);
    }
}

void attn_bench_ranks_destroy(attn_bench_ranks *ranks) {
    attn_mesh_destroy(&ranks->all);
}
