#include "transfer.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "memory.h"
#include "transfer_limit.h"

enum { TAG = 1 };

static int64_t largest_piece(void) {
    return attn_max_transfer_bytes() / (int64_t)sizeof(float);
}

int64_t attn_transfer_pieces(int64_t elems) {
    int64_t piece = largest_piece();
    return elems / piece + (elems % piece != 0);
}

attn_status attn_transfer_create(attn_transfer *transfer, MPI_Comm comm, int64_t pieces,
                                 attn_error *error) {
    *transfer = (attn_transfer){.comm = comm, .piece_elems = largest_piece()};
    if (pieces > INT_MAX)
        return attn_fail(error, ATTN_ERR_MACHINE, "more than %d messages in flight", INT_MAX);
    transfer->requests = attn_alloc((size_t)pieces, sizeof *transfer->requests);
    if (transfer->requests == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the message requests");
    transfer->capacity = (int)pieces;
    return attn_ok(error);
}

static int piece_count(const attn_transfer *transfer, int64_t left) {
    return (int)(left < transfer->piece_elems ? left : transfer->piece_elems);
}

static MPI_Request *next_request(attn_transfer *transfer) {
    assert(transfer->count < transfer->capacity);
    return &transfer->requests[transfer->count++];
}

void attn_transfer_send(attn_transfer *transfer, const float *data, int64_t elems, int peer) {
    for (int64_t done = 0; done < elems; done += transfer->piece_elems) {
        int count = piece_count(transfer, elems - done);
        ATTN_MPI(MPI_Isend(data + done, count, MPI_FLOAT, peer, TAG, transfer->comm,
                           next_request(transfer)));
    }
    transfer->sent_bytes += elems * (int64_t)sizeof(float);
}

void attn_transfer_receive(attn_transfer *transfer, float *data, int64_t elems, int peer) {
    for (int64_t done = 0; done < elems; done += transfer->piece_elems) {
        int count = piece_count(transfer, elems - done);
        ATTN_MPI(MPI_Irecv(data + done, count, MPI_FLOAT, peer, TAG, transfer->comm,
                           next_request(transfer)));
    }
}

void attn_transfer_poll(attn_transfer *transfer) {
    int done;

    if (transfer->count == 0) return;
    ATTN_MPI(MPI_Testall(transfer->count, transfer->requests, &done, MPI_STATUSES_IGNORE));
    if (done) transfer->count = 0;
}

void attn_transfer_wait(attn_transfer *transfer) {
    ATTN_MPI(MPI_Waitall(transfer->count, transfer->requests, MPI_STATUSES_IGNORE));
    transfer->count = 0;
}

void attn_broadcast_floats(MPI_Comm comm, float *data, int64_t elems) {
    for (int64_t done = 0, piece = largest_piece(); done < elems; done += piece)
        ATTN_MPI(MPI_Bcast(data + done, (int)(elems - done < piece ? elems - done : piece),
                           MPI_FLOAT, 0, comm));
}

void attn_transfer_destroy(attn_transfer *transfer) {
    assert(transfer->count == 0);
    free(transfer->requests);
    *transfer = (attn_transfer){0};
}
