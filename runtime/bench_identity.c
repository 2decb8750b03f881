#include "bench_identity.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blas_core.h"
#include "file.h"
#include "topology.h"
#include "version.h"

attn_status attn_bench_identity_path(const attn_config *config, const char *suffix,
                                     char path[ATTN_PATH_BYTES], attn_error *error) {
    size_t stem = strlen(config->bench.samples) - strlen(".csv");

    if (stem + strlen(suffix) >= ATTN_PATH_BYTES)
        return attn_config_fail(config, "bench.samples", error, ATTN_ERR_CONFIG,
                                "is too long for a file beside it; take a shorter name");
    for (size_t i = 0; i < stem; i++) path[i] = config->bench.samples[i];
    snprintf(path + stem, ATTN_PATH_BYTES - stem, "%s", suffix);
    return attn_ok(error);
}

/* New reference; NULL without memory. */
static json_t *identity(const attn_bench *bench) {
    json_t *config = attn_config_json(bench->config);
    json_t *of_bench = json_object_get(config, "bench");
    char cpu[256], blas[256];

    if (config == NULL) return NULL;
    json_object_del(config, "output");
    json_object_del(of_bench, "budget_sec");
    json_object_del(of_bench, "resume");
    json_object_del(of_bench, "samples");
    attn_cpu_name(cpu, (int)sizeof cpu);
    attn_blas_name(blas, sizeof blas);
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:o}", "version", ATTN_VERSION, "cpu", cpu,
                     "blas", blas, "ranks", bench->ranks.all.ranks, "nodes", bench->ranks.all.nodes,
                     "threads", bench->ranks.threads, "config", config);
}

attn_status attn_bench_identity_write(const attn_bench *bench, attn_error *error) {
    json_t *json = identity(bench);
    char *text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(2));
    char path[ATTN_PATH_BYTES];

    json_decref(json);
    if (text == NULL)
        attn_fail(error, ATTN_ERR_MEMORY, "out of memory for what is swept");
    else if (attn_bench_identity_path(bench->config, ".sweep.json", path, error) == ATTN_OK)
        attn_file_replace(path, text, strlen(text), error);
    free(text);
    return error->status;
}

static void describe(const json_t *value, char *text, size_t bytes) {
    char *dumped = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

    snprintf(text, bytes, "%.48s", dumped == NULL ? "absent" : dumped);
    free(dumped);
}

/* Whether `was` and `is` differ, and how, in the first key where they do. */
static int differ(json_t *was, json_t *is, const char *name, char *text, size_t bytes) {
    char before[64], now[64], path[128];
    const char *key, *dot = name[0] == '\0' ? "" : ".";
    json_t *value;

    if (json_equal(was, is)) return 0;
    if (json_is_object(was) && json_is_object(is)) {
        json_object_foreach(is, key, value) {
            snprintf(path, sizeof path, "%s%s%s", name, dot, key);
            if (differ(json_object_get(was, key), value, path, text, bytes)) return 1;
        }
        json_object_foreach(was, key, value) {
            snprintf(path, sizeof path, "%s%s%s", name, dot, key);
            if (differ(value, json_object_get(is, key), path, text, bytes)) return 1;
        }
    }
    describe(was, before, sizeof before);
    describe(is, now, sizeof now);
    snprintf(text, bytes, "its samples are of another sweep, where %.64s was %s and not %s", name,
             before, now);
    return 1;
}

attn_status attn_bench_identity_differs(const attn_bench *bench, char *text, size_t bytes,
                                        attn_error *error) {
    char path[ATTN_PATH_BYTES], *read = NULL;
    json_t *was, *is;
    size_t count;

    text[0] = '\0';
    if (attn_bench_identity_path(bench->config, ".sweep.json", path, error) != ATTN_OK)
        return error->status;
    if (access(path, R_OK) != 0) {
        snprintf(text, bytes, "the .sweep.json that says what its samples are of is missing");
        return attn_ok(error);
    }
    if (attn_file_read(path, (size_t)1 << 24, &read, &count, error) != ATTN_OK)
        return error->status;
    was = json_loads(read, 0, NULL);
    is = identity(bench);
    attn_ok(error);
    if (is == NULL)
        attn_fail(error, ATTN_ERR_MEMORY, "out of memory for what is swept");
    else if (was == NULL)
        snprintf(text, bytes, "the .sweep.json beside it is no JSON");
    else
        differ(was, is, "", text, bytes);
    json_decref(was);
    json_decref(is);
    free(read);
    return error->status;
}
