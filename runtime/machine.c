#include "machine.h"

#include <math.h>
#include <stdlib.h>

#include "memory.h"
#include "status.h"

static const double kernel_share = 0.8; /* of the peak, which attention reaches */

attn_machine attn_machine_default(void) {
    return (attn_machine){.attention_flops = 80e9,
                          .gemm_flops = 80e9,
                          .copy_bytes = 4e9,
                          .node = {1e-6, 10e9},
                          .network = {2e-6, 10e9}};
}

/* The nearest power of two: the choice should follow the machine, not its mood. */
static double rounded(double rate) {
    return exp2(round(log2(rate)));
}

/* Flops per second of the kernel's multiply-adds, the best of a few short runs. */
static double peak_of(const attn_kernel *kernel) {
    enum { REPEATS = 5, ROUNDS = 1 << 13 };
    double best = 0;

    for (int i = 0; i < REPEATS; i++) {
        double start = MPI_Wtime(), flops = kernel->peak_work(ROUNDS);
        best = fmax(best, flops / (MPI_Wtime() - start));
    }
    return best;
}

/* Seconds of one message of `bytes` from rank 0 of `comm` to rank `peer`, the best of a few round
 * trips; 0 on all other ranks. */
static double message_sec(MPI_Comm comm, int peer, char *data, int bytes) {
    enum { REPEATS = 4, TAG = 7 };
    double best = INFINITY;
    int rank;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    for (int i = 0; i < REPEATS; i++) {
        double start = MPI_Wtime();

        if (rank == 0) {
            ATTN_MPI(MPI_Send(data, bytes, MPI_CHAR, peer, TAG, comm));
            ATTN_MPI(MPI_Recv(data, bytes, MPI_CHAR, peer, TAG, comm, MPI_STATUS_IGNORE));
            best = fmin(best, (MPI_Wtime() - start) / 2);
        } else if (rank == peer) {
            ATTN_MPI(MPI_Recv(data, bytes, MPI_CHAR, 0, TAG, comm, MPI_STATUS_IGNORE));
            ATTN_MPI(MPI_Send(data, bytes, MPI_CHAR, 0, TAG, comm));
        }
    }
    return rank == 0 ? best : 0;
}

/* The link between rank 0 of `comm` and its rank `peer`, known to all of `comm`. */
static attn_link measure_link(MPI_Comm comm, int peer, attn_link unknown) {
    enum { SMALL = 8, LARGE = 128 << 10 };
    char *data = attn_alloc(LARGE, 1);
    attn_link link = unknown;
    int mine = data != NULL, all;

    ATTN_MPI(MPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MIN, comm));
    if (all) {
        double small_sec, large_sec;

        for (int i = 0; i < LARGE; i++) data[i] = 0;
        small_sec = message_sec(comm, peer, data, SMALL);
        large_sec = message_sec(comm, peer, data, LARGE);
        if (large_sec > small_sec && small_sec > 0)
            link =
                (attn_link){rounded(small_sec), rounded((LARGE - SMALL) / (large_sec - small_sec))};
        ATTN_MPI(MPI_Bcast(&link, 2, MPI_DOUBLE, 0, comm));
    }
    free(data);
    return link;
}

/* The lowest rank of `comm` that is not on rank 0's node; −1: all are. */
static int first_rank_elsewhere(MPI_Comm comm, MPI_Comm node) {
    int rank, ranks, leader, is_first, first;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    ATTN_MPI(MPI_Comm_size(comm, &ranks));
    leader = rank;
    ATTN_MPI(MPI_Allreduce(MPI_IN_PLACE, &leader, 1, MPI_INT, MPI_MIN, node));
    is_first = leader == 0 ? ranks : rank;
    ATTN_MPI(MPI_Allreduce(&is_first, &first, 1, MPI_INT, MPI_MIN, comm));
    return first == ranks ? -1 : first;
}

attn_machine attn_machine_measure(MPI_Comm comm, MPI_Comm node, const attn_kernel *kernel) {
    attn_machine machine = attn_machine_default();
    double mine = rounded(kernel_share * peak_of(kernel));
    int elsewhere = first_rank_elsewhere(comm, node);
    int on_node;

    ATTN_MPI(MPI_Allreduce(&mine, &machine.attention_flops, 1, MPI_DOUBLE, MPI_MIN, comm));
    machine.gemm_flops = machine.attention_flops;
    ATTN_MPI(MPI_Comm_size(node, &on_node));
    if (on_node > 1) machine.node = measure_link(node, 1, machine.node);
    if (elsewhere > 0) machine.network = measure_link(comm, elsewhere, machine.network);
    ATTN_MPI(MPI_Bcast(&machine, (int)sizeof machine, MPI_BYTE, 0, comm));
    return machine;
}
