/* bench.sweep: reading, refusing, and walking the points. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "config_bench.h"
#include "harness.h"

#define BASE                   \
    "attention: {heads: 4}\n"  \
    "sequence: {length: 64}\n" \
    "input: {synthetic: {seed: 1, d_model: 64}}\n"

static attn_status parse(const char *text, attn_config *config, attn_error *error) {
    return attn_config_parse(text, strlen(text), "c.yaml", NULL, 0, "/in", "/out", config, error);
}

static void test_points_are_the_product_of_the_axes(void) {
    static attn_config config;
    attn_error error;
    const attn_sweep *sweep = &config.bench.sweep;

    CU_ASSERT_EQUAL(parse(BASE "bench:\n"
                               "  repeats: 7\n"
                               "  sweep:\n"
                               "    sequence.length: [64, 128, 256]\n"
                               "    attention.mask: [none, causal]\n"
                               "    parallel.threads: [auto]\n",
                          &config, &error),
                    ATTN_OK);
    CU_ASSERT_EQUAL(config.bench.repeats, 7);
    CU_ASSERT_EQUAL(config.bench.warmup, 1);
    CU_ASSERT_EQUAL(sweep->axes, 3);
    CU_ASSERT_EQUAL(attn_sweep_points(sweep), 6);
    CU_ASSERT_STRING_EQUAL(sweep->axis[0].key, "sequence.length");
    for (int64_t point = 0; point < 6; point++) {
        CU_ASSERT_EQUAL(attn_sweep_value(sweep, point, 0), point / 2);
        CU_ASSERT_EQUAL(attn_sweep_value(sweep, point, 1), point % 2);
        CU_ASSERT_EQUAL(attn_sweep_value(sweep, point, 2), 0);
    }
    CU_ASSERT_STRING_EQUAL(sweep->axis[0].values[2], "256");
    CU_ASSERT_STRING_EQUAL(sweep->axis[1].values[1], "causal");
}

static void test_mappings_and_lists_are_values(void) {
    static attn_config config;
    const attn_sweep *sweep = &config.bench.sweep;
    attn_error error;

    CU_ASSERT_EQUAL(parse(BASE "bench: {sweep: {attention.mask: [none, {causal: true,\n"
                               "  window:   [64, 0]}], attention.mask.window: [[1, 2]]}}",
                          &config, &error),
                    ATTN_OK);
    CU_ASSERT_EQUAL(sweep->axes, 2);
    CU_ASSERT_STRING_EQUAL(sweep->axis[0].values[0], "none");
    CU_ASSERT_STRING_EQUAL(sweep->axis[0].values[1], "{causal: true, window: [64, 0]}");
    CU_ASSERT_STRING_EQUAL(sweep->axis[1].values[0], "[1, 2]");
    CU_ASSERT_EQUAL(config.attention.mask.window.count, 0); /* tried elsewhere */
}

static void test_without_a_sweep_there_is_one_point(void) {
    static attn_config config;
    attn_error error;

    CU_ASSERT_EQUAL(parse(BASE, &config, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_sweep_points(&config.bench.sweep), 1);
}

static void test_bad_sweeps_are_refused_at_their_place(void) {
    static const struct {
        const char *sweep, *message;
    } cases[] = {
        {"[1, 2]", "c.yaml:4:16: bench.sweep: is not a mapping; must be KEY:"},
        {"{sequence.lenght: [1]}", "c.yaml:4:17: bench.sweep: cannot sweep sequence.lenght"},
        {"{output.y: [a, b]}", "cannot sweep output.y"},
        {"{attention: [a, b]}", "cannot sweep attention"},
        {"{bench.repeats: [1]}", "cannot sweep bench.repeats"},
        {"{sequence.length: 64}", "sequence.length: is not a list; must be a list"},
        {"{sequence.length: []}", "sequence.length: is not a list; must be a list"},
        {"{sequence.length: [64, 0]}",
         "c.yaml:4:39: sequence.length: is 0; must be an integer from 1"},
        {"{sequence.length: [64, [65]]}", "sequence.length: is a sequence; must be an integer"},
        {"{sequence.length: [64, '65']}", "must be an integer"},
        {"{sequence.length: [null]}", "must be an integer"},
        {"{attention.mask: [null]}", "attention.mask: is null 'null'; must be none, causal or a "},
        {"{attention.mask: [{windw: [1, 0]}]}", "did you mean attention.mask.window ("},
        {"{attention.mask: [{window: [1]}]}", "attention.mask.window: has another number of"},
        {"{attention.mask: [{documents: 'a, b.npy'}]}", "attention.mask: has too many or too long"},
        {"{attention.mask: [{documents: [1000000, 1000001, 1000002, 1000003, 1000004, 1000005, "
         "1000006, 1000007, 1000008, 1000009]}]}",
         "attention.mask: has too many or too long values; an axis has at most 64 of 95"},
        {"{attention.mask: [none, casual]}", "c.yaml:4:40: attention.mask: "},
        {"{sequence.length: [1], sequence.length: [2]}", "sequence.length: is swept twice"},
        {"{ranks: [1, 0]}", "c.yaml:4:28: ranks: is 0; must be an integer from 1 to 1048576"},
        {"{ranks: [auto]}", "ranks: is the string 'auto'; must be an integer from 1"},
        {"{ranks: [null]}", "ranks: is null 'null'; must be an integer from 1"},
        {"{ranks: 2}", "ranks: is not a list; must be a list"},
        {"{ranks: [1], ranks: [2]}", "ranks: is swept twice"},
        {"{rank: [1]}",
         "cannot sweep rank; name a key with one value and no file, as "
         "sequence.length, or ranks"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static attn_config config;
        char text[512] = BASE "bench: {sweep: ";
        attn_error error;

        strcat(text, cases[i].sweep);
        strcat(text, "}\n");
        CU_ASSERT_EQUAL(parse(text, &config, &error), ATTN_ERR_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        if (strstr(error.message, cases[i].message) == NULL)
            fprintf(stderr, "%s: %s\n", cases[i].sweep, error.message);
    }
}

static void test_ranks_are_an_axis(void) {
    static attn_config config;
    const attn_sweep *sweep = &config.bench.sweep;
    attn_error error;

    CU_ASSERT_EQUAL(parse(BASE "bench: {sweep: {sequence.length: [64, 128], ranks: [1, 2, 8]}}",
                          &config, &error),
                    ATTN_OK);
    CU_ASSERT_EQUAL(attn_sweep_points(sweep), 6);
    CU_ASSERT_EQUAL(attn_sweep_ranks_axis(sweep), 1);
    CU_ASSERT_STRING_EQUAL(sweep->axis[1].values[2], "8");
    CU_ASSERT_EQUAL(config.sequence.length, 64);
    CU_ASSERT_EQUAL(attn_config_bench_mode(&config), ATTN_BENCH_STRONG);
    CU_ASSERT_EQUAL(parse(BASE, &config, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_sweep_ranks_axis(sweep), -1);
    CU_ASSERT_EQUAL(attn_config_bench_mode(&config), ATTN_BENCH_NONE);
}

static void test_bad_benches_are_refused_at_their_place(void) {
    static const struct {
        const char *bench, *message;
    } cases[] = {
        {"{mode: strong}", "c.yaml:4:15: bench.mode: is strong, but no ranks are swept"},
        {"{mode: weak, sweep: {sequence.length: [1, 2]}}", "bench.mode: is weak, but no ranks"},
        {"{mode: week}", "bench.mode: is 'week'; must be one of auto, strong, weak, none"},
        {"{budget_sec: 0}", "bench.budget_sec: is 0; must be a number above 0"},
        {"{samples: out/x.txt}", "c.yaml:4:18: bench.samples: must end in .csv"},
        {"{samples: ''}", "bench.samples: is empty"},
        {"{resume: maybe}", "bench.resume: is 'maybe'; must be one of false, true"},
    };
    static attn_config config;
    attn_error error;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];

        snprintf(text, sizeof text, "%sbench: %s\n", BASE, cases[i].bench);
        CU_ASSERT_EQUAL(parse(text, &config, &error), ATTN_ERR_CONFIG);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        if (strstr(error.message, cases[i].message) == NULL)
            fprintf(stderr, "%s: %s\n", cases[i].bench, error.message);
    }
    CU_ASSERT_EQUAL(parse("attention: {heads: 4}\ninput: {q: q.npy, k: k.npy, v: v.npy}\n"
                          "bench: {mode: weak, sweep: {ranks: [1, 2]}}",
                          &config, &error),
                    ATTN_ERR_CONFIG);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "bench.mode: is weak, but files do not grow"));
}

static void test_the_resolved_config_sweeps_the_same(void) {
    static attn_config config, again;
    attn_error error;
    json_t *json;
    char *text;

    CU_ASSERT_EQUAL(parse(BASE "bench: {sweep: {sequence.length: [64, 128], attention.scale: "
                               "[0.5, 1.0e-3], parallel.threads: [auto, 2], ranks: [1, 2]},\n"
                               "mode: weak, budget_sec: 1.5, samples: s.csv, resume: false}\n",
                          &config, &error),
                    ATTN_OK);
    json = attn_config_json(&config);
    text = json_dumps(json, 0);
    CU_ASSERT_EQUAL(parse(text, &again, &error), ATTN_OK);
    CU_ASSERT_EQUAL(again.bench.sweep.axes, 4);
    CU_ASSERT_EQUAL(attn_sweep_points(&again.bench.sweep), 16);
    CU_ASSERT_EQUAL(again.bench.mode, ATTN_BENCH_WEAK);
    CU_ASSERT_EQUAL(again.bench.budget_sec, 1.5);
    CU_ASSERT_EQUAL(again.bench.resume, 0);
    CU_ASSERT_STRING_EQUAL(again.bench.samples, "/out/s.csv");
    for (int32_t i = 0; i < 4; i++)
        CU_ASSERT_STRING_EQUAL(again.bench.sweep.axis[i].key, config.bench.sweep.axis[i].key);
    CU_ASSERT_STRING_EQUAL(again.bench.sweep.axis[2].values[0], "auto");
    free(text);
    json_decref(json);
}

int main(void) {
    static const attn_test tests[] = {
        {"points are the product of the axes", test_points_are_the_product_of_the_axes},
        {"mappings and lists are values", test_mappings_and_lists_are_values},
        {"without a sweep there is one point", test_without_a_sweep_there_is_one_point},
        {"bad sweeps are refused at their place", test_bad_sweeps_are_refused_at_their_place},
        {"ranks are an axis", test_ranks_are_an_axis},
        {"bad benches are refused at their place", test_bad_benches_are_refused_at_their_place},
        {"the resolved config sweeps the same", test_the_resolved_config_sweeps_the_same},
    };
    return attn_test_main("unit.sweep", tests, ATTN_TEST_COUNT(tests));
}
