/* bench_report.h: the summary of a sweep as JSON. On rank 0; not collective. */
#ifndef ATTN_RUNTIME_BENCH_REPORT_H
#define ATTN_RUNTIME_BENCH_REPORT_H

#include "bench.h"

/* Writes output.report. ATTN_ERR_IO, ATTN_ERR_MEMORY. */
attn_status attn_bench_report_write(const attn_bench *bench, attn_error *error);

#endif
