#include "config_yaml.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "config_fail.h"

/* A config is four levels deep, a report a few more; this bounds the stack. */
enum { MOST_LEVELS = 32 };

typedef struct attn_config_reader {
    yaml_parser_t parser;
    const char *text; /* borrowed */
    size_t bytes;
    const attn_config_source *source; /* borrowed */
    attn_config_tree *tree;           /* borrowed */
    attn_error *error;                /* borrowed */
} attn_config_reader;

static int32_t clamp(size_t count) {
    return count < INT32_MAX ? (int32_t)count : INT32_MAX;
}

static attn_mark mark_of(const attn_config_reader *reader, yaml_mark_t mark) {
    return (attn_mark){reader->source->set, clamp(mark.line + 1), clamp(mark.column + 1)};
}

/* libyaml gives a byte offset, not a line, for bytes that are no characters. */
static attn_mark mark_of_offset(const attn_config_reader *reader, size_t offset) {
    size_t line = 1, column = 1;

    for (size_t i = 0; i < offset && i < reader->bytes; i++) {
        if (reader->text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)reader->text[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    return (attn_mark){reader->source->set, clamp(line), clamp(column)};
}

static attn_status fail(const attn_config_reader *reader, attn_mark mark, const char *message) {
    return attn_config_fail_at(reader->source->file, mark, reader->source->key, reader->error,
                               ATTN_ERR_CONFIG, "%s", message);
}

static attn_status fail_memory(const attn_config_reader *reader) {
    return attn_fail(reader->error, ATTN_ERR_MEMORY, "%s: no memory to parse %zu bytes",
                     reader->source->file, reader->bytes);
}

static attn_status fail_syntax(const attn_config_reader *reader) {
    const yaml_parser_t *parser = &reader->parser;
    const char *file = reader->source->file, *key = reader->source->key;

    if (parser->error == YAML_MEMORY_ERROR) return fail_memory(reader);
    if (parser->error == YAML_READER_ERROR)
        return attn_config_fail_at(file, mark_of_offset(reader, parser->problem_offset), key,
                                   reader->error, ATTN_ERR_CONFIG,
                                   "is not text: %s; write it in UTF-8, without control characters",
                                   parser->problem);
    if (parser->context != NULL)
        return attn_config_fail_at(
            file, mark_of(reader, parser->problem_mark), key, reader->error, ATTN_ERR_CONFIG,
            "is not YAML: %s (%s from line %d on); check the indentation (spaces, no tabs), "
            "colons and quotes",
            parser->problem, parser->context, (int)clamp(parser->context_mark.line + 1));
    return attn_config_fail_at(
        file, mark_of(reader, parser->problem_mark), key, reader->error, ATTN_ERR_CONFIG,
        "is not YAML: %s; check the indentation (spaces, no tabs), colons and quotes",
        parser->problem);
}

/* On success the caller deletes *event. */
static attn_status next_event(attn_config_reader *reader, yaml_event_t *event) {
    return yaml_parser_parse(&reader->parser, event) ? ATTN_OK : fail_syntax(reader);
}

/* A copy with a NUL behind it; NULL without memory. */
static char *copy_text(const yaml_event_t *scalar) {
    const size_t bytes = scalar->data.scalar.length;
    char *copy = malloc(bytes + 1);

    if (copy == NULL) return NULL;
    memcpy(copy, scalar->data.scalar.value, bytes);
    copy[bytes] = '\0';
    return copy;
}

static attn_status add_node(attn_config_reader *reader, size_t *index) {
    attn_config_tree *tree = reader->tree;

    if (tree->count == tree->capacity) {
        const size_t capacity = tree->capacity == 0 ? 64 : 2 * tree->capacity;
        attn_config_node *nodes = realloc(tree->nodes, capacity * sizeof *nodes);

        if (nodes == NULL) return fail_memory(reader);
        tree->nodes = nodes;
        tree->capacity = capacity;
    }
    *index = tree->count++;
    memset(&tree->nodes[*index], 0, sizeof *tree->nodes);
    return ATTN_OK;
}

static attn_status add_entry(attn_config_reader *reader, const yaml_event_t *key, size_t *index) {
    attn_config_node *node;

    if (key->type != YAML_SCALAR_EVENT)
        return fail(reader, mark_of(reader, key->start_mark),
                    "has a key that is not a word; write KEY: VALUE");
    if (add_node(reader, index) != ATTN_OK) return reader->error->status;
    node = &reader->tree->nodes[*index];
    node->key = copy_text(key);
    node->key_bytes = key->data.scalar.length;
    node->key_mark = mark_of(reader, key->start_mark);
    return node->key == NULL ? fail_memory(reader) : ATTN_OK;
}

static attn_status read_value(attn_config_reader *reader, const yaml_event_t *event, size_t index,
                              int level);

/* Reads the entries of a mapping whose start has been read. */
static attn_status read_mapping(attn_config_reader *reader, int level) {
    attn_status status = ATTN_OK;

    while (status == ATTN_OK) {
        yaml_event_t event;
        size_t index;
        int at_end;

        if (next_event(reader, &event) != ATTN_OK) return reader->error->status;
        at_end = event.type == YAML_MAPPING_END_EVENT;
        if (!at_end) status = add_entry(reader, &event, &index);
        yaml_event_delete(&event);
        if (at_end || status != ATTN_OK) break;
        if (next_event(reader, &event) != ATTN_OK) return reader->error->status;
        status = read_value(reader, &event, index, level);
        yaml_event_delete(&event);
    }
    return status;
}

/* Reads the elements of a sequence whose start has been read. */
static attn_status read_sequence(attn_config_reader *reader, int level) {
    attn_status status = ATTN_OK;

    while (status == ATTN_OK) {
        yaml_event_t event;
        size_t index;
        int at_end;

        if (next_event(reader, &event) != ATTN_OK) return reader->error->status;
        at_end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!at_end) status = add_node(reader, &index);
        if (!at_end && status == ATTN_OK) status = read_value(reader, &event, index, level);
        yaml_event_delete(&event);
        if (at_end) break;
    }
    return status;
}

/* What the node has of the event itself; the node's entries come later. */
static attn_status describe_node(attn_config_reader *reader, const yaml_event_t *event,
                                 attn_config_node *node) {
    const yaml_char_t *tag = NULL;

    node->mark = mark_of(reader, event->start_mark);
    if (node->key == NULL) node->key_mark = node->mark;
    if (event->type == YAML_ALIAS_EVENT) {
        node->refused = "is an alias; write the value itself";
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        node->kind = ATTN_CONFIG_SEQUENCE;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        node->kind = ATTN_CONFIG_MAPPING;
        tag = event->data.mapping_start.tag;
    } else {
        assert(event->type == YAML_SCALAR_EVENT);
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        tag = event->data.scalar.tag;
        node->text_bytes = event->data.scalar.length;
        node->text = copy_text(event);
        if (node->text == NULL) return fail_memory(reader);
    }
    if (tag != NULL) node->refused = "has a tag; write the value alone";
    return ATTN_OK;
}

/* Reads the value of node `index`, whose first event is `event`. */
static attn_status read_value(attn_config_reader *reader, const yaml_event_t *event, size_t index,
                              int level) {
    const attn_mark mark = mark_of(reader, event->start_mark);
    attn_status status;

    if (level > MOST_LEVELS)
        return fail(reader, mark, "is nested too deeply; a config has four levels");
    status = describe_node(reader, event, &reader->tree->nodes[index]);
    if (status == ATTN_OK && event->type == YAML_SEQUENCE_START_EVENT)
        status = read_sequence(reader, level + 1);
    if (status == ATTN_OK && event->type == YAML_MAPPING_START_EVENT)
        status = read_mapping(reader, level + 1);
    reader->tree->nodes[index].end = reader->tree->count;
    return status;
}

/* Start of the stream, one document or none, end of the stream. */
static attn_status read_stream(attn_config_reader *reader) {
    attn_status status = ATTN_OK;
    int documents = 0;

    for (int at_end = 0; status == ATTN_OK && !at_end;) {
        yaml_event_t event;
        size_t index;

        if (next_event(reader, &event) != ATTN_OK) return reader->error->status;
        at_end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT) {
            if (documents++ > 0)
                status = fail(reader, mark_of(reader, event.start_mark),
                              "starts a second document; write one document");
        } else if (!at_end && event.type != YAML_STREAM_START_EVENT &&
                   event.type != YAML_DOCUMENT_END_EVENT) {
            status = add_node(reader, &index);
            if (status == ATTN_OK) status = read_value(reader, &event, index, 1);
        }
        yaml_event_delete(&event);
    }
    return status;
}

attn_status attn_config_yaml_read(const char *text, size_t bytes, const attn_config_source *source,
                                  attn_config_tree *tree, attn_error *error) {
    static const char byte_order_mark[] = "\xef\xbb\xbf"; /* some editors put it first */
    const size_t mark_bytes = sizeof byte_order_mark - 1;
    const int is_marked = bytes >= mark_bytes && memcmp(text, byte_order_mark, mark_bytes) == 0;
    attn_config_reader reader = {.source = source, .tree = tree, .error = error};
    attn_status status;

    memset(tree, 0, sizeof *tree);
    reader.text = is_marked ? text + mark_bytes : text;
    reader.bytes = is_marked ? bytes - mark_bytes : bytes;
    if (!yaml_parser_initialize(&reader.parser)) return fail_memory(&reader);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)reader.text, reader.bytes);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    status = read_stream(&reader);
    yaml_parser_delete(&reader.parser);
    if (status != ATTN_OK) attn_config_yaml_free(tree);
    return status;
}

/* Appends to the text; false when it does not fit. */
static int append(char *text, size_t bytes, const char *more) {
    const size_t used = strlen(text), length = strlen(more);

    if (length >= bytes - used) return 0;
    memcpy(text + used, more, length + 1);
    return 1;
}

static int append_node(const attn_config_tree *tree, size_t index, char *text, size_t bytes) {
    static const char *const open[] = {[ATTN_CONFIG_MAPPING] = "{", [ATTN_CONFIG_SEQUENCE] = "["};
    static const char *const close[] = {[ATTN_CONFIG_MAPPING] = "}", [ATTN_CONFIG_SEQUENCE] = "]"};
    const attn_config_node *node = &tree->nodes[index];

    if (node->kind == ATTN_CONFIG_SCALAR)
        return strpbrk(node->text, ",:[]{}#&*!|>'\"%@`?\n") == NULL &&
               append(text, bytes, node->text);
    if (!append(text, bytes, open[node->kind])) return 0;
    for (size_t i = index + 1; i < node->end; i = tree->nodes[i].end) {
        if (i > index + 1 && !append(text, bytes, ", ")) return 0;
        if (node->kind == ATTN_CONFIG_MAPPING &&
            (!append(text, bytes, tree->nodes[i].key) || !append(text, bytes, ": ")))
            return 0;
        if (!append_node(tree, i, text, bytes)) return 0;
    }
    return append(text, bytes, close[node->kind]);
}

int attn_config_yaml_text(const attn_config_tree *tree, size_t index, char *text, size_t bytes) {
    text[0] = '\0';
    if (tree->nodes[index].kind == ATTN_CONFIG_SCALAR)
        return append(text, bytes, tree->nodes[index].text);
    return append_node(tree, index, text, bytes);
}

void attn_config_yaml_free(attn_config_tree *tree) {
    for (size_t i = 0; i < tree->count; i++) {
        free(tree->nodes[i].key);
        free(tree->nodes[i].text);
    }
    free(tree->nodes);
    memset(tree, 0, sizeof *tree);
}
