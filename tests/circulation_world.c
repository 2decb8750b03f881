#define _POSIX_C_SOURCE 200809L

#include "circulation_world.h"

#include <stdio.h>
#include <stdlib.h>

static int per_node = ATTN_WORLD_MOST_RANKS;

int attn_world_rank(void) {
    int rank;

    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

int attn_world_ranks(void) {
    int ranks;

    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    return ranks;
}

void attn_world_make_nodes_of(int ranks) {
    char text[16];

    per_node = ranks;
    snprintf(text, sizeof text, "%d", ranks);
    setenv("ATTNSPAN_NODE_RANKS", text, 1);
}

int attn_world_node_of(int rank) {
    return rank / per_node;
}

int attn_world_nodes(void) {
    return attn_world_node_of(attn_world_ranks() - 1) + 1;
}

int64_t attn_world_all(int64_t mine, MPI_Op op) {
    int64_t all;

    MPI_Allreduce(&mine, &all, 1, MPI_INT64_T, op, MPI_COMM_WORLD);
    return all;
}
