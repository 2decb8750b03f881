/* machine.h: the rates of a cluster that a prediction needs. */
#ifndef ATTN_RUNTIME_MACHINE_H
#define ATTN_RUNTIME_MACHINE_H

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

/* Figures of an ordinary cluster: a core of 80 GFLOP/s, 10 GB/s
 * and 1 us inside a node, 10 GB/s (100 Gbit/s) and 2 us between nodes. Not collective. */
attn_machine attn_machine_default(void);

#endif
