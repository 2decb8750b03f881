#define _POSIX_C_SOURCE 200809L

/* Clocks of ranks beside each other, and waits of those that share as events. */
#include "trace.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "circulate.h"
#include "clocks.h"
#include "harness.h"

static int rank_of_world(int *ranks) {
    int rank;

    MPI_Comm_size(MPI_COMM_WORLD, ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

/* --- clocks --------------------------------------------------------------------------- */

enum { SKEW_NS = 1000000000, DRIFT = 1000 };

/* A rank's clock is behind or ahead by seconds, and faster by 1/1000 for each rank. */
static int64_t skewed_clock(void) {
    int ranks, rank = rank_of_world(&ranks);
    int64_t now = attn_trace_clock();

    return now + (int64_t)(rank - ranks) * SKEW_NS * rank + now / DRIFT * rank;
}

static void pause_ms(int ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

/* Between two readings, a time by a rank's clock becomes what rank 0's was then. */
static void test_clocks_are_aligned(void) {
    attn_clock_reading before, after;
    int64_t true_ns, own_ns, error_ns, claimed_ns;
    int ranks, rank = rank_of_world(&ranks);

    attn_clocks_compare(MPI_COMM_WORLD, skewed_clock, &before);
    pause_ms(20);
    true_ns = attn_trace_clock();
    own_ns = skewed_clock();
    error_ns = attn_trace_clock() - true_ns; /* own_ns was taken within that */
    pause_ms(20);
    attn_clocks_compare(MPI_COMM_WORLD, skewed_clock, &after);

    claimed_ns =
        before.uncertainty_ns > after.uncertainty_ns ? before.uncertainty_ns : after.uncertainty_ns;
    /* The skewed clock moves on by steps of DRIFT, and rounds; a reading drifts on its way. */
    error_ns += claimed_ns + claimed_ns / DRIFT * ranks + (int64_t)ranks * 2;
    CU_ASSERT(llabs(attn_clocks_align(&before, &after, own_ns) - true_ns) <= error_ns);
    CU_ASSERT(rank > 0 || claimed_ns == 0);
    CU_ASSERT(after.at_ns > before.at_ns);
}

/* --- waits ---------------------------------------------------------------------------- */

/* Rank 0 waits for the others, who are late; alone it waits for nobody. */
static void test_waiting_for_a_node_is_an_event(void) {
    enum { LATE_MS = 200 };
    int ranks, rank = rank_of_world(&ranks);
    attn_error error;
    attn_buffers buffers = {0};
    attn_attend attend = {0};
    attn_circulate circulate = {.attend = &attend, .circulation = &attn_circulate_gather};
    attn_event event;
    int64_t count;

    if (!attn_node_share_may(ATTN_SHARE_AUTO)) return;
    CU_ASSERT(attn_trace_create(1, &attend.trace, &error) == ATTN_OK);
    attn_trace_expect(attend.trace, 2, 0, 0);
    attn_trace_plan(attend.trace, &buffers);
    CU_ASSERT(attn_node_share_create(&circulate.share, MPI_COMM_WORLD, 0, ranks, rank));
    attn_node_share_reserve(&circulate.share, &buffers, 0, 64);
    CU_ASSERT(attn_buffers_allocate(&buffers, &error) == ATTN_OK);
    CU_ASSERT(attn_node_share_allocate(&circulate.share, &error) == ATTN_OK);
    attn_trace_reset(attend.trace);

    attn_circulate_wait_node(&circulate, ATTN_SHARE_LEFT); /* was not given: no event */
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank > 0) pause_ms(LATE_MS);
    attn_node_share_give(&circulate.share, ATTN_SHARE_ARRIVED);
    attn_circulate_wait_node(&circulate, ATTN_SHARE_ARRIVED);

    count = attn_trace_events(attend.trace, ATTN_LANE_PHASES, NULL);
    CU_ASSERT(rank > 0 ? count <= 1 : count == (ranks > 1));
    if (rank == 0 && count == 1) {
        attn_trace_events(attend.trace, ATTN_LANE_PHASES, &event);
        CU_ASSERT_EQUAL(event.kind, ATTN_EVENT_wait_node);
        CU_ASSERT_EQUAL(event.number[0], ATTN_SHARE_ARRIVED);
        CU_ASSERT(event.end_ns > event.start_ns);
    }
    attn_node_share_destroy(&circulate.share);
    attn_buffers_free(&buffers);
    attn_trace_destroy(attend.trace);
}

/* --- lanes ---------------------------------------------------------------------------- */

/* More events than were expected are counted, and overwrite nothing. */
static void test_events_beyond_the_room_are_counted(void) {
    attn_trace *trace;
    attn_error error;
    attn_buffers buffers = {0};
    int64_t recorded;
    const int many = 5000;

    CU_ASSERT(attn_trace_create(2, &trace, &error) == ATTN_OK);
    attn_trace_expect(trace, 100, 0, 0);
    attn_trace_plan(trace, &buffers);
    CU_ASSERT(attn_buffers_allocate(&buffers, &error) == ATTN_OK);
    attn_trace_reset(trace);
    for (int i = 0; i < many; i++)
        attn_trace_end(attn_trace_lane_of(trace, ATTN_LANE_PHASES), ATTN_EVENT_wait,
                       attn_trace_clock(), 0, 0, 0);
    recorded = attn_trace_events(trace, ATTN_LANE_PHASES, NULL);
    CU_ASSERT(recorded >= 100 && recorded < many);
    CU_ASSERT_EQUAL(attn_trace_left_out(trace, ATTN_EVENT_wait), many - recorded);
    attn_trace_reset(trace);
    CU_ASSERT_EQUAL(attn_trace_events(trace, ATTN_LANE_PHASES, NULL), 0);
    CU_ASSERT_EQUAL(attn_trace_left_out(trace, ATTN_EVENT_wait), 0);
    attn_buffers_free(&buffers);
    attn_trace_destroy(trace);
}

int main(int argc, char **argv) {
    static const attn_test tests[] = {
        {"clocks are aligned", test_clocks_are_aligned},
        {"waiting for a node is an event", test_waiting_for_a_node_is_an_event},
        {"events beyond the room are counted", test_events_beyond_the_room_are_counted},
    };
    return attn_test_main_mpi(&argc, &argv, "mpi.trace", tests, ATTN_TEST_COUNT(tests));
}
