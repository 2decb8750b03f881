#include "clocks.h"

#include <math.h>

#include "status.h"

enum { TAG = 2, MOST_ROUNDS = 64, LEAST_ROUNDS = 8 };
static const int64_t most_ns = 250000000; /* for one rank */

/* What rank 0 sends: a question while uncertainty_ns < 0, otherwise the result. */
enum { READING_BYTES = sizeof(attn_clock_reading) };

/* Rank 0's part, for one other rank. */
static void ask(MPI_Comm comm, int64_t (*clock)(void), int rank) {
    const attn_clock_reading question = {.uncertainty_ns = -1};
    attn_clock_reading best = {.uncertainty_ns = INT64_MAX};
    int64_t begun_ns = clock();

    for (int round = 0; round < MOST_ROUNDS; round++) {
        int64_t asked_ns = clock(), at_ns, answered_ns;

        if (round >= LEAST_ROUNDS && asked_ns - begun_ns > most_ns) break;
        ATTN_MPI(MPI_Send(&question, READING_BYTES, MPI_BYTE, rank, TAG, comm));
        ATTN_MPI(MPI_Recv(&at_ns, 1, MPI_INT64_T, rank, TAG, comm, MPI_STATUS_IGNORE));
        answered_ns = clock();
        /* Half of an odd number is rounded up: the offset's half is rounded, too. */
        if ((answered_ns - asked_ns) / 2 + 1 >= best.uncertainty_ns) continue;
        best = (attn_clock_reading){.at_ns = at_ns,
                                    .offset_ns = at_ns - asked_ns - (answered_ns - asked_ns) / 2,
                                    .uncertainty_ns = (answered_ns - asked_ns) / 2 + 1};
    }
    ATTN_MPI(MPI_Send(&best, READING_BYTES, MPI_BYTE, rank, TAG, comm));
}

static void answer(MPI_Comm comm, int64_t (*clock)(void), attn_clock_reading *reading) {
    for (;;) {
        int64_t at_ns;

        ATTN_MPI(MPI_Recv(reading, READING_BYTES, MPI_BYTE, 0, TAG, comm, MPI_STATUS_IGNORE));
        if (reading->uncertainty_ns >= 0) return;
        at_ns = clock();
        ATTN_MPI(MPI_Send(&at_ns, 1, MPI_INT64_T, 0, TAG, comm));
    }
}

void attn_clocks_compare(MPI_Comm comm, int64_t (*clock)(void), attn_clock_reading *reading) {
    int rank, ranks;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    ATTN_MPI(MPI_Comm_size(comm, &ranks));
    if (rank > 0) {
        answer(comm, clock, reading);
    } else {
        for (int other = 1; other < ranks; other++) ask(comm, clock, other);
        *reading = (attn_clock_reading){.at_ns = clock()};
    }
    ATTN_MPI(MPI_Barrier(comm)); /* none may take the cores from those that still compare */
}

int64_t attn_clocks_align(const attn_clock_reading *before, const attn_clock_reading *after,
                          int64_t at_ns) {
    double between = (double)(after->at_ns - before->at_ns);
    double part = between > 0 ? (double)(at_ns - before->at_ns) / between : 0;

    return at_ns - before->offset_ns -
           llround((double)(after->offset_ns - before->offset_ns) * part);
}
