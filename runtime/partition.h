/* partition.h: how things are dealt: blocks of a sequence, parts, heads.
 *
 * Keys are cut into blocks whose size depends on the problem alone; sequence
 * shards are whole blocks (layout.h), so a block's partial is computed by one kernel
 * call wherever the block is. A shard's rows are then dealt among the ranks of its
 * head group, at any row. Nothing is collective.
 */
#ifndef ATTN_RUNTIME_PARTITION_H
#define ATTN_RUNTIME_PARTITION_H

#include <stdint.h>

/* [first, last) of rows, blocks or heads; empty when equal. */
typedef struct attn_range {
    int64_t first, last;
} attn_range;

int64_t attn_range_count(attn_range range);

/* Rows of one block of a sequence of `rows` rows: a power of two between
 * ATTN_KEY_UNIT and 512, about rows / 16, so that up to 16 shards of a short
 * sequence are even and the blocks of a long one are large enough for a merge to
 * cost little. */
int64_t attn_block_rows(int64_t rows);

/* ceil(rows / attn_block_rows(rows)). */
int64_t attn_block_count(int64_t rows);

/* Part `index` of `parts` of `count` things: sizes differ by at most one, the
 * larger ones come first. */
attn_range attn_deal(int64_t count, int64_t parts, int64_t index);

/* Query heads of head group member `member` of `members`, and the kv heads that
 * these need: members that share a kv head both hold it. */
attn_range attn_member_heads(int64_t heads, int64_t members, int64_t member);
attn_range attn_member_kv_heads(int64_t heads, int64_t kv_heads, int64_t members, int64_t member);

#endif
