/* circulation_world.h: the ranks of MPI_COMM_WORLD, on nodes of any size. */
#ifndef ATTN_TESTS_CIRCULATION_WORLD_H
#define ATTN_TESTS_CIRCULATION_WORLD_H

#include <mpi.h>
#include <stdint.h>

enum { ATTN_WORLD_MOST_RANKS = 8 };

int attn_world_rank(void);
int attn_world_ranks(void);

/* Plans made from now on take so many ranks of this machine for a node (ATTNSPAN_NODE_RANKS). At
 * first, and with ATTN_WORLD_MOST_RANKS, all of them are one. */
void attn_world_make_nodes_of(int ranks);
int attn_world_nodes(void);
int attn_world_node_of(int rank);

/* All ranks' values together. Collective. */
int64_t attn_world_all(int64_t mine, MPI_Op op);

#endif
