/* kv_shard.h: the keys and values of one sequence shard, as they circulate.
 *
 * One contiguous buffer, packed once by its owner so that no receiver copies:
 *
 *     [B][kv heads of this member] { keys, values }
 *
 * both as the kernel packs them (kernels.h), in its storage.
 *
 * Not collective.
 */
#ifndef ATTN_RUNTIME_KV_SHARD_H
#define ATTN_RUNTIME_KV_SHARD_H

#include <stdint.h>

#include "attnspan/kernels.h"
#include "partition.h"

/* What all shards on an axis share. */
typedef struct attn_kv_layout {
    const attn_kernel *kernel;
    int64_t batch, kv_heads;
    int32_t key_dim, value_dim;
    int64_t length; /* N_kv */
    int shards;     /* P_s */
} attn_kv_layout;

/* Shard `index`, at `data` (which may be NULL for its size). */
typedef struct attn_kv_shard {
    attn_range blocks, rows;
    int64_t bytes; /* of the whole buffer */
    char *data;    /* borrowed */
} attn_kv_shard;

attn_kv_shard attn_kv_shard_of(const attn_kv_layout *layout, int index, char *data);

/* Packed keys, and values, from block `block` of the shard on. */
const void *attn_kv_shard_keys(const attn_kv_layout *layout, const attn_kv_shard *shard,
                               int64_t item, int64_t kv_head, int64_t block);
const void *attn_kv_shard_values(const attn_kv_layout *layout, const attn_kv_shard *shard,
                                 int64_t item, int64_t kv_head, int64_t block);

/* Fills shard->data from keys [rows][B][kv heads][d_k] and values
 * [rows][B][kv heads][d_v], in the kernel's storage, with `threads` OpenMP threads. */
void attn_kv_shard_pack(const attn_kv_layout *layout, const attn_kv_shard *shard, const void *keys,
                        const void *values, int threads);

#endif
