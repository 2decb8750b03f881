/* kv_shard.h: keys and values as they circulate: the shards of a sequence, or slices of them.
 *
 * A slice is some consecutive local blocks of a shard (layout.h), in one contiguous buffer,
 * packed once by its owner so that no receiver copies:
 *
 *     [B][kv heads of this member] { keys, values }
 *
 * both as the kernel packs them (kernels.h), in its storage, rows in local order. For a few queries
 * (attend_few() there) nothing is packed: they are [rows][d_k] and [rows][d_v]; and where no shard
 * travels, the own one is used where it comes from, without a copy.
 *
 * Not collective.
 */
#ifndef ATTN_RUNTIME_KV_SHARD_H
#define ATTN_RUNTIME_KV_SHARD_H

#include <stdint.h>

#include "attnspan/kernels.h"
#include "layout.h"
#include "partition.h"

/* Where the keys, or the values, of a whole shard come from, in the kernel's storage: those of
 * local row r, item b and kv head h of this member start at element r · row + b · item + h · head.
 */
typedef struct attn_kv_source {
    const void *data; /* borrowed during an execution */
    int64_t row, item, head;
} attn_kv_source;

/* What all shards on an axis share. */
typedef struct attn_kv_layout {
    const attn_kernel *kernel;
    int64_t batch, kv_heads;
    int32_t key_dim, value_dim;
    int is_packed;                       /* for attend(); otherwise for attend_few() */
    int in_place;                        /* not packed, and the own shard alone: it has no bytes */
    const attn_kv_source *keys, *values; /* borrowed: of this rank's shard */
    const attn_layout *rows;             /* borrowed: of the keys */
} attn_kv_layout;

/* A shard or a slice of it. */
typedef struct attn_kv_shard {
    int64_t shard, slice;    /* whose, and which of its slices */
    attn_range blocks, rows; /* local ones of that shard */
    int64_t bytes;           /* of the whole buffer */
    char *data;              /* borrowed; NULL: not at hand */
} attn_kv_shard;

/* Slice `slice` of `slices` of shard `shard`, without data; the sizes of slices differ by at most
 * one block. */
attn_kv_shard attn_kv_shard_of(const attn_kv_layout *layout, int64_t shard, int64_t slices,
                               int64_t slice);

/* Run `run` of the shard, as far as it is in the slice: global blocks, perhaps none; *place is the
 * number of the first one within the slice. */
attn_range attn_kv_shard_run(const attn_kv_layout *layout, const attn_kv_shard *shard, int64_t run,
                             int64_t *place);

/* Keys, and values, from the block on that is number `place` of the slice. */
const void *attn_kv_shard_keys(const attn_kv_layout *layout, const attn_kv_shard *shard,
                               int64_t item, int64_t kv_head, int64_t place);
const void *attn_kv_shard_values(const attn_kv_layout *layout, const attn_kv_shard *shard,
                                 int64_t item, int64_t kv_head, int64_t place);

/* Elements from one key, and value, to the next where they are not packed. */
ptrdiff_t attn_kv_layout_key_stride(const attn_kv_layout *layout);
ptrdiff_t attn_kv_layout_value_stride(const attn_kv_layout *layout);

/* Fills shard->data of a slice of the own shard from where it comes from, with `threads` OpenMP
 * threads; nothing when it is used in place. */
void attn_kv_shard_pack(const attn_kv_layout *layout, const attn_kv_shard *shard, int threads);

#endif
