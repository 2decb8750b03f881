#include "config_bench.h"

#include <string.h>

const char *attn_config_bench_mode_name(int mode) {
    static const char *const names[] = {
        [ATTN_BENCH_STRONG] = "strong", [ATTN_BENCH_WEAK] = "weak", [ATTN_BENCH_NONE] = "none"};

    return mode >= 0 && mode < (int)(sizeof names / sizeof *names) ? names[mode] : NULL;
}

attn_bench_mode attn_config_bench_mode(const attn_config *config) {
    if (config->bench.mode != ATTN_AUTO) return (attn_bench_mode)config->bench.mode;
    return attn_sweep_ranks_axis(&config->bench.sweep) < 0 ? ATTN_BENCH_NONE : ATTN_BENCH_STRONG;
}

attn_status attn_config_bench_check(attn_config *config, attn_error *error) {
    const char *samples = config->bench.samples;
    const attn_bench_mode mode = attn_config_bench_mode(config);
    size_t bytes = strlen(samples);

    if (mode != ATTN_BENCH_NONE && attn_sweep_ranks_axis(&config->bench.sweep) < 0)
        return attn_config_fail(config, "bench.mode", error, ATTN_ERR_CONFIG,
                                "is %s, but no ranks are swept; add ranks: [1, 2, 4] to "
                                "bench.sweep, or leave the mode out",
                                attn_config_bench_mode_name((int)mode));
    if (mode == ATTN_BENCH_WEAK && !config->input.synthetic)
        return attn_config_fail(config, "bench.mode", error, ATTN_ERR_CONFIG,
                                "is weak, but files do not grow with the ranks; take "
                                "input.synthetic, or strong");
    if (bytes > 0 && (bytes < 5 || strcmp(samples + bytes - 4, ".csv") != 0))
        return attn_config_fail(config, "bench.samples", error, ATTN_ERR_CONFIG,
                                "must end in .csv; a .jsonl and a .sweep.json are written beside "
                                "it");
    return ATTN_OK;
}
