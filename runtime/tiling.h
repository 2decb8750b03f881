/* tiling.h: the work items of local attention: which queries one kernel call takes.
 *
 * A tile is some rows of one query head, at most as many as the kernel takes. When
 * the whole sequence of queries is at most half of that (decoding), tiles stack
 * the query heads that share a kv head: K and V are then read once for all of them,
 * where the single rows would each read them again. A row's bits do not depend on
 * its tile (kernels.h), so stacking does not change them.
 */
#ifndef ATTN_RUNTIME_TILING_H
#define ATTN_RUNTIME_TILING_H

#include <stdint.h>

#include "partition.h"
#include "status.h"

/* Query heads, counted from the member's first, that share the kv head `kv_head`,
 * counted from the member's first kv head. */
typedef struct attn_head_stack {
    int64_t first_head, heads, kv_head;
} attn_head_stack;

typedef struct attn_tiling {
    attn_head_stack *stacks; /* owned */
    int64_t stack_count;
    int64_t batch;
    int64_t rows;      /* queries of the shard */
    int32_t tile_rows; /* of one head in a tile */
    int64_t along;     /* tiles along the rows */
    int64_t count;     /* tiles in all */
    int32_t most_rows; /* kernel_rows of the largest tile */
} attn_tiling;

/* A tile: rows [first_row, first_row + rows) of each head of a stack. The kernel's rows
 * are ordered [head][row]. */
typedef struct attn_tile {
    int64_t index;                /* 0 … count − 1, in the order of memory */
    int64_t item;                 /* batch item */
    const attn_head_stack *stack; /* borrowed */
    int64_t first_row;
    int32_t rows;
    int32_t kernel_rows; /* rows · heads of the stack */
} attn_tile;

/* For `shard_rows` of `length` queries; `heads` are a member's query heads. Not
 * collective, as all of this file. ATTN_ERR_MEMORY. */
attn_status attn_tiling_create(attn_tiling *tiling, int64_t batch, attn_range heads,
                               int64_t queries_per_kv, int64_t length, int64_t shard_rows,
                               int32_t kernel_rows, attn_error *error);

/* Work item `number`, the last rows first: under a causal mask they take longest, and a
 * dynamic schedule balances best when long items start first. */
attn_tile attn_tiling_tile(const attn_tiling *tiling, int64_t number);

/* A zeroed one is legal. */
void attn_tiling_destroy(attn_tiling *tiling);

#endif
