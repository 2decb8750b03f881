/* calibrate.h: measuring the rates that predictions are made from (attnspan/machine.h).
 *
 * All ranks work at once, so that they get of a node what they will get when they compute:
 *   1. attention, as a plan of one rank executes it, at d = 32, 64 and 128; the line through the
 *      times of a score, by least squares, has the softmax's time and the products' rate; blocks
 *      of half as many keys tell the time of a block, and what a causal mask takes beyond its
 * scores is the time of an edge;
 *   2. a layer's projections, and the rearrangement of q and out, from the phases of such plans;
 *   3. reading of memory: the sum of the ranks of a node;
 *   4. messages around the ranks of a node, and around one rank of each node: an empty one's time,
 *      and the rate of 4 MiB ones.
 * Each figure is the median of some repeats, of the slowest rank each time; fewer where they would
 * take more than seconds.
 */
#ifndef ATTN_RUNTIME_CALIBRATE_H
#define ATTN_RUNTIME_CALIBRATE_H

#include <mpi.h>

#include "attnspan/machine.h"
#include "status.h"

typedef struct attn_calibration {
    attn_machine machine;
    int has_node, has_network; /* whether some node has two ranks, and there are two nodes */
    int32_t ranks, nodes, threads;
    char kernel[ATTN_STORAGES][32];
} attn_calibration;

/* Collective; agreed on. ATTN_ERR_MEMORY, ATTN_ERR_CONFIG (the environment names no kernel). */
attn_status attn_calibrate(MPI_Comm comm, attn_calibration *calibration, attn_error *error);

#endif
