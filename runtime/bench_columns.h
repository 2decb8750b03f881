/* bench_columns.h: the columns of a sample, one table for CSV, JSON and the summary.
 *
 * CSV as in RFC 4180, lines ended by "\n": an empty cell is not known, or does not apply. Not
 * collective. */
#ifndef ATTN_RUNTIME_BENCH_COLUMNS_H
#define ATTN_RUNTIME_BENCH_COLUMNS_H

#include <jansson.h>

#include "bench.h"

typedef enum attn_column_type {
    ATTN_COLUMN_INTEGER, /* int64_t, from 0; −1: empty */
    ATTN_COLUMN_WHOLE,   /* double, a whole number with all digits; NAN: empty */
    ATTN_COLUMN_NUMBER,  /* double, 9 digits; NAN: empty */
    ATTN_COLUMN_TEXT,    /* char[bytes] */
} attn_column_type;

typedef struct attn_bench_column {
    const char *name;
    attn_column_type type;
    int of_point;  /* the field is in attn_point_facts, else in attn_sample */
    size_t offset; /* of the field */
    size_t bytes;  /* of a text */
} attn_bench_column;

/* In the order of a line. Static storage. */
const attn_bench_column *attn_bench_columns(int32_t *count);

/* By name; NULL: there is none. */
const attn_bench_column *attn_bench_column_find(const char *name);

/* A line of any sample fits, with its end and a NUL. */
enum { ATTN_BENCH_LINE_BYTES = 8192 };

/* The names, and one sample, into `line`; returns the bytes written, its "\n" among them. */
size_t attn_bench_columns_header(char line[ATTN_BENCH_LINE_BYTES]);
size_t attn_bench_columns_line(const attn_point_facts *facts, const attn_sample *sample,
                               char line[ATTN_BENCH_LINE_BYTES]);

/* Reads `bytes` bytes of a line, without its "\n", as the above writes it. 0: it is no such line.
 */
int attn_bench_columns_read(const char *line, size_t bytes, attn_point_facts *facts,
                            attn_sample *sample);

/* Value of a column that is no text; NAN: empty. */
double attn_bench_column_value(const attn_bench_column *column, const attn_point_facts *facts,
                               const attn_sample *sample);

/* The cell as JSON, null when empty; NULL without memory. New reference. */
json_t *attn_bench_column_json(const attn_bench_column *column, const attn_point_facts *facts,
                               const attn_sample *sample);

/* One sample as an object with a key for each column, and "refused": null. With `refused`, the
 * reason, all that is known only of points that ran is null, and `sample` may be NULL. NULL without
 * memory. New reference. */
json_t *attn_bench_columns_json(const attn_point_facts *facts, const attn_sample *sample,
                                const char *refused);

#endif
