#include "transfer.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "memory.h"
#include "simulate.h"
#include "transfer_limit.h"
#include "transfer_log.h"

enum { TAG = 1 };

int64_t attn_transfer_pieces(int64_t bytes) {
    int64_t piece = attn_max_transfer_bytes();
    return bytes / piece + (bytes % piece != 0);
}

attn_status attn_transfer_create(attn_transfer *transfer, MPI_Comm comm, int64_t pieces,
                                 attn_error *error) {
    *transfer = (attn_transfer){.comm = comm, .piece_bytes = attn_max_transfer_bytes()};
    if (pieces > INT_MAX)
        return attn_fail(error, ATTN_ERR_MACHINE, "more than %d messages in flight", INT_MAX);
    transfer->requests = attn_alloc((size_t)pieces, sizeof *transfer->requests);
    if (transfer->requests == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the message requests");
    transfer->capacity = (int)pieces;
    return attn_ok(error);
}

static int piece_count(const attn_transfer *transfer, int64_t left) {
    return (int)(left < transfer->piece_bytes ? left : transfer->piece_bytes);
}

static MPI_Request *next_request(attn_transfer *transfer) {
    assert(transfer->count < transfer->capacity);
    if (transfer->count == 0 && !transfer->is_open) transfer->started = MPI_Wtime();
    return &transfer->requests[transfer->count++];
}

void attn_transfer_send(attn_transfer *transfer, const void *data, int64_t bytes, int peer) {
    if (transfer->log != NULL && bytes > 0)
        attn_transfer_log_start(transfer, ATTN_EVENT_send, bytes, peer);
    for (int64_t done = 0; done < bytes; done += transfer->piece_bytes) {
        int count = piece_count(transfer, bytes - done);
        ATTN_MPI(MPI_Isend((const char *)data + done, count, MPI_BYTE, peer, TAG, transfer->comm,
                           next_request(transfer)));
    }
    transfer->sent_bytes += bytes;
    transfer->sent_messages += bytes > 0;
    if (peer < transfer->near_first || peer >= transfer->near_last)
        transfer->crossed_bytes += bytes;
}

void attn_transfer_receive(attn_transfer *transfer, void *data, int64_t bytes, int peer) {
    if (transfer->log != NULL && bytes > 0)
        attn_transfer_log_start(transfer, ATTN_EVENT_receive, bytes, peer);
    for (int64_t done = 0; done < bytes; done += transfer->piece_bytes) {
        int count = piece_count(transfer, bytes - done);
        ATTN_MPI(MPI_Irecv((char *)data + done, count, MPI_BYTE, peer, TAG, transfer->comm,
                           next_request(transfer)));
    }
}

void attn_transfer_reset(attn_transfer *transfer) {
    transfer->sent_bytes = 0;
    transfer->sent_messages = 0;
    transfer->crossed_bytes = 0;
    transfer->wait_sec = 0;
    transfer->flight_sec = 0;
    if (transfer->log != NULL) attn_transfer_log_reset(transfer);
}

static void land(attn_transfer *transfer, double now) {
    if (!transfer->is_open) transfer->flight_sec += now - transfer->started;
    transfer->count = 0;
}

void attn_transfer_open(attn_transfer *transfer) {
    assert(transfer->count == 0 && !transfer->is_open);
    transfer->is_open = 1;
    transfer->started = MPI_Wtime();
}

void attn_transfer_close(attn_transfer *transfer) {
    assert(transfer->count == 0 && transfer->is_open);
    transfer->is_open = 0;
    land(transfer, MPI_Wtime());
}

void attn_transfer_poll(attn_transfer *transfer) {
    int done;

    if (transfer->count > 0) {
        if (transfer->log != NULL)
            done = attn_transfer_log_test(transfer);
        else
            ATTN_MPI(MPI_Testall(transfer->count, transfer->requests, &done, MPI_STATUSES_IGNORE));
        if (done) land(transfer, MPI_Wtime());
    }
    if (transfer->on_poll != NULL) transfer->on_poll(transfer->poll_context);
}

/* SimGrid's MPI_Waitall looks at all requests again whenever one is through: one by one. */
static void wait_for_all(attn_transfer *transfer) {
    if (!ATTN_SIMULATED) {
        ATTN_MPI(MPI_Waitall(transfer->count, transfer->requests, MPI_STATUSES_IGNORE));
        return;
    }
    for (int i = 0; i < transfer->count; i++)
        ATTN_MPI(MPI_Wait(&transfer->requests[i], MPI_STATUS_IGNORE));
}

void attn_transfer_wait(attn_transfer *transfer) {
    double start, end;

    if (transfer->count == 0) return;
    start = MPI_Wtime();
    if (transfer->log != NULL)
        attn_transfer_log_wait(transfer);
    else
        wait_for_all(transfer);
    end = MPI_Wtime();
    transfer->wait_sec += end - start;
    land(transfer, end);
}

void attn_broadcast_floats(MPI_Comm comm, float *data, int64_t elems) {
    const int64_t piece = attn_max_transfer_bytes() / (int64_t)sizeof(float);

    for (int64_t done = 0; done < elems; done += piece)
        ATTN_MPI(MPI_Bcast(data + done, (int)(elems - done < piece ? elems - done : piece),
                           MPI_FLOAT, 0, comm));
}

void attn_transfer_destroy(attn_transfer *transfer) {
    assert(transfer->count == 0);
    attn_transfer_log_destroy(transfer);
    free(transfer->requests);
    *transfer = (attn_transfer){0};
}
