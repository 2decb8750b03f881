/* The line of a sample: RFC 4180, and read back as it was written. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_columns.h"
#include "harness.h"

static const char first_columns[] = "point,repeat,mode,set,ranks,nodes,threads,mesh_heads,";

/* Something in every field, which no two of a type share. */
static void fill(attn_point_facts *facts, attn_sample *sample) {
    int32_t count;
    const attn_bench_column *columns = attn_bench_columns(&count);

    memset(facts, 0, sizeof *facts);
    memset(sample, 0, sizeof *sample);
    for (int32_t i = 0; i < count; i++) {
        char *field = (columns[i].of_point ? (char *)facts : (char *)sample) + columns[i].offset;

        if (columns[i].type == ATTN_COLUMN_TEXT)
            snprintf(field, columns[i].bytes, "text %d", (int)i);
        else if (columns[i].type == ATTN_COLUMN_INTEGER)
            *(int64_t *)(void *)field = INT64_C(9007199254740993) + i; /* no double holds it */
        else if (columns[i].type == ATTN_COLUMN_WHOLE)
            *(double *)(void *)field = 1234567890123456.0 + i;
        else
            *(double *)(void *)field = 0.5 + i;
    }
}

static int is_read(const char *line, attn_point_facts *facts, attn_sample *sample) {
    return attn_bench_columns_read(line, strlen(line), facts, sample);
}

/* Writes, without the end of the line. */
static void write_line(const attn_point_facts *facts, const attn_sample *sample, char *line) {
    size_t bytes = attn_bench_columns_line(facts, sample, line);

    CU_ASSERT_EQUAL(bytes, strlen(line));
    CU_ASSERT_EQUAL(line[bytes - 1], '\n');
    line[bytes - 1] = '\0';
}

static void test_what_is_written_is_read(void) {
    attn_point_facts facts, facts_again;
    attn_sample sample, sample_again;
    char line[ATTN_BENCH_LINE_BYTES], again[ATTN_BENCH_LINE_BYTES];

    fill(&facts, &sample);
    write_line(&facts, &sample, line);
    CU_ASSERT(is_read(line, &facts_again, &sample_again));
    CU_ASSERT_EQUAL(memcmp(&facts, &facts_again, sizeof facts), 0);
    CU_ASSERT_EQUAL(memcmp(&sample, &sample_again, sizeof sample), 0);
    write_line(&facts_again, &sample_again, again);
    CU_ASSERT_STRING_EQUAL(line, again);
}

static void test_the_header_has_a_name_for_each_cell(void) {
    char header[ATTN_BENCH_LINE_BYTES];
    int32_t count, commas = 0;

    attn_bench_columns(&count);
    attn_bench_columns_header(header);
    for (const char *at = header; *at != '\0'; at++) commas += *at == ',';
    CU_ASSERT_EQUAL(commas, count - 1);
    CU_ASSERT_EQUAL(strncmp(header, first_columns, strlen(first_columns)), 0);
    CU_ASSERT_PTR_NULL(attn_bench_column_find("no such column"));
    CU_ASSERT_STRING_EQUAL(attn_bench_column_find("overlap")->name, "overlap");
}

static void test_commas_and_quotes_are_quoted(void) {
    attn_point_facts facts, facts_again;
    attn_sample sample, sample_again;
    char line[ATTN_BENCH_LINE_BYTES];

    fill(&facts, &sample);
    strcpy(facts.set, "attention.mask={window: [64, 0], documents: \"d.npy\"}");
    strcpy(facts.mask, "window [64, 0]");
    write_line(&facts, &sample, line);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(line, ",\"attention.mask={window: [64, 0], documents: \"\"d.npy\"\"}\","));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, ",\"window [64, 0]\","));
    CU_ASSERT(is_read(line, &facts_again, &sample_again));
    CU_ASSERT_STRING_EQUAL(facts_again.set, facts.set);
    CU_ASSERT_STRING_EQUAL(facts_again.mask, facts.mask);
}

static void test_what_is_not_known_is_empty(void) {
    attn_point_facts facts, facts_again;
    attn_sample sample, sample_again;
    char line[ATTN_BENCH_LINE_BYTES];
    json_t *json;

    fill(&facts, &sample);
    facts.model_dim = -1;
    sample.overlap = NAN;
    sample.speedup = INFINITY;
    write_line(&facts, &sample, line);
    CU_ASSERT_PTR_NULL(strstr(line, "nan"));
    CU_ASSERT_PTR_NULL(strstr(line, "inf"));
    CU_ASSERT(is_read(line, &facts_again, &sample_again));
    CU_ASSERT_EQUAL(facts_again.model_dim, -1);
    CU_ASSERT(isnan(sample_again.overlap));
    CU_ASSERT(isnan(sample_again.speedup));
    json = attn_bench_columns_json(&facts, &sample, NULL);
    CU_ASSERT(json_is_null(json_object_get(json, "model_dim")));
    CU_ASSERT(json_is_null(json_object_get(json, "overlap")));
    CU_ASSERT(json_is_null(json_object_get(json, "refused")));
    CU_ASSERT(json_is_integer(json_object_get(json, "flops")));
    json_decref(json);
}

static void test_a_refused_point_has_its_reason(void) {
    attn_point_facts facts;
    attn_sample sample;
    json_t *json;

    fill(&facts, &sample);
    json = attn_bench_columns_json(&facts, NULL, "needs 8 ranks");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "refused")), "needs 8 ranks");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json, "set")), facts.set);
    CU_ASSERT(json_is_null(json_object_get(json, "total_sec")));
    CU_ASSERT(json_is_null(json_object_get(json, "kernel")));
    json_decref(json);
}

/* No cut of a line, and none of these changes of it, is a line. */
static void test_what_is_no_line_is_refused(void) {
    static const char *const bad[] = {"x",   "1x",  "-1",    "99999999999999999999",
                                      "\"1", "1\"", "1\"2\""};
    attn_point_facts facts;
    attn_sample sample;
    char line[ATTN_BENCH_LINE_BYTES], changed[2 * ATTN_BENCH_LINE_BYTES];
    size_t bytes;

    fill(&facts, &sample);
    write_line(&facts, &sample, line);
    bytes = strlen(line);
    for (size_t i = 0; i < (size_t)(strrchr(line, ',') - line); i++)
        CU_ASSERT(!attn_bench_columns_read(line, i, &facts, &sample));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(changed, sizeof changed, "%s%s", bad[i], strchr(line, ','));
        CU_ASSERT(!is_read(changed, &facts, &sample));
    }
    snprintf(changed, sizeof changed, "%s,", line);
    CU_ASSERT(!is_read(changed, &facts, &sample));
    memset(changed, 'a', sizeof changed); /* a text longer than any field */
    changed[sizeof changed - 1] = '\0';
    memcpy(changed, "1,2,", 4);
    CU_ASSERT(!is_read(changed, &facts, &sample));
    line[bytes / 2] = '\0';
    CU_ASSERT(!attn_bench_columns_read(line, bytes, &facts, &sample));
}

static void test_the_longest_line_fits(void) {
    attn_point_facts facts, facts_again;
    attn_sample sample, sample_again;
    int32_t count;
    const attn_bench_column *columns = attn_bench_columns(&count);
    char line[ATTN_BENCH_LINE_BYTES];

    fill(&facts, &sample);
    for (int32_t i = 0; i < count; i++) {
        char *field = (columns[i].of_point ? (char *)&facts : (char *)&sample) + columns[i].offset;

        if (columns[i].type == ATTN_COLUMN_TEXT) {
            memset(field, '"', columns[i].bytes - 1);
            field[columns[i].bytes - 1] = '\0';
        } else if (columns[i].type == ATTN_COLUMN_INTEGER) {
            *(int64_t *)(void *)field = INT64_MAX;
        } else {
            *(double *)(void *)field = -1.2345678901234567e-300;
        }
    }
    CU_ASSERT(attn_bench_columns_line(&facts, &sample, line) < sizeof line);
    CU_ASSERT(attn_bench_columns_read(line, strlen(line) - 1, &facts_again, &sample_again));
    CU_ASSERT_STRING_EQUAL(facts_again.set, facts.set);
}

int main(void) {
    static const attn_test tests[] = {
        {"what is written is read", test_what_is_written_is_read},
        {"the header has a name for each cell", test_the_header_has_a_name_for_each_cell},
        {"commas and quotes are quoted", test_commas_and_quotes_are_quoted},
        {"what is not known is empty", test_what_is_not_known_is_empty},
        {"a refused point has its reason", test_a_refused_point_has_its_reason},
        {"what is no line is refused", test_what_is_no_line_is_refused},
        {"the longest line fits", test_the_longest_line_fits},
    };
    return attn_test_main("unit.bench_columns", tests, ATTN_TEST_COUNT(tests));
}
