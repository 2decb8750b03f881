/* machine.h: the rates of a cluster that a prediction needs. */
#ifndef ATTN_RUNTIME_MACHINE_H
#define ATTN_RUNTIME_MACHINE_H

#include <mpi.h>

#include "attnspan/kernels.h"

/* A message of n bytes takes latency_sec + n / bytes_per_sec (Hockney 1994). */
typedef struct attn_link {
    double latency_sec, bytes_per_sec;
} attn_link;

typedef struct attn_machine {
    double attention_flops; /* per second and thread, of the kernel on data in cache */
    double gemm_flops;      /* per second and thread */
    double copy_bytes;      /* per second and rank: bytes of an array that is rearranged */
    attn_link node;         /* between two ranks of a node */
    attn_link network;      /* between two nodes, of which all ranks share it */
} attn_machine;

/* Figures of an ordinary cluster, for a prediction without one: a core of 100 GFLOP/s, 10 GB/s
 * and 1 us inside a node, 10 GB/s (100 Gbit/s) and 2 us between nodes. Not collective. */
attn_machine attn_machine_default(void);

/* Measured on the ranks of `comm`, within some milliseconds: the peak of the kernel's multiply-
 * adds, of which kernels reach four fifths, and messages between two ranks of a node and between
 * two nodes; what is not there keeps its default. Rounded to powers of two, so that equal runs
 * choose alike; the slowest rank's rates, the same on all. Collective. */
attn_machine attn_machine_measure(MPI_Comm comm, MPI_Comm node, const attn_kernel *kernel);

#endif
