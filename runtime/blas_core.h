/* blas_core.h: which kernels OpenBLAS uses, and making it use the right ones.
 *
 * OpenBLAS chooses its kernels while it is loaded, by a list of the processors it knows.
 * A version older than the processor falls back to AVX2 kernels on an AVX-512 CPU, and
 * sgemm runs at half its rate. The choice can only be set from outside, by
 * OPENBLAS_CORETYPE, so the command corrects it by starting itself once more with
 * that variable. A user's own OPENBLAS_CORETYPE always wins. Not collective.
 */
#ifndef ATTN_RUNTIME_BLAS_CORE_H
#define ATTN_RUNTIME_BLAS_CORE_H

#include <stddef.h>

/* First thing in main, before MPI_Init: replaces the process when OpenBLAS chose
 * kernels that are too old for this CPU. Returns when there is nothing to correct, or
 * when the program cannot be started again. */
void attn_blas_core_correct(char **argv);

/* The core that should replace `detected` on a CPU with these features
 * (kernels/cpu.h); NULL when it is good enough. */
const char *attn_blas_core_better(const char *detected, unsigned features);

/* "OpenBLAS 0.3.21 (SkylakeX)" */
void attn_blas_name(char *name, size_t bytes);

/* Why it is this core: "chosen by OpenBLAS", "set by OPENBLAS_CORETYPE", or
 * "corrected: OpenBLAS chose Haswell on an AVX-512 CPU". */
void attn_blas_core_reason(char *reason, size_t bytes);

#endif
