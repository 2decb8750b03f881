/* config.h: the YAML config (version 1): what a run is asked to do.
 *
 * One const table (config_keys.c) lists every key with its type, range and
 * default; parsing, errors, the nearest-key suggestion and the resolved config
 * all come from it. Parsing is not collective: rank 0 broadcasts the text and
 * every rank parses the same bytes.
 */
#ifndef ATTN_RUNTIME_CONFIG_H
#define ATTN_RUNTIME_CONFIG_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "attnspan/rope.h"
#include "config_sweep.h"
#include "status.h"
#include "tensor.h"

enum { ATTN_CONFIG_MAX_KEYS = 96 };
enum { ATTN_AUTO = -1 }; /* of an integer or choice: left to the program */

/* How synthetic input is made: a whole layer (x and weights), or q, k, v. */
typedef enum attn_synthetic { ATTN_SYNTHETIC_LAYER, ATTN_SYNTHETIC_QKV } attn_synthetic;

/* What the points of a sweep over ranks are to each other: one problem, as many tokens a rank, or
 * nothing. */
typedef enum attn_bench_mode {
    ATTN_BENCH_STRONG,
    ATTN_BENCH_WEAK,
    ATTN_BENCH_NONE
} attn_bench_mode;

/* Where a key's value came from. line 0: a default. */
typedef struct attn_mark {
    int32_t set; /* 0: the file; i + 1: the i-th --set */
    int32_t line, column;
} attn_mark;

/* A list of integers, or the file that has them. */
enum { ATTN_CONFIG_MOST_INTEGERS = 1024 };
typedef struct attn_integers {
    int64_t count; /* 0: the key is absent, or the list is in the file */
    int64_t values[ATTN_CONFIG_MOST_INTEGERS];
    char file[ATTN_PATH_BYTES]; /* a .npy; "": none */
} attn_integers;

/* A list of numbers, or the tensor that has them. */
enum { ATTN_CONFIG_MOST_NUMBERS = 1024 };
typedef struct attn_numbers {
    int64_t count; /* 0: the key is absent, or the list is in the file */
    double values[ATTN_CONFIG_MOST_NUMBERS];
    char file[ATTN_PATH_BYTES]; /* FILE.npy or FILE.safetensors#TENSOR; "": none */
} attn_numbers;

typedef struct attn_config {
    char file[ATTN_PATH_BYTES]; /* as given; names the file in messages */

    struct {
        int64_t heads;    /* H, required */
        int64_t kv_heads; /* default: heads */
        int64_t head_dim; /* d_k; ATTN_AUTO: d_model / heads, or the width of q */
        double scale;     /* 0: 1 / sqrt(head_dim) */
        struct {
            int32_t causal;             /* attn_causal */
            attn_integers window;       /* left and right; -1: unbounded */
            int64_t prefix;             /* 0: none */
            attn_integers documents;    /* lengths */
            int64_t first;              /* 0: none */
            attn_integers key_lengths;  /* of each batch item */
            char bias[ATTN_PATH_BYTES]; /* FILE.npy or FILE.safetensors#TENSOR; "": none */
        } mask;

        int32_t rope; /* 1 when attention.rope is there */
        double rope_theta;
        int64_t rope_dim;             /* ATTN_AUTO: head_dim */
        int32_t rope_pairing;         /* attn_rope_pairing */
        int32_t rope_scaling;         /* 1 when attention.rope.scaling is there */
        int32_t rope_scaling_kind;    /* attn_rope_scaling − 1; ATTN_AUTO: not given */
        double rope_factor;           /* 0: not given */
        int64_t rope_original_length; /* ATTN_AUTO: not given */

        int32_t qk_norm; /* 1 when attention.qk_norm is there */
        double qk_norm_eps;

        int32_t alibi;             /* 1 when attention.alibi is there */
        int32_t alibi_published;   /* 1: the slopes of the paper */
        attn_numbers alibi_slopes; /* of each head */
        double softcap;            /* 0: none */
        attn_numbers sinks;        /* of each head */
    } attention;
    struct {
        int64_t length;    /* N; ATTN_AUTO: rows of the input */
        int64_t kv_length; /* N_kv; ATTN_AUTO: N, or rows of k */
        int64_t batch;     /* B; ATTN_AUTO: the input's (synthetic: 1) */
    } sequence;
    struct {
        int64_t heads;                 /* P_h or ATTN_AUTO */
        int64_t sequence;              /* P_s or ATTN_AUTO */
        int32_t circulate;             /* index of attn_circulation_name(), or ATTN_AUTO */
        int32_t layout;                /* index of attn_layout_name(), or ATTN_AUTO */
        int32_t share_nodes;           /* 0, 1 or ATTN_AUTO */
        int64_t threads;               /* OpenMP threads of a rank, or ATTN_AUTO */
        char machine[ATTN_PATH_BYTES]; /* machine_file.h; "": an ordinary cluster */
    } parallel;
    struct {
        int32_t dtype;  /* attn_storage */
        int32_t kernel; /* index of attn_kernel_name(), or ATTN_AUTO */
    } compute;
    struct {
        /* Paths are absolute after parsing; "" when the key is absent. */
        char x[ATTN_PATH_BYTES]; /* FILE.npy or FILE.safetensors#TENSOR; so q, k, v */
        int32_t weights;         /* 1 when input.weights is there */
        char weights_file[ATTN_PATH_BYTES];
        int32_t weights_scheme; /* index of attn_scheme_name() */
        char weights_prefix[ATTN_NAME_BYTES];
        char memory[ATTN_PATH_BYTES]; /* keys and values of a layer come from it */
        char q[ATTN_PATH_BYTES], k[ATTN_PATH_BYTES], v[ATTN_PATH_BYTES];
        int32_t synthetic; /* 1 when input.synthetic is there */
        int64_t synthetic_seed;
        int64_t synthetic_d_model;  /* for ATTN_SYNTHETIC_LAYER */
        int64_t synthetic_d_memory; /* likewise; ATTN_AUTO: no memory */
        int32_t synthetic_tensors;  /* attn_synthetic */
    } input;
    struct {
        /* "": none. */
        char y[ATTN_PATH_BYTES], lse[ATTN_PATH_BYTES], report[ATTN_PATH_BYTES];
        char trace[ATTN_PATH_BYTES];
    } output;
    struct {
        int64_t rows;     /* rows to recompute in fp64; 0: none */
        double tolerance; /* max |error| / RMS of the oracle's rows; default: by dtype */
    } verify;

    struct {
        attn_sweep sweep;  /* no axes: one point */
        int32_t mode;      /* attn_bench_mode; ATTN_AUTO: strong where ranks are swept */
        int64_t repeats;   /* timed executions of each point */
        int64_t warmup;    /* executions before the timed one, each time */
        double budget_sec; /* 0: no limit */
        char samples[ATTN_PATH_BYTES]; /* a .csv; "": none */
        int32_t resume;                /* whether to go on with the samples that are there */
    } bench;

    attn_mark marks[ATTN_CONFIG_MAX_KEYS]; /* per row of the key table */
} attn_config;

/* Parses `text` (YAML, or JSON, which YAML includes) of `file`, then each of
 * `sets`, checks every key, and makes paths absolute: inputs start at
 * `input_folder`, outputs at `output_folder` (both absolute).
 *
 * A set is "a.b=value", and the value is YAML. Later ones win over earlier ones and
 * over the file. A mapping ("input.weights={file: w.safetensors}") sets the
 * keys that it names and keeps the section's others, while a word for a section
 * ("attention.mask=causal") replaces all of it; null takes a key, or a
 * whole section, out again, as if the file had left it out. In the file null is an
 * error, and what a --set replaces has to be right too.
 *
 * The report of a run is accepted as well: a document with the keys `version`
 * and `config` at its top stands for its `config`.
 *
 * Strict YAML: UTF-8, one document, no tags, aliases, merge keys or keys with dots.
 *
 * ATTN_ERR_CONFIG with "FILE:LINE:COL: key.path: what is wrong; what would be
 * right" ("--set: key.path: …" for a --set); ATTN_ERR_USAGE for a --set without '='
 * or without a key; ATTN_ERR_MEMORY. After a failure *config is of no use. */
attn_status attn_config_parse(const char *text, size_t bytes, const char *file,
                              const char *const *sets, int set_count, const char *input_folder,
                              const char *output_folder, attn_config *config, attn_error *error);

/* Fails at a key or section: "FILE:LINE:COL: key: message", "--set: key: message",
 * or "FILE: key: message" when the key has its default. For checks that need more
 * than the config. */
attn_status attn_config_fail(const attn_config *config, const char *key, attn_error *error,
                             attn_status status, const char *format, ...) ATTN_PRINTF(5, 6);

/* The config as a JSON object that attn_config_parse reads back to the same;
 * values still ATTN_AUTO are written as "auto" or left out, absent paths are left
 * out. New reference; NULL without memory. */
json_t *attn_config_json(const attn_config *config);

#endif
