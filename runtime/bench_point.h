/* bench_point.h: one sample of one point. */
#ifndef ATTN_RUNTIME_BENCH_POINT_H
#define ATTN_RUNTIME_BENCH_POINT_H

#include "bench.h"

/* Ranks that a point wants: of its axis, or all. Not collective. */
int64_t attn_bench_ranks_of(const attn_bench *bench, int64_t point);

/* What is known of a point before it runs. Not collective. */
void attn_bench_point_describe(const attn_bench *bench, int64_t number, attn_point_facts *facts);

/* Plans the point on `comm`, loads it, and times one execution after bench.warmup others. What is
 * wrong with it goes to point->refused; otherwise rank 0 of `comm` has a sample more and the
 * point's facts. Collective; agreed on. */
void attn_bench_point_run(MPI_Comm comm, const attn_bench *bench, int64_t number, int64_t repeat,
                          attn_point *point);

#endif
