/* bench_samples.h: the files that samples go to, and what makes a sweep go on.
 *
 *     NAME.csv         bench.samples: a header, and a line for each sample (bench_columns.h)
 *     NAME.jsonl       the same as JSON, and a line for each point that cannot run
 *     NAME.sweep.json  what was swept, by what, on what: all that samples must share
 *
 * A line is one write, after its sample: whatever ends the program leaves whole lines, but for the
 * last. A sweep goes on when NAME.sweep.json is what it would write itself; the CSV is then read,
 * an unfinished line dropped, and NAME.jsonl made anew from it.
 *
 * On rank 0; not collective.
 */
#ifndef ATTN_RUNTIME_BENCH_SAMPLES_H
#define ATTN_RUNTIME_BENCH_SAMPLES_H

#include <stdio.h>

#include "bench.h"
#include "tensor.h" /* ATTN_PATH_BYTES */

typedef struct attn_bench_samples {
    char csv_path[ATTN_PATH_BYTES], jsonl_path[ATTN_PATH_BYTES];
    FILE *csv, *jsonl; /* owned; NULL: the config names no file */
} attn_bench_samples;

/* Opens the files of bench.samples, if it names any. With bench.resume the samples in them go to
 * the points, and bench->resumed says how many; else they are overwritten.
 *  ATTN_ERR_CONFIG   the samples are of another sweep, or are none
 *  ATTN_ERR_IO, ATTN_ERR_MEMORY
 * Needs attn_bench_samples_close, also after a failure. */
attn_status attn_bench_samples_open(attn_bench *bench, attn_bench_samples *samples,
                                    attn_error *error);

/* A line for the point's latest sample; for a point that cannot run. ATTN_ERR_IO,
 * ATTN_ERR_MEMORY. */
attn_status attn_bench_samples_add(attn_bench_samples *samples, const attn_point *point,
                                   attn_error *error);
attn_status attn_bench_samples_refuse(attn_bench_samples *samples, const attn_point *point,
                                      attn_error *error);

/* A zeroed one is legal. */
void attn_bench_samples_close(attn_bench_samples *samples);

#endif
