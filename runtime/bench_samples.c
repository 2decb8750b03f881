#include "bench_samples.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_columns.h"
#include "bench_identity.h"
#include "bench_point.h"
#include "file.h"

static const size_t most_bytes = (size_t)1 << 30; /* of a file of samples */

/* --- reading what is there ------------------------------------------------------ */

static attn_status fail_resume(const attn_bench *bench, attn_error *error, const char *what) {
    return attn_config_fail(bench->config, "bench.samples", error, ATTN_ERR_CONFIG,
                            "cannot go on: %s; name another file, or start over with "
                            "--set bench.resume=false",
                            what);
}

static attn_status fail_line(const attn_bench *bench, int64_t line, const char *what,
                             attn_error *error) {
    char text[128];

    snprintf(text, sizeof text, "line %lld of the file %s", (long long)line, what);
    return fail_resume(bench, error, text);
}

/* A sample that was there, to its point. */
static attn_status take(attn_bench *bench, int64_t line, const attn_point_facts *facts,
                        const attn_sample *sample, attn_error *error) {
    attn_point_facts wanted;
    attn_point *point;

    if (facts->point < 0 || facts->point >= bench->points || sample->repeat < 0 ||
        sample->repeat >= bench->config->bench.repeats)
        return fail_line(bench, line, "is of no point of this sweep", error);
    point = &bench->point[facts->point];
    attn_bench_point_describe(bench, facts->point, &wanted);
    if (strcmp(wanted.set, facts->set) != 0 || strcmp(wanted.mode, facts->mode) != 0 ||
        wanted.ranks != facts->ranks)
        return fail_line(bench, line, "is of another point than its number says", error);
    if (point->taken[sample->repeat])
        return fail_line(bench, line, "is the second of one point and repeat", error);
    point->taken[sample->repeat] = 1;
    point->facts = *facts;
    point->samples[point->count++] = *sample;
    bench->resumed++;
    return attn_ok(error);
}

/* The lines behind the header; *whole: bytes of those that are finished, the header's too. */
static attn_status take_lines(attn_bench *bench, const char *text, size_t *whole,
                              attn_error *error) {
    char header[ATTN_BENCH_LINE_BYTES];
    size_t header_bytes = attn_bench_columns_header(header);
    const char *at = text + header_bytes, *end;

    *whole = 0;
    if (strncmp(text, header, header_bytes) != 0)
        return fail_line(bench, 1, "is not the header of samples", error);
    for (int64_t line = 2; (end = strchr(at, '\n')) != NULL; line++) {
        attn_point_facts facts;
        attn_sample sample;

        if (!attn_bench_columns_read(at, (size_t)(end - at), &facts, &sample))
            return fail_line(bench, line, "is no sample", error);
        if (take(bench, line, &facts, &sample, error) != ATTN_OK) return error->status;
        at = end + 1;
    }
    *whole = (size_t)(at - text);
    return attn_ok(error);
}

/* Whether a text begins with a finished line behind its first. */
static int has_samples(const char *text) {
    const char *first = strchr(text, '\n');

    return first != NULL && strchr(first + 1, '\n') != NULL;
}

/* Takes the samples that are there; *text: the whole lines of the CSV, which the caller frees;
 * NULL: there are none. */
static attn_status resume(attn_bench *bench, const char *path, char **text, size_t *whole,
                          attn_error *error) {
    char difference[256];
    size_t bytes;

    *text = NULL;
    if (access(path, F_OK) != 0) return attn_ok(error);
    if (attn_file_read(path, most_bytes, text, &bytes, error) != ATTN_OK) return error->status;
    if (!has_samples(*text)) {
        free(*text);
        *text = NULL;
        return attn_ok(error);
    }
    if (attn_bench_identity_differs(bench, difference, sizeof difference, error) != ATTN_OK)
        return error->status;
    if (difference[0] != '\0') return fail_resume(bench, error, difference);
    return take_lines(bench, *text, whole, error);
}

/* --- writing ------------------------------------------------------------------- */

/* One line, in one write: the stream is unbuffered. */
static attn_status put_line(FILE *file, const char *path, const char *line, size_t bytes,
                            attn_error *error) {
    if (fwrite(line, 1, bytes, file) == bytes) return attn_ok(error);
    return attn_fail(error, ATTN_ERR_IO, "%s: cannot write %zu bytes: %s", path, bytes,
                     strerror(errno));
}

static attn_status put_json(const attn_bench_samples *samples, json_t *json, attn_error *error) {
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(15));
    size_t bytes;

    json_decref(json);
    if (text == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory for a sample");
    bytes = strlen(text);
    text[bytes] = '\n'; /* in place of the NUL */
    put_line(samples->jsonl, samples->jsonl_path, text, bytes + 1, error);
    free(text);
    return error->status;
}

static attn_status put_sample(const attn_bench_samples *samples, const attn_point *point,
                              int32_t index, attn_error *error) {
    return put_json(samples, attn_bench_columns_json(&point->facts, &point->samples[index], NULL),
                    error);
}

attn_status attn_bench_samples_add(attn_bench_samples *samples, const attn_point *point,
                                   attn_error *error) {
    char line[ATTN_BENCH_LINE_BYTES];
    size_t bytes;

    if (samples->csv == NULL) return attn_ok(error);
    bytes = attn_bench_columns_line(&point->facts, &point->samples[point->count - 1], line);
    if (put_line(samples->csv, samples->csv_path, line, bytes, error) != ATTN_OK)
        return error->status;
    return put_sample(samples, point, point->count - 1, error);
}

attn_status attn_bench_samples_refuse(attn_bench_samples *samples, const attn_point *point,
                                      attn_error *error) {
    if (samples->csv == NULL) return attn_ok(error);
    return put_json(samples, attn_bench_columns_json(&point->facts, NULL, point->refused.message),
                    error);
}

/* --- opening ------------------------------------------------------------------- */

static attn_status open_to_append(const char *path, FILE **file, attn_error *error) {
    *file = fopen(path, "a");
    if (*file == NULL)
        return attn_fail(error, ATTN_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    setvbuf(*file, NULL, _IONBF, 0);
    return attn_ok(error);
}

attn_status attn_bench_samples_open(attn_bench *bench, attn_bench_samples *samples,
                                    attn_error *error) {
    const attn_config *config = bench->config;
    char header[ATTN_BENCH_LINE_BYTES], *text = NULL;
    size_t bytes = 0;

    *samples = (attn_bench_samples){0};
    if (config->bench.samples[0] == '\0') return attn_ok(error);
    snprintf(samples->csv_path, sizeof samples->csv_path, "%s", config->bench.samples);
    if (attn_bench_identity_path(config, ".jsonl", samples->jsonl_path, error) != ATTN_OK)
        return error->status;
    if (config->bench.resume && resume(bench, samples->csv_path, &text, &bytes, error) != ATTN_OK)
        goto cleanup;
    if (text == NULL) bytes = attn_bench_columns_header(header);
    /* The CSV first: without samples in it, nothing is gone on with. */
    if (attn_file_replace(samples->csv_path, text == NULL ? header : text, bytes, error) !=
            ATTN_OK ||
        attn_file_replace(samples->jsonl_path, "", 0, error) != ATTN_OK ||
        attn_bench_identity_write(bench, error) != ATTN_OK ||
        open_to_append(samples->csv_path, &samples->csv, error) != ATTN_OK ||
        open_to_append(samples->jsonl_path, &samples->jsonl, error) != ATTN_OK)
        goto cleanup;
    for (int64_t i = 0; i < bench->points; i++)
        for (int32_t s = 0; s < bench->point[i].count; s++)
            if (put_sample(samples, &bench->point[i], s, error) != ATTN_OK) goto cleanup;

cleanup:
    free(text);
    return error->status;
}

void attn_bench_samples_close(attn_bench_samples *samples) {
    if (samples->csv != NULL) fclose(samples->csv);
    if (samples->jsonl != NULL) fclose(samples->jsonl);
    *samples = (attn_bench_samples){0};
}
