/* kernels_internal.h: what the files of kernels/ share. */
#ifndef ATTN_KERNELS_INTERNAL_H
#define ATTN_KERNELS_INTERNAL_H

#include "attnspan/kernels.h"

/* By level and storage; dispatch.c lists them. */
extern const attn_kernel attn_kernel_generic, attn_kernel_generic_bf16;

/* Only where they are built: on x86-64. */
extern const attn_kernel attn_kernel_avx2, attn_kernel_avx2_bf16;
extern const attn_kernel attn_kernel_avx512, attn_kernel_avx512_widened, attn_kernel_avx512_bf16;

/* Only where the compiler has AMX, too. */
extern const attn_kernel attn_kernel_amx_bf16;

#endif
