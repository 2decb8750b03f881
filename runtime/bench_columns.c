#include "bench_columns.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OF_POINT(t, m) \
    { #m, ATTN_COLUMN_##t, 1, offsetof(attn_point_facts, m), 0 }
#define OF_SAMPLE(t, m) \
    { #m, ATTN_COLUMN_##t, 0, offsetof(attn_sample, m), 0 }
#define POINT_TEXT(m) \
    { #m, ATTN_COLUMN_TEXT, 1, offsetof(attn_point_facts, m), sizeof((attn_point_facts *)0)->m }
#define SAMPLE_TEXT(m) \
    { #m, ATTN_COLUMN_TEXT, 0, offsetof(attn_sample, m), sizeof((attn_sample *)0)->m }

static const attn_bench_column columns[] = {
    OF_POINT(INTEGER, point),
    OF_SAMPLE(INTEGER, repeat),
    POINT_TEXT(mode),
    POINT_TEXT(set),
    OF_POINT(INTEGER, ranks),
    OF_POINT(INTEGER, nodes),
    OF_POINT(INTEGER, threads),
    OF_POINT(INTEGER, mesh_heads),
    OF_POINT(INTEGER, mesh_sequence),
    POINT_TEXT(circulate),
    POINT_TEXT(layout),
    POINT_TEXT(dtype),
    POINT_TEXT(kernel),
    POINT_TEXT(mask),
    OF_POINT(INTEGER, length),
    OF_POINT(INTEGER, kv_length),
    OF_POINT(INTEGER, batch),
    OF_POINT(INTEGER, heads),
    OF_POINT(INTEGER, kv_heads),
    OF_POINT(INTEGER, key_dim),
    OF_POINT(INTEGER, value_dim),
    OF_POINT(INTEGER, model_dim),
    OF_POINT(WHOLE, flops),
    OF_SAMPLE(NUMBER, total_sec),
    OF_SAMPLE(NUMBER, project_sec),
    OF_SAMPLE(NUMBER, exchange_sec),
    OF_SAMPLE(NUMBER, attend_sec),
    OF_SAMPLE(NUMBER, output_sec),
    OF_SAMPLE(NUMBER, compute_sec_min),
    OF_SAMPLE(NUMBER, compute_sec_mean),
    OF_SAMPLE(NUMBER, compute_sec_max),
    OF_SAMPLE(NUMBER, wait_sec_mean),
    OF_SAMPLE(NUMBER, wait_sec_max),
    OF_SAMPLE(NUMBER, transfer_sec_max),
    OF_SAMPLE(NUMBER, overlap),
    OF_SAMPLE(NUMBER, imbalance),
    OF_SAMPLE(NUMBER, gflops_per_sec),
    OF_SAMPLE(NUMBER, peak_gflops),
    OF_SAMPLE(NUMBER, read_gbytes_per_sec),
    OF_SAMPLE(NUMBER, sgemm_gflops),
    OF_SAMPLE(NUMBER, fraction_of_bound),
    SAMPLE_TEXT(bound),
    OF_SAMPLE(INTEGER, bytes_sent_max),
    OF_SAMPLE(INTEGER, bytes_sent_total),
    OF_POINT(INTEGER, bytes_predicted),
    OF_POINT(INTEGER, memory_bytes_max),
    OF_POINT(NUMBER, memory_bytes_per_token),
    OF_POINT(NUMBER, predicted_sec),
    OF_SAMPLE(NUMBER, speedup),
    OF_SAMPLE(NUMBER, efficiency),
    OF_POINT(WHOLE, projection_flops),
};

enum { COLUMNS = sizeof columns / sizeof *columns, NUMBER_BYTES = 32 };

/* The longest line: texts of quotes alone, each doubled, and a number in every other cell. */
_Static_assert(2 * (ATTN_BENCH_SET_BYTES + ATTN_BENCH_MASK_BYTES + 6 * ATTN_BENCH_WORD_BYTES) +
                       (int)COLUMNS * ((int)NUMBER_BYTES + 3) + 2 <
                   (int)ATTN_BENCH_LINE_BYTES,
               "a line fits");

const attn_bench_column *attn_bench_columns(int32_t *count) {
    *count = COLUMNS;
    return columns;
}

const attn_bench_column *attn_bench_column_find(const char *name) {
    for (int32_t i = 0; i < COLUMNS; i++)
        if (strcmp(columns[i].name, name) == 0) return &columns[i];
    return NULL;
}

static const void *field_of(const attn_bench_column *column, const attn_point_facts *facts,
                            const attn_sample *sample) {
    return (column->of_point ? (const char *)facts : (const char *)sample) + column->offset;
}

double attn_bench_column_value(const attn_bench_column *column, const attn_point_facts *facts,
                               const attn_sample *sample) {
    const void *field = field_of(column, facts, sample);
    int64_t integer;

    assert(column->type != ATTN_COLUMN_TEXT);
    if (column->type != ATTN_COLUMN_INTEGER) return *(const double *)field;
    integer = *(const int64_t *)field;
    return integer < 0 ? NAN : (double)integer;
}

/* --- writing ------------------------------------------------------------------- */

/* The cell of a number; "" when it is empty. */
static void number_text(const attn_bench_column *column, const void *field,
                        char text[NUMBER_BYTES]) {
    text[0] = '\0';
    if (column->type == ATTN_COLUMN_INTEGER) {
        if (*(const int64_t *)field >= 0)
            snprintf(text, NUMBER_BYTES, "%" PRId64, *(const int64_t *)field);
    } else if (isfinite(*(const double *)field)) {
        snprintf(text, NUMBER_BYTES, column->type == ATTN_COLUMN_WHOLE ? "%.17g" : "%.9g",
                 *(const double *)field);
    }
}

/* Quoted where it has to be, quotes doubled. Returns where it ends. */
static char *put_text(char *at, const char *text) {
    int is_quoted = strpbrk(text, ",\"\r\n") != NULL;

    if (is_quoted) *at++ = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"') *at++ = '"';
        *at++ = *text;
    }
    if (is_quoted) *at++ = '"';
    return at;
}

size_t attn_bench_columns_header(char line[ATTN_BENCH_LINE_BYTES]) {
    char *at = line;

    for (int32_t i = 0; i < COLUMNS; i++) {
        at = put_text(at, columns[i].name);
        *at++ = i + 1 < COLUMNS ? ',' : '\n';
    }
    *at = '\0';
    return (size_t)(at - line);
}

size_t attn_bench_columns_line(const attn_point_facts *facts, const attn_sample *sample,
                               char line[ATTN_BENCH_LINE_BYTES]) {
    char *at = line, number[NUMBER_BYTES];

    for (int32_t i = 0; i < COLUMNS; i++) {
        const void *field = field_of(&columns[i], facts, sample);

        if (columns[i].type == ATTN_COLUMN_TEXT) {
            at = put_text(at, field);
        } else {
            number_text(&columns[i], field, number);
            at = put_text(at, number);
        }
        *at++ = i + 1 < COLUMNS ? ',' : '\n';
    }
    *at = '\0';
    return (size_t)(at - line);
}

/* --- reading ------------------------------------------------------------------- */

/* One cell from *at, without its quotes, into `cell`; *at goes behind the comma, or to `end`.
 * *more: whether there was a comma. 0: quotes are wrong, or it does not fit. */
static int read_cell(const char **at, const char *end, char *cell, size_t bytes, int *more) {
    int is_quoted = *at < end && **at == '"';
    size_t used = 0;

    *at += is_quoted;
    for (;;) {
        if (*at == end) {
            if (is_quoted) return 0;
            break;
        }
        if (is_quoted && **at == '"') {
            if (*at + 1 == end || (*at)[1] != '"') {
                ++*at;
                break;
            }
            ++*at;
        } else if (!is_quoted && (**at == ',' || **at == '"')) {
            break;
        }
        if (used + 1 >= bytes || **at == '\0') return 0;
        cell[used++] = *(*at)++;
    }
    cell[used] = '\0';
    *more = *at < end && **at == ',';
    if (!*more && *at != end) return 0;
    *at += *more;
    return 1;
}

static int read_field(const attn_bench_column *column, const char *cell, void *field) {
    char *end;

    if (column->type == ATTN_COLUMN_TEXT) {
        if (strlen(cell) >= column->bytes) return 0;
        memset(field, 0, column->bytes);
        memcpy(field, cell, strlen(cell));
        return 1;
    }
    errno = 0;
    if (column->type == ATTN_COLUMN_INTEGER) {
        long long value = cell[0] == '\0' ? -1 : strtoll(cell, &end, 10);

        if (cell[0] != '\0' && (*end != '\0' || errno != 0 || value < 0)) return 0;
        *(int64_t *)field = value;
    } else {
        double value = cell[0] == '\0' ? NAN : strtod(cell, &end);

        if (cell[0] != '\0' && (*end != '\0' || !isfinite(value))) return 0;
        *(double *)field = value;
    }
    return 1;
}

int attn_bench_columns_read(const char *line, size_t bytes, attn_point_facts *facts,
                            attn_sample *sample) {
    const char *at = line, *end = line + bytes;
    char cell[ATTN_BENCH_SET_BYTES];
    int more = 1;

    *facts = (attn_point_facts){0};
    *sample = (attn_sample){0};
    for (int32_t i = 0; i < COLUMNS; i++) {
        char *record = columns[i].of_point ? (char *)facts : (char *)sample;

        if (!more || !read_cell(&at, end, cell, sizeof cell, &more) ||
            !read_field(&columns[i], cell, record + columns[i].offset))
            return 0;
    }
    return !more;
}

/* --- JSON ---------------------------------------------------------------------- */

json_t *attn_bench_column_json(const attn_bench_column *column, const attn_point_facts *facts,
                               const attn_sample *sample) {
    const void *field = field_of(column, facts, sample);
    double value;

    if (column->type == ATTN_COLUMN_TEXT) return json_string(field);
    value = attn_bench_column_value(column, facts, sample);
    if (!isfinite(value)) return json_null();
    if (column->type == ATTN_COLUMN_NUMBER) return json_real(value);
    if (column->type == ATTN_COLUMN_INTEGER) return json_integer(*(const int64_t *)field);
    /* A whole number, also where no integer holds it. */
    return fabs(value) < 0x1p53 ? json_integer((json_int_t)value) : json_real(value);
}

/* Whether a column is known of a point that did not run. */
static int is_known_before(const attn_bench_column *column) {
    static const char *const known[] = {"point", "mode", "set", "ranks"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(column->name, known[i]) == 0) return 1;
    return 0;
}

json_t *attn_bench_columns_json(const attn_point_facts *facts, const attn_sample *sample,
                                const char *refused) {
    json_t *object = json_object();
    int fails = object == NULL;

    for (int32_t i = 0; i < COLUMNS && !fails; i++) {
        json_t *value = refused == NULL || is_known_before(&columns[i])
                            ? attn_bench_column_json(&columns[i], facts, sample)
                            : json_null();
        fails = json_object_set_new(object, columns[i].name, value) != 0;
    }
    if (!fails)
        fails = json_object_set_new(object, "refused",
                                    refused == NULL ? json_null() : json_string(refused)) != 0;
    if (!fails) return object;
    json_decref(object);
    return NULL;
}
