/* trace_file.h: the traces of all ranks as one file.
 *
 *   1. compare the clocks again; rank 0 learns what each rank is, and the others the origin;
 *   2. rank 0 writes what the run was, and names the ranks;
 *   3. rank 0 writes its own events, then calls each rank in turn, which sends its text piece by
 *      piece;
 *   4. the file is synced and gets its name.
 *
 * Cost: on each rank a copy of the events of its fullest lane, and 256 KiB of text; on rank 0 512
 * bytes a rank besides.
 */
#ifndef ATTN_RUNTIME_TRACE_FILE_H
#define ATTN_RUNTIME_TRACE_FILE_H

#include "clocks.h"
#include "job.h"
#include "trace_json.h"

/* What a run notes down on the way. */
typedef struct attn_trace_notes {
    attn_clock_reading before; /* before all spans */
    attn_span spans[ATTN_SPANS];
} attn_trace_notes;

/* Compares the clocks, if the config wants a trace. Collective on job->comm. */
void attn_trace_file_begin(const attn_job *job, attn_trace_notes *notes);

/* When a span starts or ends: 0 when the config wants none. */
int64_t attn_trace_file_clock(const attn_job *job);

/* Writes output.trace, after an execution; nothing when the config wants none. Collective on
 * job->comm; agreed on at the boundary "trace". */
attn_status attn_trace_file_write(const attn_job *job, const attn_trace_notes *notes,
                                  attn_error *error);

#endif
