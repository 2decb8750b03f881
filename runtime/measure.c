#include "measure.h"

#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <stddef.h>
#include <stdlib.h>

#include "memory.h"

enum { REPEATS = 3 };

/* Fills with small, differing numbers. */
static void fill(float *data, int64_t count) {
    for (int64_t i = 0; i < count; i++) data[i] = (float)(i % 61) / 61 - 0.5f;
}

/* Runs `work` in all threads at once, `count` times each; the best rate. */
static double best_rate(int threads, double units_per_thread, void (*work)(float *), float *data,
                        int64_t elems_per_thread) {
    double best = 0;

    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = omp_get_wtime(), seconds;

#pragma omp parallel num_threads(threads)
        work(data + omp_get_thread_num() * elems_per_thread);
        seconds = omp_get_wtime() - start;
        if (seconds > 0 && units_per_thread * threads / seconds > best)
            best = units_per_thread * threads / seconds;
    }
    return best;
}

enum { GEMM_SIZE = 768, GEMM_MATRIX = GEMM_SIZE * GEMM_SIZE, GEMM_ELEMS = 3 * GEMM_MATRIX };

static void run_gemm(float *data) {
    const float *a = data, *b = data + GEMM_MATRIX;
    float *c = data + (ptrdiff_t)2 * GEMM_MATRIX;

    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, GEMM_SIZE, GEMM_SIZE, GEMM_SIZE, 1.0f, a,
                GEMM_SIZE, b, GEMM_SIZE, 0.0f, c, GEMM_SIZE);
}

/* A thread's arrays for the kernel: queries, packed keys, values, partial, scratch. */
enum { KERNEL_KEYS = 512, KERNEL_DIM = 64, KERNEL_CALLS = 16 };
enum { KERNEL_SIDE = KERNEL_KEYS * KERNEL_DIM }; /* elements of keys, and of values */

static const attn_kernel *measured; /* borrowed while attn_measure runs */

static int64_t kernel_elems(const attn_kernel *kernel) {
    int64_t scratch = (int64_t)kernel->scratch_bytes(KERNEL_DIM, KERNEL_DIM) / 4 + 16;
    int64_t elems =
        2 * KERNEL_KEYS * KERNEL_DIM + kernel->query_rows * (2 * KERNEL_DIM + 2) + scratch;
    return (elems + 15) / 16 * 16;
}

static void run_kernel(float *data) {
    float *keys = data;
    float *values = keys + KERNEL_SIDE;
    float *scratch = values + KERNEL_SIDE; /* 64-byte aligned so far */
    float *query = scratch + (measured->scratch_bytes(KERNEL_DIM, KERNEL_DIM) / 64 + 1) * 16;
    attn_partial partial;
    attn_block_args args = {0};

    partial.out = query + (ptrdiff_t)measured->query_rows * KERNEL_DIM;
    partial.max = partial.out + (ptrdiff_t)measured->query_rows * KERNEL_DIM;
    partial.sum = partial.max + measured->query_rows;
    args.query = query;
    args.query_stride = args.key_dim = args.value_dim = KERNEL_DIM;
    args.rows = measured->query_rows;
    args.keys = keys;
    args.values = values;
    args.key_count = KERNEL_KEYS;
    args.scale = 0.125f;
    args.scratch = scratch;
    for (int call = 0; call < KERNEL_CALLS; call++) measured->attend(&args, partial);
}

enum { TRIAD_ELEMS = ATTN_MEASURE_ELEMS / 3 };

static double triad_rate(float *data, int threads) {
    float *a = data, *b = data + TRIAD_ELEMS, *c = data + 2 * (int64_t)TRIAD_ELEMS;
    double best = 0;

    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = omp_get_wtime(), seconds;

#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t i = 0; i < TRIAD_ELEMS; i++) a[i] = b[i] + 3.0f * c[i];
        seconds = omp_get_wtime() - start;
        if (seconds > 0 && 12.0 * TRIAD_ELEMS / seconds > best) best = 12.0 * TRIAD_ELEMS / seconds;
    }
    return best;
}

/* The first milliseconds do not count: a thread that was asleep may wake on the core of another
 * one, and is moved to a free core only then. */
double attn_measure_peak(const attn_kernel *kernel, int threads) {
    enum { ROUNDS = 1 << 13 }; /* about 30 us */
    const double settled_sec = 5e-3, counted_sec = 5e-3, start = omp_get_wtime();
    double rate = 0;

#pragma omp parallel num_threads(threads) reduction(+ : rate)
    {
        double now = omp_get_wtime() - start, flops = 0;

        while (now < settled_sec) {
            kernel->peak_work(ROUNDS);
            now = omp_get_wtime() - start;
        }
        do {
            flops += kernel->peak_work(ROUNDS);
            now = omp_get_wtime() - start;
        } while (now < settled_sec + counted_sec);
        rate += flops / (now - settled_sec);
    }
    return rate * 1e-9;
}

double attn_measure_read(const float *data, int threads) {
    enum { LANES = 64, ROWS = ATTN_MEASURE_ELEMS / LANES };
    double start = omp_get_wtime(), seconds;
    float total = 0;
    volatile float result; /* or nothing would be read */

#pragma omp parallel num_threads(threads) reduction(+ : total)
    {
        float lanes[LANES] = {0};

#pragma omp for schedule(static)
        for (int64_t row = 0; row < ROWS; row++)
            for (int lane = 0; lane < LANES; lane++) lanes[lane] += data[row * LANES + lane];
        for (int lane = 0; lane < LANES; lane++) total += lanes[lane];
    }
    seconds = omp_get_wtime() - start;
    result = total;
    (void)result;
    return seconds > 0 ? sizeof(float) * (double)ATTN_MEASURE_ELEMS / seconds * 1e-9 : 0;
}

double attn_measure_sgemm(float *data, int threads) {
    enum { SIZE = ATTN_MEASURE_GEMM, MATRIX = SIZE * SIZE };
    int blas_threads = openblas_get_num_threads();
    double start, seconds;

    openblas_set_num_threads(threads);
    start = omp_get_wtime();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SIZE, SIZE, SIZE, 1.0f, data, SIZE,
                data + MATRIX, SIZE, 0.0f, data + (ptrdiff_t)2 * MATRIX, SIZE);
    seconds = omp_get_wtime() - start;
    openblas_set_num_threads(blas_threads);
    return seconds > 0 ? 2.0 * SIZE * SIZE * SIZE / seconds * 1e-9 : 0;
}

/* The best of a few peaks; 0 without a kernel. */
static double best_peak(const attn_kernel *kernel, int threads) {
    double best = 0;

    for (int repeat = 0; repeat < REPEATS && kernel != NULL; repeat++)
        best = fmax(best, attn_measure_peak(kernel, threads));
    return best;
}

attn_status attn_measure(const attn_kernel *kernel, const attn_kernel *dot_bf16, int threads,
                         attn_rates *rates, attn_error *error) {
    int64_t gemm_elems = (int64_t)threads * GEMM_ELEMS;
    int64_t all_kernel_elems = threads * kernel_elems(kernel);
    int64_t elems = ATTN_MEASURE_ELEMS;
    float *data;
    int blas_threads = openblas_get_num_threads();

    if (gemm_elems > elems) elems = gemm_elems;
    if (all_kernel_elems > elems) elems = all_kernel_elems;
    data = attn_alloc((size_t)elems, sizeof *data);
    if (data == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate to measure");
    fill(data, elems);
    openblas_set_num_threads(1);
    measured = kernel;
    rates->fma_gflops = best_peak(kernel, threads);
    rates->dot_bf16_gflops = best_peak(dot_bf16, threads);
    rates->sgemm_gflops =
        best_rate(threads, 2.0 * GEMM_SIZE * GEMM_SIZE * GEMM_SIZE, run_gemm, data, GEMM_ELEMS) *
        1e-9;
    rates->kernel_gflops =
        best_rate(threads, 4.0 * KERNEL_CALLS * kernel->query_rows * KERNEL_KEYS * KERNEL_DIM,
                  run_kernel, data, kernel_elems(kernel)) *
        1e-9;
    rates->memory_gbytes_per_sec = triad_rate(data, threads) * 1e-9;
    rates->read_gbytes_per_sec = 0;
    for (int repeat = 0; repeat < REPEATS; repeat++)
        rates->read_gbytes_per_sec =
            fmax(rates->read_gbytes_per_sec, attn_measure_read(data, threads));
    openblas_set_num_threads(blas_threads);
    free(data);
    return attn_ok(error);
}
