#include "partition.h"

#include "attnspan/kernels.h"

int64_t attn_range_count(attn_range range) {
    return range.last - range.first;
}

int64_t attn_block_rows(int64_t rows) {
    enum { BLOCKS_AIMED_AT = 16, MAX_BLOCK_ROWS = 512 };
    int64_t block = ATTN_KEY_UNIT;

    while (block < MAX_BLOCK_ROWS && block * BLOCKS_AIMED_AT < rows) block *= 2;
    return block;
}

int64_t attn_block_count(int64_t rows) {
    int64_t block = attn_block_rows(rows);
    return rows / block + (rows % block != 0);
}

attn_range attn_deal(int64_t count, int64_t parts, int64_t index) {
    int64_t each = count / parts;
    int64_t larger = count % parts; /* the first `larger` parts have one more */
    attn_range range;

    range.first = index * each + (index < larger ? index : larger);
    range.last = range.first + each + (index < larger);
    return range;
}

attn_range attn_member_heads(int64_t heads, int64_t members, int64_t member) {
    return attn_deal(heads, members, member);
}

attn_range attn_member_kv_heads(int64_t heads, int64_t kv_heads, int64_t members, int64_t member) {
    int64_t queries_per_kv = heads / kv_heads;
    attn_range range = attn_deal(heads, members, member);

    if (attn_range_count(range) == 0) return (attn_range){0, 0};
    range.first = range.first / queries_per_kv;
    range.last = (range.last - 1) / queries_per_kv + 1;
    return range;
}
