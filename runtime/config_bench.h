/* config_bench.h: bench: what the config alone can refuse, and what its sweep compares. Not
 * collective. */
#ifndef ATTN_RUNTIME_CONFIG_BENCH_H
#define ATTN_RUNTIME_CONFIG_BENCH_H

#include "config.h"

/* "strong", "weak", "none"; NULL past the last. */
const char *attn_config_bench_mode_name(int mode);

/* The mode, with auto filled in: strong where ranks are swept, else none. */
attn_bench_mode attn_config_bench_mode(const attn_config *config);

/* ATTN_ERR_CONFIG: a mode without ranks to compare, weak scaling of files, samples in a file that
 * is no .csv. */
attn_status attn_config_bench_check(attn_config *config, attn_error *error);

#endif
