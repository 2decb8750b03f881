/* transfer_log.h: the messages of a transfer as events of a trace.
 *
 * A message is an event from its start until all its pieces are seen done, which is when MPI is
 * next asked. To know them apart, requests are tested one by one (MPI_Testsome, MPI_Waitsome) and
 * not all together. Messages of a pair of ranks are numbered on both sides, in their order, so that
 * the two events of a message find each other.
 */
#ifndef ATTN_RUNTIME_TRANSFER_LOG_H
#define ATTN_RUNTIME_TRANSFER_LOG_H

#include "trace.h"
#include "transfer.h"

/* Records the messages of a transfer, which was created, from now on; peer p has the place
 * first_place + p · place_stride in the mesh. NULL of a trace does nothing. Not collective.
 * ATTN_ERR_MEMORY. */
attn_status attn_transfer_log_create(attn_transfer *transfer, attn_trace *trace, int first_place,
                                     int place_stride, attn_error *error);

/* Forgets the numbers of messages; nothing is in flight. */
void attn_transfer_log_reset(attn_transfer *transfer);

/* A message of some bytes starts: the next requests are its. */
void attn_transfer_log_start(attn_transfer *transfer, attn_event_kind way, int64_t bytes, int peer);

/* Whether all requests are done; those that are become events. */
int attn_transfer_log_test(attn_transfer *transfer);

/* Until all are; the wait is an event, too. */
void attn_transfer_log_wait(attn_transfer *transfer);

/* NULL is legal. */
void attn_transfer_log_destroy(attn_transfer *transfer);

#endif
