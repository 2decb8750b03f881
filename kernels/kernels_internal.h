/* kernels_internal.h: what the files of kernels/ share. */
#ifndef ATTN_KERNELS_INTERNAL_H
#define ATTN_KERNELS_INTERNAL_H

#include "attnspan/kernels.h"

/* One a file attention_<name>.c; dispatch.c lists them. */
extern const attn_kernel attn_kernel_generic;

/* Only where they are built: on x86-64. */
extern const attn_kernel attn_kernel_avx2;
extern const attn_kernel attn_kernel_avx512;

#endif
