/* cpu.h: what the processor and its operating system offer.
 *
 * A vector level counts only when the processor has the instructions and the
 * operating system saves their registers across a context switch. */
#ifndef ATTN_KERNELS_CPU_H
#define ATTN_KERNELS_CPU_H

/* Bits of attn_cpu_features(), each what one kernel level needs. */
enum {
    ATTN_CPU_AVX2 = 1,        /* AVX2 and FMA, with the YMM state */
    ATTN_CPU_AVX512 = 2,      /* AVX-512 F, BW, DQ, VL, with the ZMM and mask state */
    ATTN_CPU_AVX512_BF16 = 4, /* the same and AVX512_BF16 */
    /* Not a feature but a rate: one VDPBF16PS takes no longer than a fused multiply-add of the
     * same width, as on AMD's processors; on Intel's (to Granite Rapids) it takes four times. */
    ATTN_CPU_FAST_DOT_BF16 = 8,
    /* AMX_TILE, AMX_BF16 and the above, with the state of tiles; whether the process may use it
     * is for Linux to say. */
    ATTN_CPU_AMX_BF16 = 16
};

/* Asks the processor at the first call; 0 where it is not an x86. */
unsigned attn_cpu_features(void);

#endif
