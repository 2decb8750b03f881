/* node_share.h: memory that the ranks of a node have in common along the axis.
 *
 * The ranks of a node are neighbours on the axis (mesh.h): shards [first, last). Each brings
 * parts of its own to one shared-memory window of MPI-3, and reads everybody's in place. A rank
 * that shares with nobody has the parts in the plan's buffers, and its signals cost nothing: users
 * need not tell the two apart.
 *
 * A signal is a barrier of the node that blocks nobody (MPI_Ibarrier): given once, it is there
 * when all have given it; what a rank wrote before it gave the signal is what others read once it
 * is there. All ranks give the same signals in the same order. No rank spins on memory: a wait is
 * MPI's, which makes progress meanwhile, and leaves the core where MPI was told to (Open MPI's
 * mpi_yield_when_idle).
 *
 * Cost: a signal is O(log ranks) messages without content inside the node, which no one counts.
 * Memory: the parts, each rounded up to whole cache lines, and one line.
 *
 * SimGrid's simulated MPI is taken as one without such windows: its MPI_Win_allocate_shared is
 * right for equal sizes only, and its hosts have no memory of their own.
 */
#ifndef ATTN_RUNTIME_NODE_SHARE_H
#define ATTN_RUNTIME_NODE_SHARE_H

#include <mpi.h>
#include <stdint.h>

#include "attnspan/plan.h"
#include "buffers.h"
#include "status.h"

enum { ATTN_SHARE_PARTS = 3 };

typedef enum attn_share_signal {
    ATTN_SHARE_ARRIVED, /* there is something to read */
    ATTN_SHARE_LEFT,    /* it is not read any more */
    ATTN_SHARE_SIGNALS
} attn_share_signal;

typedef struct attn_node_share {
    int first, last, shard;               /* those that share, and this rank's */
    int64_t part_bytes[ATTN_SHARE_PARTS]; /* of this rank's */
    char **parts;                         /* owned: [last − first][PARTS]; borrowed content */
    char *alone[ATTN_SHARE_PARTS];        /* borrowed from the buffers: with nobody to share */
    int is_shared, has_window;            /* whether comm and window are there */
    MPI_Comm comm;                        /* owned: those that share, in the order of shards */
    MPI_Win window;                       /* owned */
    MPI_Request signals[ATTN_SHARE_SIGNALS];
} attn_node_share;

/* Whether ranks may share, as far as can be told without trying. Not collective. */
int attn_node_share_may(attn_share_nodes wanted);

/* Bytes that windows may take on this node; −1: unknown. Not collective. */
int64_t attn_node_share_space(void);

/* For shards [first, last) of the axis, this rank's `shard` among them; alone when there is but
 * one. Tries a small window: false when MPI makes none for this node's. Collective on the axis:
 * either all call it with their nodes' shards, or none. */
int attn_node_share_create(attn_node_share *share, MPI_Comm axis, int first, int last, int shard);

/* Shares with nobody. Not collective. */
void attn_node_share_alone(attn_node_share *share, int shard);

/* As if they were there: memory can be asked for, and nothing else. Not collective. */
void attn_node_share_imagine(attn_node_share *share, int first, int last, int shard);

/* Asks for `bytes` bytes as this rank's part `part`; counted in the plan's buffers. Not collective.
 */
void attn_node_share_reserve(attn_node_share *share, attn_buffers *buffers, int part,
                             int64_t bytes);

/* After the buffers were allocated. Collective on those that share, who return the same status.
 * ATTN_ERR_MEMORY. */
attn_status attn_node_share_allocate(attn_node_share *share, attn_error *error);

/* Part `part` of a shard's rank, first <= shard < last; 64-byte aligned. */
char *attn_node_share_part(const attn_node_share *share, int64_t shard, int part);

/* Gives a signal, that was not given or is there. Collective on those that share; blocks nobody. */
void attn_node_share_give(attn_node_share *share, attn_share_signal signal);

/* Whether it is there, or was not given; and waits for that. */
int attn_node_share_is_there(attn_node_share *share, attn_share_signal signal);
void attn_node_share_wait(attn_node_share *share, attn_share_signal signal);

/* Collective on those that share; a zeroed one is legal. */
void attn_node_share_destroy(attn_node_share *share);

#endif
