/* clocks.h: what the clocks of the ranks differ by, as of rank 0's.
 *
 * Cristian's algorithm (1989): rank 0 asks each other rank in turn for its time, many times. Of the
 * answer that was there soonest, after a round trip of r, the time was read within r of the
 * question: taking the middle, the error is at most r / 2. Measured twice, before and after what is
 * of interest, and interpolated, the drift in between is taken out as well.
 *
 * Cost: 64 round trips to each rank, one rank after the other; fewer where they take longer than
 * 0.25 s, but 8. No memory.
 */
#ifndef ATTN_RUNTIME_CLOCKS_H
#define ATTN_RUNTIME_CLOCKS_H

#include <mpi.h>
#include <stdint.h>

/* A rank's clock beside rank 0's. */
typedef struct attn_clock_reading {
    int64_t at_ns;          /* when, by the rank's own clock */
    int64_t offset_ns;      /* own time minus that of rank 0 */
    int64_t uncertainty_ns; /* the offset's error is at most that, each way */
} attn_clock_reading;

/* This rank's reading; all pass the same kind of clock, in nanoseconds. Collective. */
void attn_clocks_compare(MPI_Comm comm, int64_t (*clock)(void), attn_clock_reading *reading);

/* A time of the own clock as rank 0's, by two readings and the line between. Not collective. */
int64_t attn_clocks_align(const attn_clock_reading *before, const attn_clock_reading *after,
                          int64_t at_ns);

#endif
