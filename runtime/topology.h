/* topology.h: what the node offers a rank: cores and memory. */
#ifndef ATTN_RUNTIME_TOPOLOGY_H
#define ATTN_RUNTIME_TOPOLOGY_H

#include <mpi.h>
#include <stdint.h>

/* OpenMP threads for this rank: OMP_NUM_THREADS when it is set; otherwise the
 * physical cores that it is bound to, divided among the ranks of the node that are
 * bound to the same ones; at least 1. Collective on `node`, the ranks of a node. */
int attn_threads_auto(MPI_Comm node);

/* Bytes that processes of this node may still take: what the kernel reports as
 * available, or less when a memory cgroup limits us; −1 when unknown. Not collective. */
int64_t attn_memory_available(void);

/* The most memory that this process ever held, in bytes. Not collective. */
int64_t attn_memory_peak(void);

/* "AMD EPYC …" or "unknown CPU", into `name`. Not collective. */
void attn_cpu_name(char *name, int bytes);

/* Physical cores of the node. Not collective. */
int attn_node_cores(void);

#endif
