/* machine_file.h: the rates of a cluster as a YAML file, which a bench measures and a person may
 * write or edit:
 *
 *     attention:
 *       # A thread's (attnspan/machine.h).
 *       fp32: {gflops: 172.6, score_ns: 0.15, block_ns: 30, edge_ns: 110}
 *       bf16: {gflops: 1019, score_ns: 0.22, block_ns: 30, edge_ns: 60}
 *     gemm_gflops: 160.2                         # a thread's
 *     copy_gbytes_per_sec: 4.1                   # a thread's
 *     read_gbytes_per_sec: 19.7                  # a node's, with as memory_gib and cores
 *     memory_gib: 23.4
 *     cores: 2
 *     node: {latency_us: 0.9, gbytes_per_sec: 6.1}
 *     network: {latency_us: 2.0, gbytes_per_sec: 10.0}
 *
 * A key that is left out has the value of attn_machine_default().
 */
#ifndef ATTN_RUNTIME_MACHINE_FILE_H
#define ATTN_RUNTIME_MACHINE_FILE_H

#include <stddef.h>

#include "attnspan/machine.h"
#include "status.h"

enum { ATTN_MACHINE_FILE_BYTES = 1 << 16 };

/* Reads a text of `file`. ATTN_ERR_CONFIG "FILE:LINE:COL: key: …"; ATTN_ERR_MEMORY. Not
 * collective. */
attn_status attn_machine_file_parse(const char *text, size_t bytes, const char *file,
                                    attn_machine *machine, attn_error *error);

/* What the file of a machine is made of: its rates, which of them were not measured, and a
 * comment for the top, whole lines that begin with #. The text fits ATTN_MACHINE_FILE_BYTES. Not
 * collective. */
void attn_machine_file_text(const attn_machine *machine, const char *comment, int has_node,
                            int has_network, char *text, size_t bytes);

#endif
