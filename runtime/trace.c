#define _POSIX_C_SOURCE 200809L

#include "trace.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memory.h"

enum { CHUNK_EVENTS = 64 };

int64_t attn_trace_clock(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail: the clock exists, the pointer is ours */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

attn_status attn_trace_create(int threads, attn_trace **trace, attn_error *error) {
    attn_trace *made = calloc(1, sizeof *made);

    *trace = made;
    if (made != NULL) {
        made->lane_count = ATTN_LANE_THREADS + threads;
        made->lanes = attn_alloc((size_t)made->lane_count, sizeof *made->lanes);
    }
    if (made == NULL || made->lanes == NULL) {
        attn_trace_destroy(made);
        *trace = NULL;
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the trace");
    }
    return attn_ok(error);
}

static void add(int64_t *sum, int64_t more) {
    *sum = *sum > INT64_MAX - more ? INT64_MAX : *sum + more;
}

void attn_trace_expect(attn_trace *trace, int64_t events, int64_t tiles, int64_t blocks) {
    if (trace == NULL) return;
    add(&trace->main_events, events);
    add(&trace->tiles, tiles);
    add(&trace->blocks, blocks);
}

/* Text that is no number counts as if it were not set. */
static int64_t most_events(void) {
    const char *text = getenv("ATTNSPAN_TRACE_EVENTS");
    char *end;
    long long events;

    if (text == NULL) return ATTN_TRACE_MOST_EVENTS;
    events = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || events < 0) return ATTN_TRACE_MOST_EVENTS;
    return events > ATTN_TRACE_LIMIT_EVENTS ? ATTN_TRACE_LIMIT_EVENTS : events;
}

void attn_trace_plan(attn_trace *trace, attn_buffers *buffers) {
    const int64_t most = most_events();
    int64_t events = trace->main_events;

    trace->with_tiles = trace->tiles <= most;
    trace->with_blocks = trace->with_tiles && trace->blocks <= most - trace->tiles;
    if (trace->with_tiles) add(&events, trace->tiles);
    if (trace->with_blocks) add(&events, trace->blocks);
    /* The last chunk of each lane may stay all but empty. */
    trace->chunk_count = events / CHUNK_EVENTS + 1;
    add(&trace->chunk_count, trace->lane_count);
    attn_buffers_reserve(buffers, attn_elems(trace->chunk_count, CHUNK_EVENTS, 1),
                         sizeof *trace->events, &trace->events);
    attn_buffers_reserve(buffers, trace->chunk_count, sizeof *trace->chunk_lane,
                         &trace->chunk_lane);
}

void attn_trace_reset(attn_trace *trace) {
    if (trace == NULL) return;
    trace->used_chunks = 0;
    for (int32_t i = 0; i < trace->lane_count; i++)
        trace->lanes[i] = (attn_trace_lane){.trace = trace};
}

attn_trace_lane *attn_trace_lane_of(attn_trace *trace, int lane) {
    return trace == NULL ? NULL : &trace->lanes[lane];
}

static int is_recorded(const attn_trace *trace, int32_t kind) {
    if (kind == ATTN_EVENT_block) return trace->with_blocks;
    return kind != ATTN_EVENT_tile || trace->with_tiles;
}

/* False when the pool is used up: then more was done than was expected. */
static int take_chunk(attn_trace_lane *lane) {
    attn_trace *trace = lane->trace;
    int64_t chunk;

#pragma omp atomic capture
    chunk = trace->used_chunks++;
    if (chunk >= trace->chunk_count) return 0;
    trace->chunk_lane[chunk] = (int32_t)(lane - trace->lanes);
    lane->next = trace->events + chunk * CHUNK_EVENTS;
    lane->last = lane->next + CHUNK_EVENTS;
    return 1;
}

void attn_trace_record(attn_trace_lane *lane, const attn_event *event) {
    if (!is_recorded(lane->trace, event->kind) || (lane->next == lane->last && !take_chunk(lane))) {
        lane->left_out[event->kind]++;
        return;
    }
    *lane->next++ = *event;
}

int64_t attn_trace_events(const attn_trace *trace, int lane, attn_event *events) {
    const attn_trace_lane *of = &trace->lanes[lane];
    int64_t chunks =
        trace->used_chunks < trace->chunk_count ? trace->used_chunks : trace->chunk_count;
    int64_t count = 0;

    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const attn_event *first = trace->events + chunk * CHUNK_EVENTS;
        int64_t held = first + CHUNK_EVENTS == of->last ? of->next - first : CHUNK_EVENTS;

        if (trace->chunk_lane[chunk] != lane) continue;
        if (events != NULL) memcpy(events + count, first, (size_t)held * sizeof *events);
        count += held;
    }
    return count;
}

int64_t attn_trace_left_out(const attn_trace *trace, attn_event_kind kind) {
    int64_t count = 0;

    for (int32_t i = 0; i < trace->lane_count; i++) count += trace->lanes[i].left_out[kind];
    return count;
}

void attn_trace_destroy(attn_trace *trace) {
    if (trace == NULL) return;
    free(trace->lanes);
    free(trace);
}
