/* measure.h: rates of this machine, each the best of a few short runs. Not
 * collective; BLAS and OpenMP threads are as the caller set them. */
#ifndef ATTN_RUNTIME_MEASURE_H
#define ATTN_RUNTIME_MEASURE_H

#include "attnspan/kernels.h"
#include "status.h"

typedef struct attn_rates {
    double fma_gflops;            /* fp32 multiply-adds on registers, at the kernel's level */
    double dot_bf16_gflops;       /* products of bf16 pairs on registers; 0: none measured */
    double sgemm_gflops;          /* 768 × 768 × 768 per thread, all at once */
    double kernel_gflops;         /* attention, d = 64, one block of 512 keys in cache */
    double memory_gbytes_per_sec; /* a[i] = b[i] + 3 c[i] over 192 MiB: 12 bytes an element */
    double read_gbytes_per_sec;   /* the sum of 192 MiB of floats */
} attn_rates;

/* With `threads` OpenMP threads. `kernel` is of fp32; `dot_bf16` is the kernel whose products are
 * of bf16 pairs, or NULL. ATTN_ERR_MEMORY. */
attn_status attn_measure(const attn_kernel *kernel, const attn_kernel *dot_bf16, int threads,
                         attn_rates *rates, attn_error *error);

/* GFLOP/s of what the kernel's products are made of, with `threads` threads at once, over 5 ms
 * after 5 ms. */
double attn_measure_peak(const attn_kernel *kernel, int threads);

/* Reads or multiplies once, with all threads: GB/s of the sum of ATTN_MEASURE_ELEMS floats of
 * `data`; GFLOP/s of one square sgemm of ATTN_MEASURE_GEMM rows, whose matrices lie in `data`. */
enum { ATTN_MEASURE_ELEMS = 48 << 20, ATTN_MEASURE_GEMM = 2048 };
double attn_measure_read(const float *data, int threads);
double attn_measure_sgemm(float *data, int threads);

#endif
