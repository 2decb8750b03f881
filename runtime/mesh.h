/* mesh.h: the ranks as head groups × sequence shards.
 *
 *     rank = shard · P_h + member          P = P_h × P_s
 *
 *                 member 0   member 1   …  P_h − 1
 *     shard 0        0          1
 *     shard 1       P_h      P_h + 1              row:    the `group` communicator
 *     …                                           column: the `axis` communicator
 *
 * A head group is a row: P_h neighbouring ranks that share one sequence shard
 * and exchange heads. A column holds the same heads of all shards: K/V circulate
 * along it. Ranks are first sorted by node, so that a group lies on one node
 * when P_h divides the ranks of a node, however mpirun dealt them.
 */
#ifndef ATTN_RUNTIME_MESH_H
#define ATTN_RUNTIME_MESH_H

#include <mpi.h>
#include <stdint.h>

#include "attnspan/plan.h"
#include "partition.h"
#include "status.h"

typedef struct attn_mesh {
    MPI_Comm world; /* owned: all ranks, sorted by node */
    MPI_Comm group; /* owned: the P_h ranks of this shard, in the order of members */
    MPI_Comm axis;  /* owned: the P_s ranks of this member index, in the order of shards */
    MPI_Comm node;  /* owned: the ranks of this node */
    int rank, ranks;
    int members, member; /* P_h, and this rank's place in its group */
    int shards, shard;   /* P_s, and this rank's place on the axis */
    int nodes;
    int node_first, node_last; /* ranks of this node, [first, last) of world */
    int imagined_node_ranks;   /* of a node, in a mesh that is not there; 0: it is */
} attn_mesh;

/* The ranks of `comm` that are on this one's node; to be freed. Collective on `comm`.
 *
 * For tests, ATTNSPAN_NODE_RANKS=N makes of a node's ranks nodes of N, the last one perhaps with
 * fewer. It must be the same on all ranks. */
void attn_mesh_split_nodes(MPI_Comm comm, MPI_Comm *node);

/* Splits `comm`, whose size is members × shards. Collective on `comm`. */
void attn_mesh_create(MPI_Comm comm, int members, int shards, attn_mesh *mesh);

/* The place of rank `rank` among that many, `node_ranks` a node, none of which need be here: all
 * communicators are this rank alone, so that nothing that is collective tells it of the others. Not
 * collective. */
void attn_mesh_imagine(int members, int shards, int rank, int node_ranks, attn_mesh *mesh);

/* Of the group, and of the axis: those on this node, neighbours all. Not collective. */
attn_range attn_mesh_near_members(const attn_mesh *mesh);
attn_range attn_mesh_near_shards(const attn_mesh *mesh);

/* Collective; a zeroed mesh is legal. */
void attn_mesh_destroy(attn_mesh *mesh);

#endif
