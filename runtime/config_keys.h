/* config_keys.h: the table of config keys: one row a key or section.
 *
 * Parsing, messages, suggestions and the resolved config all read this table; a
 * new key is one row here and one field of attn_config. Not collective. */
#ifndef ATTN_RUNTIME_CONFIG_KEYS_H
#define ATTN_RUNTIME_CONFIG_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "config.h"

typedef enum attn_config_type {
    ATTN_CONFIG_SECTION,     /* a mapping; field: int32_t, 1 when it is there. With a name(): or a
                                word, which gives the section's first key, a choice, the value of
                                the same index and all others their defaults */
    ATTN_CONFIG_INTEGER,     /* field: int64_t */
    ATTN_CONFIG_NUMBER,      /* above 0, within fp32's range; field: double */
    ATTN_CONFIG_CHOICE,      /* one of some words; field: int32_t */
    ATTN_CONFIG_TEXT,        /* field: char[ATTN_NAME_BYTES] */
    ATTN_CONFIG_INTEGERS,    /* a list of integers; field: attn_integers */
    ATTN_CONFIG_NUMBERS,     /* a list of finite numbers; field: attn_numbers */
    ATTN_CONFIG_INPUT_PATH,  /* field: char[ATTN_PATH_BYTES] */
    ATTN_CONFIG_OUTPUT_PATH, /* field: char[ATTN_PATH_BYTES] */
    ATTN_CONFIG_SWEEP,       /* a mapping of keys to lists; field: attn_sweep */
} attn_config_type;

typedef struct attn_config_key {
    const char *path; /* "attention.heads" */
    const char *help; /* what it is, for messages */
    size_t offset;    /* of the field in attn_config; 0: a section without one */
    attn_config_type type;
    int32_t required;         /* has no default */
    int32_t or_auto;          /* takes the word auto, kept as ATTN_AUTO */
    int32_t or_path;          /* of a list: or a file that has it */
    int64_t min, max;         /* of an integer, and of those of a list */
    int64_t fewest, most;     /* elements of a list */
    const char *(*name)(int); /* of a choice or section: word of an index, NULL past the last */
    int64_t fallback;         /* default of an integer or choice */
    double number_fallback;   /* default of a number; 0: worked out later */
} attn_config_key;

/* Rows in the order of the resolved config; a section comes right before its keys.
 * Row i has config->marks[i]. Static storage. */
const attn_config_key *attn_config_keys(int32_t *count);

/* Row of that path, or -1. */
int32_t attn_config_key_find(const char *path);

/* Whether `key` is in the section of that path, at any depth; all are in "". */
int attn_config_key_in(const attn_config_key *key, const char *section);

/* "heads" of "attention.heads". */
const char *attn_config_key_last(const char *path);

/* The key's field. */
void *attn_config_key_field(attn_config *config, const attn_config_key *key);
const void *attn_config_key_field_const(const attn_config *config, const attn_config_key *key);

/* Sets the field to its default and forgets where it came from; for a section,
 * all keys in it too. */
void attn_config_key_reset(attn_config *config, int32_t row);

/* Whether a key that is no section has its default. */
int attn_config_key_is_default(const attn_config *config, const attn_config_key *key);

/* What a value of the key has to be: "an integer from 1 to 65536", "a mapping of
 * file, scheme". For messages: a text that does not fit is cut. */
void attn_config_key_expected(const attn_config_key *key, char *text, size_t bytes);

/* The keys directly in a section: "file, scheme"; of "": the sections. */
void attn_config_key_list(const char *section, char *text, size_t bytes);

#endif
