/* exchange.h: rows ↔ heads inside a head group (all-to-all-v).
 *
 * Before: a member holds some rows of the shard, with all heads. After: all rows
 * of the shard, with its own heads. Rows and heads may be uneven, a kv head may go
 * to several members, and any part may be empty.
 *
 *     regions[j]  [my rows][width_j]        what member j computes, of my rows
 *     shard       [shard rows][my width]    what I compute, of all members' rows
 *
 * My own region lies inside `shard`, where it belongs: it is never copied, and in a
 * group of one nothing is. In both arrangements a row is contiguous, so a message
 * needs no datatype and arrives in place.
 *
 * Cost per rank, forth or back: P_h − 1 messages; my rows · (width of the others)
 * elements sent. MPI_Alltoallv is not used because its counts and displacements
 * are ints; see transfer.h.
 */
#ifndef ATTN_RUNTIME_EXCHANGE_H
#define ATTN_RUNTIME_EXCHANGE_H

#include "buffers.h"
#include "mesh.h"
#include "transfer.h"

typedef struct attn_exchange {
    int members, member;
    int64_t elem_bytes;
    int64_t *rows;      /* owned; [members]: rows that each holds */
    int64_t *first_row; /* owned; [members]: the first of them, within the shard */
    int64_t *width;     /* owned; [members]: elements of a row at each */
    char *shard;        /* borrowed from the plan's buffers */
    char *outgoing;     /* borrowed: regions of the other members, in their order */
    int64_t *offset;    /* owned; [members]: of each region in `outgoing`, in bytes */
    attn_transfer transfer;
} attn_exchange;

/* For a shard of `shard_rows` rows, dealt among the members in order; member j's rows have width[j]
 * elements of elem_bytes. Not collective. The caller fills in nothing else. */
attn_status attn_exchange_plan(attn_exchange *exchange, const attn_mesh *mesh, int64_t shard_rows,
                               const int64_t *width, int64_t elem_bytes, attn_buffers *buffers,
                               attn_error *error);

/* Region of member `member` (see above), after the buffers were allocated. */
void *attn_exchange_region(const attn_exchange *exchange, int member);

/* Rows → heads: the regions' contents go to their members' shards. Heads → rows:
 * the reverse. Both start the messages; nothing may be touched before
 * attn_exchange_wait. Collective on the head group. */
void attn_exchange_to_heads(attn_exchange *exchange);
void attn_exchange_to_rows(attn_exchange *exchange);
void attn_exchange_wait(attn_exchange *exchange);

/* Tells of the messages that this member sends forth, and back: its rows of the others' columns;
 * the others' rows of its columns. None when nothing was planned. Not collective. */
void attn_exchange_sends_to_heads(const attn_exchange *exchange, attn_send_visit *visit,
                                  void *context);
void attn_exchange_sends_to_rows(const attn_exchange *exchange, attn_send_visit *visit,
                                 void *context);

/* A zeroed one is legal. */
void attn_exchange_destroy(attn_exchange *exchange);

#endif
