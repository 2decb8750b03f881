/* transfer.h: point-to-point messages of any size, in flight together.
 *
 * A message is cut into pieces of at most attn_max_transfer_bytes(), which fits
 * MPI's int counts; pieces of one pair of ranks arrive in order, so no piece needs
 * a tag of its own. Both sides know the size; an empty message is not sent.
 *
 * Use: attn_transfer_create with room for the most pieces in flight; then, as
 * often as wanted, any number of sends and receives, tests, and one wait.
 *
 * With a trace each message is an event, from its start until it is seen done: then requests are
 * tested one by one, instead of all together.
 */
#ifndef ATTN_RUNTIME_TRANSFER_H
#define ATTN_RUNTIME_TRANSFER_H

#include <mpi.h>
#include <stdint.h>

#include "status.h"
#include "trace.h"

/* What the next messages carry, for the trace. */
typedef struct attn_cargo {
    attn_cargo_kind kind;
    int64_t shard, slice;
} attn_cargo;

typedef struct attn_transfer_log attn_transfer_log;

typedef struct attn_transfer {
    MPI_Comm comm;         /* borrowed */
    MPI_Request *requests; /* owned */
    int64_t piece_bytes;   /* largest piece of a message */
    int count, capacity;   /* requests in flight, and room */

    /* Set by its owner. */
    int near_first, near_last;      /* peers [first, last) are on this node */
    void (*on_poll)(void *context); /* called whenever this is polled; NULL: nothing */
    void *poll_context;             /* borrowed */

    /* Since the last reset by its owner. */
    int64_t sent_bytes;
    int64_t sent_messages; /* one however it is cut */
    int64_t crossed_bytes; /* of those sent, to other nodes */
    double wait_sec;       /* in attn_transfer_wait */
    double flight_sec;     /* from the first message in flight until all are seen done */

    int is_open;    /* more is to come: the flight goes on between messages */
    double started; /* when the first of those in flight was */

    attn_cargo cargo;       /* set by the owner before it sends or receives */
    attn_transfer_log *log; /* owned; NULL: without a trace */
} attn_transfer;

/* Told of a message that an execution sends: `bytes` > 0 bytes to rank `peer` of its communicator.
 */
typedef void attn_send_visit(void *context, int peer, int64_t bytes);

/* Requests that a message of that many bytes takes. */
int64_t attn_transfer_pieces(int64_t bytes);

/* Not collective. ATTN_ERR_MEMORY. */
attn_status attn_transfer_create(attn_transfer *transfer, MPI_Comm comm, int64_t pieces,
                                 attn_error *error);

/* Starts sending, or receiving, `bytes` bytes. */
void attn_transfer_send(attn_transfer *transfer, const void *data, int64_t bytes, int peer);
void attn_transfer_receive(attn_transfer *transfer, void *data, int64_t bytes, int peer);

/* Forgets bytes, messages and times; nothing is in flight. */
void attn_transfer_reset(attn_transfer *transfer);

/* Counts as one flight all that is started until it is closed, though nothing be under way at
 * times. Nothing is in flight at either. */
void attn_transfer_open(attn_transfer *transfer);
void attn_transfer_close(attn_transfer *transfer);

/* Lets MPI make progress; nothing moves over TCP outside of MPI calls. */
void attn_transfer_poll(attn_transfer *transfer);

/* Until all that was started is done. */
void attn_transfer_wait(attn_transfer *transfer);

/* Rank 0's `elems` floats to all, in pieces. Collective on `comm`. */
void attn_broadcast_floats(MPI_Comm comm, float *data, int64_t elems);

/* A zeroed transfer is legal. */
void attn_transfer_destroy(attn_transfer *transfer);

#endif
