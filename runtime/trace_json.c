#include "trace_json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory.h"
#include "node_share.h"

enum { PIECE_BYTES = ATTN_TRACE_PIECE_BYTES, EVENT_BYTES = 512 };

/* What is being written. */
typedef struct writer {
    const attn_trace_rank *rank;
    attn_event *events;    /* owned: of the lane at hand, in the order of their starts */
    int64_t *lane_ends_ns; /* owned: of lanes of messages, when their last one ends */
    char *text;            /* owned: [PIECE_BYTES] */
    size_t used;
    int lane; /* the thread number of the lane at hand: above those of the ranks */
    attn_error *error;
} writer;

static const char *const kind_names[] = {
#define ATTN_EVENT_NAME(name, ...) #name,
    ATTN_EVENT_LIST(ATTN_EVENT_NAME)
#undef ATTN_EVENT_NAME
};

static const char *const number_names[][3] = {
#define ATTN_EVENT_NUMBERS(name, ...) {__VA_ARGS__},
    ATTN_EVENT_LIST(ATTN_EVENT_NUMBERS)
#undef ATTN_EVENT_NUMBERS
};

static const char *const cargo_words[] = {
#define ATTN_CARGO_WORDS(name, words) words,
    ATTN_CARGO_LIST(ATTN_CARGO_WORDS)
#undef ATTN_CARGO_WORDS
};

/* --- text ------------------------------------------------------------------- */

static void flush(writer *self) {
    if (self->used > 0 && self->error->status == ATTN_OK)
        self->rank->put(self->rank->context, self->text, self->used, self->error);
    self->used = 0;
}

/* Appends to the event at hand, of which there are at most EVENT_BYTES. */
static ATTN_PRINTF(2, 3) void say(writer *self, const char *format, ...) {
    va_list arguments;
    int bytes;

    va_start(arguments, format);
    bytes = vsnprintf(self->text + self->used, PIECE_BYTES - self->used, format, arguments);
    va_end(arguments);
    if (bytes > 0) self->used += (size_t)bytes;
}

static void begin_event(writer *self, const char *phase) {
    if (self->used > PIECE_BYTES - EVENT_BYTES) flush(self);
    say(self, ",\n{\"ph\":\"%s\",\"pid\":%d,\"tid\":%d", phase, self->rank->rank, self->lane);
}

/* Microseconds, as the format has them. */
static void say_time(writer *self, const char *key, int64_t ns) {
    say(self, ",\"%s\":%" PRId64 ".%03d", key, ns / 1000, (int)(ns % 1000));
}

static void begin_lane(writer *self, const char *name) {
    self->lane++;
    begin_event(self, "M");
    say(self, ",\"name\":\"thread_name\",\"args\":{\"name\":\"%s\"}}", name);
    begin_event(self, "M");
    say(self, ",\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%d}}", self->lane);
}

/* --- events ------------------------------------------------------------------- */

int64_t attn_trace_json_time(const attn_trace_rank *rank, int64_t at_ns) {
    return attn_clocks_align(&rank->before, &rank->after, at_ns) - rank->origin_ns;
}

static void begin_slice(writer *self, int64_t start_ns, int64_t end_ns) {
    int64_t start = attn_trace_json_time(self->rank, start_ns);

    begin_event(self, "X");
    say_time(self, "ts", start);
    say_time(self, "dur", attn_trace_json_time(self->rank, end_ns) - start);
}

static void write_event(writer *self, const attn_event *event) {
    const char *const *names = number_names[event->kind];

    begin_slice(self, event->start_ns, event->end_ns);
    say(self, ",\"cat\":\"%s\",\"name\":\"%s", kind_names[event->kind], kind_names[event->kind]);
    if (event->kind == ATTN_EVENT_block || event->kind == ATTN_EVENT_step)
        say(self, " %" PRId64, event->number[0]);
    if (event->kind == ATTN_EVENT_step && event->number[1] != ATTN_EVENT_NO_SHARD)
        say(self, ": keys of %" PRId64, event->number[1]);
    if (event->kind == ATTN_EVENT_wait_node)
        say(self, event->number[0] == ATTN_SHARE_ARRIVED ? ": keys arrive" : ": buffer is left");
    say(self, "\",\"args\":{");
    for (int i = 0; i < 3 && names[i][0] != '\0'; i++)
        say(self, "%s\"%s\":%" PRId64, i == 0 ? "" : ",", names[i], event->number[i]);
    say(self, "}}");
}

/* The end of an arrow, "s" or "f". Both have the same number: who sends what to whom, and the
 * message's number among these; below 2^53 up to 2^14 ranks and 2^22 messages of a pair. */
static void write_arrow(writer *self, const char *end, const attn_event *event) {
    const attn_trace_rank *rank = self->rank;
    uint64_t of = (uint64_t)rank->place, to = (uint64_t)event->peer, swapped = of;
    int64_t at = attn_trace_json_time(rank, event->start_ns);

    if (event->kind == ATTN_EVENT_receive) {
        of = to;
        to = swapped;
        at = attn_trace_json_time(rank, event->end_ns);
    }
    begin_event(self, end);
    say_time(self, "ts", at);
    say(self, ",\"cat\":\"message\",\"name\":\"message\",\"id\":%" PRIu64 "%s}",
        (((of * (uint64_t)rank->ranks + to) * ATTN_CARGOES + (uint64_t)event->cargo) << 22) +
            (uint64_t)event->sequence,
        event->kind == ATTN_EVENT_receive ? ",\"bp\":\"e\"" : "");
}

/* An instant for the arrow to end at: of two slices, Perfetto lets it start at the one that starts
 * first, which is the receiver's as often as not. */
static void write_arrival(writer *self, const attn_event *event) {
    begin_event(self, "i");
    say_time(self, "ts", attn_trace_json_time(self->rank, event->end_ns));
    say(self, ",\"s\":\"t\",\"cat\":\"message\",\"name\":\"arrived\"}");
}

static void write_message(writer *self, const attn_event *event) {
    const char *const *names = number_names[event->kind];
    int is_of_shard = event->cargo >= ATTN_CARGO_key_values;

    begin_slice(self, event->start_ns, event->end_ns);
    say(self, ",\"cat\":\"%s\",\"name\":\"%s", kind_names[event->kind], cargo_words[event->cargo]);
    if (is_of_shard) say(self, " %" PRId64, event->number[1]);
    say(self, "\",\"args\":{\"peer\":%d", self->rank->rank_of_place[event->peer]);
    for (int i = 0; i < 3; i++) say(self, ",\"%s\":%" PRId64, names[i], event->number[i]);
    say(self, ",\"number\":%d}}", (int)event->sequence);
    if (event->kind == ATTN_EVENT_receive) write_arrival(self, event);
    write_arrow(self, event->kind == ATTN_EVENT_send ? "s" : "f", event);
}

/* --- lanes -------------------------------------------------------------------- */

/* By start; of those that start together the longest first, which is around the others. */
static int by_start(const void *a, const void *b) {
    const attn_event *left = a, *right = b;

    if (left->start_ns != right->start_ns) return left->start_ns < right->start_ns ? -1 : 1;
    if (left->end_ns != right->end_ns) return left->end_ns > right->end_ns ? -1 : 1;
    return (left->kind > right->kind) - (left->kind < right->kind);
}

static int64_t take_lane(writer *self, int lane) {
    int64_t count = attn_trace_events(self->rank->trace, lane, self->events);

    qsort(self->events, (size_t)count, sizeof *self->events, by_start);
    return count;
}

static void write_span(writer *self, attn_span_kind kind, const char *name) {
    const attn_span *span = &self->rank->spans[kind];

    if (span->end_ns == 0) return;
    begin_slice(self, span->start_ns, span->end_ns);
    say(self, ",\"cat\":\"%s\",\"name\":\"%s\",\"args\":{}}", name, name);
}

static void write_phases(writer *self) {
    int64_t count = take_lane(self, ATTN_LANE_PHASES);

    begin_lane(self, "phases");
    write_span(self, ATTN_SPAN_LOAD, "load");
    for (int64_t i = 0; i < count; i++) write_event(self, &self->events[i]);
    write_span(self, ATTN_SPAN_VERIFY, "verify");
    write_span(self, ATTN_SPAN_WRITE, "write");
}

/* Messages of one way. Each goes to the first lane that is free when it starts; lane by lane, what
 * was written is marked. */
static void write_messages(writer *self, attn_event_kind way) {
    int64_t count = take_lane(self, ATTN_LANE_MESSAGES), lanes = 0;
    int32_t *lane_of = (int32_t *)(void *)(self->lane_ends_ns + count);

    for (int64_t i = 0; i < count; i++) {
        const attn_event *event = &self->events[i];
        int64_t lane = 0;

        lane_of[i] = -1;
        if ((attn_event_kind)event->kind != way) continue;
        while (lane < lanes && self->lane_ends_ns[lane] > event->start_ns) lane++;
        lanes += lane == lanes;
        self->lane_ends_ns[lane] = event->end_ns;
        lane_of[i] = (int32_t)lane;
    }
    for (int64_t lane = 0; lane < lanes; lane++) {
        begin_lane(self, kind_names[way]);
        for (int64_t i = 0; i < count; i++)
            if (lane_of[i] == lane) write_message(self, &self->events[i]);
    }
}

static void write_thread(writer *self, int lane) {
    int64_t count = take_lane(self, lane);
    char name[32];

    snprintf(name, sizeof name, "thread %d", lane - ATTN_LANE_THREADS);
    begin_lane(self, name);
    for (int64_t i = 0; i < count; i++) write_event(self, &self->events[i]);
}

attn_status attn_trace_json_write(const attn_trace_rank *rank, attn_error *error) {
    writer self = {.rank = rank, .lane = rank->ranks - 1, .error = error};
    const attn_trace *trace = rank->trace;
    int64_t most = 0, messages = attn_trace_events(trace, ATTN_LANE_MESSAGES, NULL);

    attn_ok(error);
    for (int lane = 0; lane < trace->lane_count; lane++) {
        int64_t count = attn_trace_events(trace, lane, NULL);
        if (count > most) most = count;
    }
    self.events = attn_alloc((size_t)most, sizeof *self.events);
    self.lane_ends_ns = attn_alloc((size_t)messages, sizeof(int64_t) + sizeof(int32_t));
    self.text = malloc(PIECE_BYTES);
    if (self.events == NULL || self.lane_ends_ns == NULL || self.text == NULL) {
        attn_fail(error, ATTN_ERR_MEMORY, "out of memory for the trace");
    } else {
        write_phases(&self);
        for (int lane = ATTN_LANE_THREADS; lane < trace->lane_count; lane++)
            write_thread(&self, lane);
        write_messages(&self, ATTN_EVENT_receive);
        write_messages(&self, ATTN_EVENT_send);
        flush(&self);
    }
    free(self.text);
    free(self.lane_ends_ns);
    free(self.events);
    return error->status;
}
