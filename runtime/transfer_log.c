#include "transfer_log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

struct attn_transfer_log {
    attn_trace *trace; /* borrowed */
    int first_place, place_stride;
    int peers;
    attn_event *messages;           /* owned; [capacity]: in flight, without their ends */
    int *pieces_left;               /* owned; [capacity]: of each message */
    int *message_of;                /* owned; [capacity]: of each request */
    int *done;                      /* owned; [capacity]: requests, from MPI */
    int32_t *sent_to, *received_of; /* owned; [peers]: messages since the last reset */
    int message_count;              /* in flight */
    int requests_done;              /* of those in flight */
};

attn_status attn_transfer_log_create(attn_transfer *transfer, attn_trace *trace, int first_place,
                                     int place_stride, attn_error *error) {
    size_t capacity = (size_t)transfer->capacity;
    attn_transfer_log *log;

    if (trace == NULL) return attn_ok(error);
    log = calloc(1, sizeof *log);
    transfer->log = log;
    if (log == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the trace");
    *log = (attn_transfer_log){
        .trace = trace, .first_place = first_place, .place_stride = place_stride};
    ATTN_MPI(MPI_Comm_size(transfer->comm, &log->peers));
    log->messages = attn_alloc(capacity, sizeof *log->messages);
    log->pieces_left = attn_alloc(capacity, sizeof *log->pieces_left);
    log->message_of = attn_alloc(capacity, sizeof *log->message_of);
    log->done = attn_alloc(capacity, sizeof *log->done);
    log->sent_to = attn_alloc((size_t)log->peers, sizeof *log->sent_to);
    log->received_of = attn_alloc((size_t)log->peers, sizeof *log->received_of);
    if (log->messages == NULL || log->pieces_left == NULL || log->message_of == NULL ||
        log->done == NULL || log->sent_to == NULL || log->received_of == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the trace");
    return attn_ok(error);
}

void attn_transfer_log_reset(attn_transfer *transfer) {
    attn_transfer_log *log = transfer->log;

    memset(log->sent_to, 0, (size_t)log->peers * sizeof *log->sent_to);
    memset(log->received_of, 0, (size_t)log->peers * sizeof *log->received_of);
}

void attn_transfer_log_start(attn_transfer *transfer, attn_event_kind way, int64_t bytes,
                             int peer) {
    attn_transfer_log *log = transfer->log;
    int pieces = (int)attn_transfer_pieces(bytes);
    int32_t *sequence = way == ATTN_EVENT_send ? &log->sent_to[peer] : &log->received_of[peer];

    if (transfer->count == 0) log->message_count = log->requests_done = 0;
    assert(transfer->count + pieces <= transfer->capacity);
    for (int i = 0; i < pieces; i++) log->message_of[transfer->count + i] = log->message_count;
    log->pieces_left[log->message_count] = pieces;
    log->messages[log->message_count++] =
        (attn_event){.start_ns = attn_trace_clock(),
                     .kind = (int32_t)way,
                     .cargo = (int32_t)transfer->cargo.kind,
                     .peer = log->first_place + peer * log->place_stride,
                     .sequence = (*sequence)++,
                     .number = {bytes, transfer->cargo.shard, transfer->cargo.slice}};
}

/* `count` requests of log->done are done. */
static void record_done(attn_transfer_log *log, int count) {
    int64_t now = attn_trace_clock();

    log->requests_done += count;
    for (int i = 0; i < count; i++) {
        int message = log->message_of[log->done[i]];

        if (--log->pieces_left[message] > 0) continue;
        log->messages[message].end_ns = now;
        attn_trace_record(attn_trace_lane_of(log->trace, ATTN_LANE_MESSAGES),
                          &log->messages[message]);
    }
}

int attn_transfer_log_test(attn_transfer *transfer) {
    attn_transfer_log *log = transfer->log;
    int count;

    ATTN_MPI(
        MPI_Testsome(transfer->count, transfer->requests, &count, log->done, MPI_STATUSES_IGNORE));
    if (count != MPI_UNDEFINED && count > 0) record_done(log, count);
    return log->requests_done == transfer->count;
}

void attn_transfer_log_wait(attn_transfer *transfer) {
    attn_transfer_log *log = transfer->log;
    attn_trace_lane *phases = attn_trace_lane_of(log->trace, ATTN_LANE_PHASES);
    int64_t start_ns = attn_trace_start(phases);

    while (log->requests_done < transfer->count) {
        int count;

        ATTN_MPI(MPI_Waitsome(transfer->count, transfer->requests, &count, log->done,
                              MPI_STATUSES_IGNORE));
        record_done(log, count);
    }
    attn_trace_end(phases, ATTN_EVENT_wait, start_ns, 0, 0, 0);
}

void attn_transfer_log_destroy(attn_transfer *transfer) {
    attn_transfer_log *log = transfer->log;

    if (log == NULL) return;
    free(log->received_of);
    free(log->sent_to);
    free(log->done);
    free(log->message_of);
    free(log->pieces_left);
    free(log->messages);
    free(log);
    transfer->log = NULL;
}
