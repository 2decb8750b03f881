/* trace.h: what a rank did in its last execution, event by event.
 *
 * A plan with attn_options.with_trace has one; without it every pointer to a trace or a lane is
 * NULL, and to record costs one branch.
 *
 * Each thread writes into a lane of its own, without locks: events come from one pool in chunks,
 * and only taking a new chunk is atomic. Planning tells how many events there can be (expect), and
 * the pool has room for all of them, or for none of a kind:
 *   - phases, waits and messages always; wait is for messages, and wait_node for a signal of the
 *     ranks that share memory (node_share.h);
 *   - tiles, and the blocks in them, where all together are at most ATTN_TRACE_MOST_EVENTS;
 *   - tiles without blocks, or neither, where that is too many. What is left out is counted.
 *
 * Cost: two readings of the clock and 56 bytes an event; nothing is allocated or sent.
 */
#ifndef ATTN_RUNTIME_TRACE_H
#define ATTN_RUNTIME_TRACE_H

#include <stdint.h>

#include "attnspan/plan.h"
#include "buffers.h"
#include "status.h"

/* Of a rank, besides phases, waits and messages: 30 MB. ATTNSPAN_TRACE_EVENTS is another number,
 * from 0 up to the limit. */
enum { ATTN_TRACE_MOST_EVENTS = 1 << 19, ATTN_TRACE_LIMIT_EVENTS = 1 << 28 };

/* X(name, number[0], number[1], number[2]): kinds of events, and what their numbers are; "": not
 * used. */
#define ATTN_EVENT_LIST(X)                               \
    X(execute, "", "", "")                               \
    X(project, "", "", "")                               \
    X(exchange, "", "", "")                              \
    X(attend, "", "", "")                                \
    X(output, "", "", "")                                \
    X(pack, "", "", "")                                  \
    X(step, "step", "keys_of_shard", "queries_of_shard") \
    X(wait, "", "", "")                                  \
    X(wait_node, "signal", "", "")                       \
    X(tile, "item", "head", "row")                       \
    X(block, "block", "keys", "keys_of_shard")           \
    X(receive, "bytes", "shard", "slice")                \
    X(send, "bytes", "shard", "slice")

typedef enum attn_event_kind {
#define ATTN_EVENT_ENUM(name, ...) ATTN_EVENT_##name,
    ATTN_EVENT_LIST(ATTN_EVENT_ENUM)
#undef ATTN_EVENT_ENUM
        ATTN_EVENT_KINDS
} attn_event_kind;

/* X(name, words): what a message carries. */
#define ATTN_CARGO_LIST(X) \
    X(query, "q")          \
    X(key, "k")            \
    X(value, "v")          \
    X(output, "out")       \
    X(key_values, "K/V")   \
    X(queries, "queries")  \
    X(partials, "partials")

typedef enum attn_cargo_kind {
#define ATTN_CARGO_ENUM(name, words) ATTN_CARGO_##name,
    ATTN_CARGO_LIST(ATTN_CARGO_ENUM)
#undef ATTN_CARGO_ENUM
        ATTN_CARGOES
} attn_cargo_kind;

/* Of a step or a message: no shard, or more than one. */
enum { ATTN_EVENT_NO_SHARD = -1 };

typedef struct attn_event {
    int64_t start_ns, end_ns; /* by attn_trace_clock() */
    int32_t kind;             /* attn_event_kind */
    int32_t cargo;            /* of a message: attn_cargo_kind */
    int32_t peer;             /* of a message: the other's place in the mesh */
    int32_t sequence;         /* of a message: its number among those of that way and cargo */
    int64_t number[3];        /* by kind */
} attn_event;

/* Lanes: of the calling thread's phases, of messages, and one for each thread. */
enum { ATTN_LANE_PHASES, ATTN_LANE_MESSAGES, ATTN_LANE_THREADS };

typedef struct attn_trace attn_trace;

/* One thread writes to it at a time. A cache line of its own. */
typedef struct attn_trace_lane {
    _Alignas(64) attn_trace *trace; /* borrowed */
    attn_event *next, *last;        /* of the chunk at hand */
    int64_t left_out[ATTN_EVENT_KINDS];
} attn_trace_lane;

struct attn_trace {
    int32_t lane_count;
    attn_trace_lane *lanes;             /* owned */
    int64_t main_events, tiles, blocks; /* that are expected */
    int with_tiles, with_blocks;        /* whether these are recorded */
    attn_event *events;                 /* borrowed from the plan's buffers: [chunks][…] */
    int32_t *chunk_lane;                /* borrowed likewise: whose a chunk is */
    int64_t chunk_count, used_chunks;
};

/* Nanoseconds of a clock that only goes forward, and is the same for all threads of a node. */
int64_t attn_trace_clock(void);

/* A trace for so many threads. Not collective, as all of this file. ATTN_ERR_MEMORY. */
attn_status attn_trace_create(int threads, attn_trace **trace, attn_error *error);

/* While planning: an execution may have so many more events, and so many tiles and blocks.
 * NULL is legal. */
void attn_trace_expect(attn_trace *trace, int64_t events, int64_t tiles, int64_t blocks);

/* Reserves room for what was expected. */
void attn_trace_plan(attn_trace *trace, attn_buffers *buffers);

/* Forgets all events; after the buffers were allocated, before each execution. NULL is legal. */
void attn_trace_reset(attn_trace *trace);

/* NULL of NULL. */
attn_trace_lane *attn_trace_lane_of(attn_trace *trace, int lane);

void attn_trace_record(attn_trace_lane *lane, const attn_event *event);

/* When an event starts: 0 without a lane. */
static inline int64_t attn_trace_start(const attn_trace_lane *lane) {
    return lane == NULL ? 0 : attn_trace_clock();
}

/* Records one that ends now. */
static inline void attn_trace_end(attn_trace_lane *lane, attn_event_kind kind, int64_t start_ns,
                                  int64_t first, int64_t second, int64_t third) {
    if (lane == NULL) return;
    attn_trace_record(lane, &(attn_event){.start_ns = start_ns,
                                          .end_ns = attn_trace_clock(),
                                          .kind = (int32_t)kind,
                                          .number = {first, second, third}});
}

/* How many events a lane has; with `events`, copies them, in the order of their ends. */
int64_t attn_trace_events(const attn_trace *trace, int lane, attn_event *events);

/* How many of a kind were left out. */
int64_t attn_trace_left_out(const attn_trace *trace, attn_event_kind kind);

/* NULL is legal. */
void attn_trace_destroy(attn_trace *trace);

/* The plan's, with what its last execution did; NULL: it has none. */
const attn_trace *attn_plan_trace(const attn_plan *plan);

#endif
