/* bench_table.h: the table of a sweep on stdout. On rank 0; not collective. */
#ifndef ATTN_RUNTIME_BENCH_TABLE_H
#define ATTN_RUNTIME_BENCH_TABLE_H

#include "bench.h"

/* What is above the lines. */
void attn_bench_table_begin(const attn_config *config);

/* One point's line. */
void attn_bench_table_point(const attn_bench *bench, int64_t number);

/* What there is to say below them. */
void attn_bench_table_end(const attn_bench *bench);

#endif
