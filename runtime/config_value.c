#include "config_value.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_fail.h"
#include "config_suggest.h"

enum { EXPECTED_BYTES = 320 };

/* X(type, how a message names a value of it). */
#define VALUE_LIST(X)                      \
    X(VALUE_NULL, "null")                  \
    X(VALUE_BOOLEAN, "the boolean")        \
    X(VALUE_INTEGER, "the integer")        \
    X(VALUE_FLOAT, "the float")            \
    X(VALUE_NOT_FINITE, "the float")       \
    X(VALUE_OTHER_BASE, "the odd integer") \
    X(VALUE_STRING, "the string")

typedef enum attn_config_value_type {
#define VALUE_ENUM(type, words) type,
    VALUE_LIST(VALUE_ENUM)
#undef VALUE_ENUM
} attn_config_value_type;

static const char *const value_words[] = {
#define VALUE_WORDS(type, words) words,
    VALUE_LIST(VALUE_WORDS)
#undef VALUE_WORDS
};

static int is_one_of(const char *text, const char *const *words) {
    for (; *words != NULL; words++)
        if (strcmp(text, *words) == 0) return 1;
    return 0;
}

static size_t digits(const char *text) {
    return strspn(text, "0123456789");
}

static const char *skip_sign(const char *text) {
    return *text == '-' || *text == '+' ? text + 1 : text;
}

/* digits [. digits] [e digits], with digits on at least one side of the point. */
static int is_float(const char *text) {
    const char *at = skip_sign(text);
    size_t mantissa_digits = digits(at);

    at += mantissa_digits;
    if (*at == '.') {
        mantissa_digits += digits(at + 1);
        at += 1 + digits(at + 1);
    }
    if (mantissa_digits == 0) return 0;
    if (*at == 'e' || *at == 'E') {
        at = skip_sign(at + 1);
        if (digits(at) == 0) return 0;
        at += digits(at);
    }
    return *at == '\0';
}

/* 0x10, 0o10, 0b10 and 010: readers of YAML 1.1 and 1.2 disagree on these. */
static int is_other_base(const char *text) {
    const char *at = skip_sign(text);
    const char *allowed = "0123456789";

    if (at[0] != '0' || at[1] == '\0') return 0;
    if (at[1] == 'x') allowed = "0123456789abcdefABCDEF";
    at += strchr("xob", at[1]) == NULL ? 1 : 2;
    return *at != '\0' && at[strspn(at, allowed)] == '\0';
}

/* The type of a scalar by YAML's core schema. */
static attn_config_value_type value_type(const attn_config_node *node) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
    static const char *const not_finite[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
    const char *text = node->text, *unsigned_text;

    /* A NUL inside ends the C string early, so it would hide what follows. */
    if (!node->plain || strlen(text) != node->text_bytes) return VALUE_STRING;
    unsigned_text = skip_sign(text);
    if (is_one_of(text, nulls)) return VALUE_NULL;
    if (is_one_of(text, booleans)) return VALUE_BOOLEAN;
    if (is_one_of(unsigned_text, not_finite)) return VALUE_NOT_FINITE;
    if (digits(unsigned_text) > 0 && unsigned_text[digits(unsigned_text)] == '\0' &&
        (unsigned_text[0] != '0' || unsigned_text[1] == '\0'))
        return VALUE_INTEGER;
    if (is_other_base(text)) return VALUE_OTHER_BASE;
    if (is_float(text)) return VALUE_FLOAT;
    return VALUE_STRING;
}

int attn_config_value_is_null(const attn_config_node *node) {
    return node->kind == ATTN_CONFIG_SCALAR && node->text != NULL && value_type(node) == VALUE_NULL;
}

json_t *attn_config_value_json(const attn_config_node *node) {
    if (value_type(node) == VALUE_INTEGER) return json_integer(strtoll(node->text, NULL, 10));
    if (value_type(node) == VALUE_BOOLEAN)
        return json_boolean(node->text[0] == 't' || node->text[0] == 'T');
    return json_string(node->text);
}

/* What to add to "must be …" when the value looks right but is not. */
static const char *hint(const attn_config_key *key, const attn_config_node *node) {
    attn_config_node unquoted = *node;

    switch (key->type) {
        case ATTN_CONFIG_INTEGER:
        case ATTN_CONFIG_INTEGERS:
        case ATTN_CONFIG_NUMBER:
        case ATTN_CONFIG_NUMBERS:
            unquoted.plain = 1;
            if (value_type(node) == VALUE_OTHER_BASE) return ", decimal, without leading zeros";
            if (!node->plain && value_type(&unquoted) == VALUE_INTEGER) return ", without quotes";
            if (!node->plain && value_type(&unquoted) == VALUE_FLOAT) return ", without quotes";
            return "";
        case ATTN_CONFIG_TEXT:
        case ATTN_CONFIG_INPUT_PATH:
        case ATTN_CONFIG_OUTPUT_PATH:
            return ", in quotes if it looks like something else";
        default:
            return "";
    }
}

attn_status attn_config_value_fail(const char *file, const attn_config_key *key,
                                   const attn_config_node *node, attn_error *error) {
    char expected[EXPECTED_BYTES];

    attn_config_key_expected(key, expected, sizeof expected);
    if (node->kind != ATTN_CONFIG_SCALAR)
        return attn_config_fail_at(
            file, node->mark, key->path, error, ATTN_ERR_CONFIG, "is a %s; must be %s",
            node->kind == ATTN_CONFIG_MAPPING ? "mapping" : "sequence", expected);
    return attn_config_fail_at(file, node->mark, key->path, error, ATTN_ERR_CONFIG,
                               "is %s '%s'; must be %s%s", value_words[value_type(node)],
                               attn_config_show(node->text, node->text_bytes).text, expected,
                               hint(key, node));
}

/* Fails because the value is of the right type but not allowed. */
static attn_status fail_range(const char *file, const attn_config_key *key,
                              const attn_config_node *node, attn_error *error) {
    char expected[EXPECTED_BYTES];

    attn_config_key_expected(key, expected, sizeof expected);
    return attn_config_fail_at(file, node->mark, key->path, error, ATTN_ERR_CONFIG,
                               "is %s; must be %s",
                               attn_config_show(node->text, node->text_bytes).text, expected);
}

attn_status attn_config_value_integer(const char *file, const attn_config_key *key,
                                      const attn_config_node *node, int64_t *integer,
                                      attn_error *error) {
    const char *digit;
    int64_t value = 0;

    if (node->kind != ATTN_CONFIG_SCALAR) return attn_config_value_fail(file, key, node, error);
    digit = skip_sign(node->text);
    if (value_type(node) != VALUE_INTEGER) return attn_config_value_fail(file, key, node, error);
    /* No key goes beyond 2^53: stop above that, long before int64_t is full. */
    for (; *digit != '\0' && value <= (int64_t)1 << 54; digit++)
        value = 10 * value + (*digit - '0');
    if (node->text[0] == '-') value = -value;
    if (value < key->min || value > key->max) return fail_range(file, key, node, error);
    *integer = value;
    return ATTN_OK;
}

attn_status attn_config_value_number(const char *file, const attn_config_key *key,
                                     const attn_config_node *node, double *number,
                                     attn_error *error) {
    attn_config_value_type type;
    double value;

    if (node->kind != ATTN_CONFIG_SCALAR) return attn_config_value_fail(file, key, node, error);
    type = value_type(node);
    if (type == VALUE_NOT_FINITE) return fail_range(file, key, node, error);
    if (type != VALUE_INTEGER && type != VALUE_FLOAT)
        return attn_config_value_fail(file, key, node, error);
    value = strtod(node->text, NULL);
    if (!(value >= -(double)FLT_MAX && value <= (double)FLT_MAX))
        return fail_range(file, key, node, error);
    *number = value;
    return ATTN_OK;
}

static attn_status set_number(attn_config *config, const attn_config_key *key,
                              const attn_config_node *node, attn_error *error) {
    const attn_config_value_type type = value_type(node);
    double value;

    if (type == VALUE_NOT_FINITE) return fail_range(config->file, key, node, error);
    if (type != VALUE_INTEGER && type != VALUE_FLOAT)
        return attn_config_value_fail(config->file, key, node, error);
    value = strtod(node->text, NULL);
    if (!(value >= (double)FLT_MIN && value <= (double)FLT_MAX))
        return fail_range(config->file, key, node, error);
    *(double *)attn_config_key_field(config, key) = value;
    return ATTN_OK;
}

/* The index of the node's word among those of `key`. */
static attn_status read_word(const attn_config *config, const attn_config_key *key,
                             const attn_config_node *node, int32_t *index, attn_error *error) {
    const attn_config_shown word = attn_config_show(node->text, node->text_bytes);
    const char *nearest;
    char expected[EXPECTED_BYTES];

    for (int i = 0; key->name(i) != NULL; i++) {
        if (strcmp(key->name(i), word.text) != 0) continue;
        *index = i;
        return ATTN_OK;
    }
    nearest = attn_config_suggest_choice(key, word.text);
    attn_config_key_expected(key, expected, sizeof expected);
    return attn_config_fail_at(config->file, node->mark, key->path, error, ATTN_ERR_CONFIG,
                               "is '%s'; must be %s%s%s%s", word.text, expected,
                               nearest == NULL ? "" : " (did you mean ",
                               nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?)");
}

/* Decodes one UTF-8 character; returns its bytes, 0 when it is none. */
static size_t decode(const unsigned char *text, uint32_t *character) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = 1;

    if (text[0] >= 0xC0) bytes = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : 2;
    if (text[0] >= 0xF8 || (bytes == 1 && text[0] >= 0x80)) return 0;
    *character = bytes == 1 ? text[0] : text[0] & (0x7Fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xC0) != 0x80) return 0;
        *character = *character << 6 | (text[i] & 0x3Fu);
    }
    if (*character < least[bytes] || *character > 0x10FFFF) return 0;
    return *character >= 0xD800 && *character < 0xE000 ? 0 : bytes;
}

/* Whether a text can stand in a report that is read again: UTF-8, no control
 * characters, no line separators, nothing that YAML forbids. */
static int is_printable(const char *path) {
    const unsigned char *at = (const unsigned char *)path;

    while (*at != '\0') {
        uint32_t character;
        const size_t bytes = decode(at, &character);

        if (bytes == 0) return 0;
        if (character < 0x20 || (character >= 0x7F && character < 0xA0)) return 0;
        if (character == 0x2028 || character == 0x2029) return 0;
        if (character == 0xFEFF || character == 0xFFFE || character == 0xFFFF) return 0;
        at += bytes;
    }
    return 1;
}

static attn_status set_text(attn_config *config, const attn_config_key *key,
                            const attn_config_node *node, attn_error *error) {
    char *text = attn_config_key_field(config, key);

    if (value_type(node) != VALUE_STRING)
        return attn_config_value_fail(config->file, key, node, error);
    if (node->text_bytes >= ATTN_NAME_BYTES) return fail_range(config->file, key, node, error);
    if (strlen(node->text) != node->text_bytes || !is_printable(node->text))
        return attn_config_fail_at(config->file, node->mark, key->path, error, ATTN_ERR_CONFIG,
                                   "is '%s', with a control character; must have none",
                                   attn_config_show(node->text, node->text_bytes).text);
    memset(text, 0, ATTN_NAME_BYTES);
    memcpy(text, node->text, node->text_bytes);
    return ATTN_OK;
}

attn_status attn_config_value_path(const attn_config *config, const attn_config_key *key,
                                   const attn_config_node *node, const char *folder, char *path,
                                   attn_error *error) {
    const int is_absolute = node->text[0] == '/';
    const size_t folder_bytes = is_absolute ? 0 : strlen(folder);
    const int needs_slash = folder_bytes > 0 && folder[folder_bytes - 1] != '/';
    const size_t bytes = folder_bytes + (size_t)needs_slash + node->text_bytes;

    if (value_type(node) != VALUE_STRING)
        return attn_config_value_fail(config->file, key, node, error);
    if (node->text_bytes == 0)
        return attn_config_fail_at(config->file, node->mark, key->path, error, ATTN_ERR_CONFIG,
                                   "is empty; must be a path, or left out");
    if (bytes >= ATTN_PATH_BYTES)
        return attn_config_fail_at(config->file, node->mark, key->path, error, ATTN_ERR_CONFIG,
                                   "is %zu bytes long with its folder; must be at most %d", bytes,
                                   ATTN_PATH_BYTES - 1);
    memset(path, 0, ATTN_PATH_BYTES);
    snprintf(path, ATTN_PATH_BYTES, "%s%s%s", is_absolute ? "" : folder, needs_slash ? "/" : "",
             node->text);
    if (strlen(path) != bytes || !is_printable(path))
        return attn_config_fail_at(
            config->file, node->mark, key->path, error, ATTN_ERR_CONFIG,
            "is '%s', with a control character or not UTF-8 (its folder included); rename it",
            attn_config_show(path, strlen(path)).text);
    return ATTN_OK;
}

/* Whether the section takes the word, which may look like a boolean. */
static int takes_word(const attn_config_key *section, const attn_config_node *node) {
    if (value_type(node) == VALUE_STRING) return 1;
    for (int i = 0; value_type(node) == VALUE_BOOLEAN && section->name(i) != NULL; i++)
        if (strcmp(section->name(i), node->text) == 0) return 1;
    return 0;
}

attn_status attn_config_value_set_word(attn_config *config, const attn_config_key *section,
                                       const attn_config_key *first, const attn_config_node *node,
                                       attn_error *error) {
    if (node->kind != ATTN_CONFIG_SCALAR || section->name == NULL || !takes_word(section, node))
        return attn_config_value_fail(config->file, section, node, error);
    return read_word(config, section, node, attn_config_key_field(config, first), error);
}

attn_status attn_config_value_set(attn_config *config, const attn_config_key *key,
                                  const attn_config_node *node, const char *folder,
                                  attn_error *error) {
    if (node->kind != ATTN_CONFIG_SCALAR)
        return attn_config_value_fail(config->file, key, node, error);
    if (key->or_auto && strcmp(node->text, "auto") == 0) {
        if (key->type == ATTN_CONFIG_CHOICE)
            *(int32_t *)attn_config_key_field(config, key) = ATTN_AUTO;
        else
            *(int64_t *)attn_config_key_field(config, key) = ATTN_AUTO;
        return ATTN_OK;
    }
    switch (key->type) {
        case ATTN_CONFIG_INTEGER:
            return attn_config_value_integer(config->file, key, node,
                                             attn_config_key_field(config, key), error);
        case ATTN_CONFIG_NUMBER:
            return set_number(config, key, node, error);
        case ATTN_CONFIG_CHOICE:
            return read_word(config, key, node, attn_config_key_field(config, key), error);
        case ATTN_CONFIG_TEXT:
            return set_text(config, key, node, error);
        default:
            return attn_config_value_path(config, key, node, folder,
                                          attn_config_key_field(config, key), error);
    }
}
