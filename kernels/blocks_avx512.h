/* blocks_avx512.h: the shapes of attention_simd.h's register blocks with AVX-512.
 *
 * Registers: 32. Both blocks are 14 rows × 2 vectors: 28 sums, 2 vectors of keys or columns,
 * 1 element of the left operand in all lanes: 31. A step reads 16 vectors for 28 fused
 * multiply-adds. (7 rows × 4 vectors would read 11, but take 33 registers, and what a
 * compiler then keeps in memory costs a tenth of the rate.) */
#ifndef ATTN_KERNELS_BLOCKS_AVX512_H
#define ATTN_KERNELS_BLOCKS_AVX512_H

enum {
    GROUP_ROWS = 14,    /* rows that share a block of scores */
    FEW_GROUP_ROWS = 4, /* most of them where keys are not packed: 1, 2 or these */
    QUERY_ROWS = 56,    /* whole groups; the keys of a tile are read once for these */
    COLUMN_VECTORS = 2, /* most vectors of columns of a block of out */
    WIDE_ROWS = 4       /* most rows of a block of more than PANEL_VECTORS vectors */
};

/* Row counts of groups, largest first. */
#define FOR_EACH_GROUP_ROWS(DO) DO(14) DO(7) DO(4) DO(2) DO(1)

#endif
