/* trace_json.h: a rank's events as text in the Trace Event Format, which Perfetto opens.
 *
 * A process is a rank; its threads are lanes, in this order: the phases; the rank's OpenMP threads;
 * messages received and sent, as many lanes of each as messages overlap. Slices of a lane are in
 * the order of their starts, those around others first. An arrow (a flow) leads from each message
 * sent to the instant in which it has arrived.
 *
 * Perfetto draws a process's lanes in the order of their numbers, but first of all the one that has
 * the process's own, as the main thread: so lanes are numbered from the number of ranks on.
 *
 * The text is a piece of an array: events with a comma before each. Not collective.
 */
#ifndef ATTN_RUNTIME_TRACE_JSON_H
#define ATTN_RUNTIME_TRACE_JSON_H

#include <stddef.h>

#include "clocks.h"
#include "status.h"
#include "trace.h"

enum { ATTN_TRACE_PIECE_BYTES = 1 << 18 }; /* of text, at most */

/* What a run does besides the execution of the plan. */
typedef enum attn_span_kind {
    ATTN_SPAN_LOAD,
    ATTN_SPAN_VERIFY,
    ATTN_SPAN_WRITE,
    ATTN_SPANS
} attn_span_kind;

typedef struct attn_span {
    int64_t start_ns, end_ns; /* by attn_trace_clock(); 0 and 0: there is none */
} attn_span;

/* A rank, and where its text goes. */
typedef struct attn_trace_rank {
    int rank;
    int ranks;
    int place;                /* its own in the mesh */
    const int *rank_of_place; /* borrowed: [ranks] */
    const attn_trace *trace;  /* borrowed */
    attn_span spans[ATTN_SPANS];
    attn_clock_reading before, after;
    int64_t origin_ns; /* of rank 0's clock: where the trace starts */

    /* Gets pieces of text; a failure ends the writing. */
    attn_status (*put)(void *context, const char *text, size_t bytes, attn_error *error);
    void *context; /* borrowed */
} attn_trace_rank;

/* A local time as the trace has it: from its start, by rank 0's clock. */
int64_t attn_trace_json_time(const attn_trace_rank *rank, int64_t at_ns);

/* ATTN_ERR_MEMORY, and what `put` returns. */
attn_status attn_trace_json_write(const attn_trace_rank *rank, attn_error *error);

#endif
