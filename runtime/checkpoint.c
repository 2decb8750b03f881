#include "checkpoint.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "memory.h"
#include "names.h"
#include "safetensors.h"

enum { MOST_INDEX_BYTES = 100 * 1000 * 1000 }; /* as the header of a safetensors file */

struct attn_checkpoint {
    char path[ATTN_PATH_BYTES];
    int is_index;
    json_t *tensors;    /* owned: name → shard as the index has it; of one file: its entries */
    json_t *shards;     /* owned: shard → its tensors, of those that were looked into */
    const char **names; /* owned; what it points to is in `tensors` */
    size_t count;
};

static int ends_with(const char *text, const char *suffix) {
    size_t text_bytes = strlen(text), suffix_bytes = strlen(suffix);

    return text_bytes >= suffix_bytes && strcmp(text + text_bytes - suffix_bytes, suffix) == 0;
}

/* Bytes of the folder's path, the slash included. */
static size_t folder_bytes(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

/* Whether a relative path has a part "..". */
static int climbs(const char *path) {
    for (const char *part = path; part != NULL; part = strchr(part, '/')) {
        if (*part == '/') part++;
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0')) return 1;
    }
    return 0;
}

static int has_control_characters(const char *text) {
    for (; *text != '\0'; text++)
        if ((*text > '\0' && *text < ' ') || *text == '\x7f') return 1;
    return 0;
}

/* What is wrong with a shard's path; NULL: nothing. */
static const char *defect_of(const attn_checkpoint *checkpoint, const char *shard) {
    if (shard[0] == '/' || climbs(shard))
        return "a shard must lie in the index's folder or below it";
    if (has_control_characters(shard)) return "a shard's name must have no control characters";
    if (!ends_with(shard, ".safetensors")) return "a shard must be a .safetensors file";
    if (folder_bytes(checkpoint->path) + strlen(shard) >= ATTN_PATH_BYTES)
        return "its path must have less than 4096 bytes";
    return NULL;
}
_Static_assert(ATTN_PATH_BYTES == 4096, "the message above says so");

static attn_status check_places(const attn_checkpoint *checkpoint, attn_error *error) {
    char buffer[2][ATTN_NAME_SHOWN_BYTES];
    const char *name;
    json_t *place;

    json_object_foreach(checkpoint->tensors, name, place) {
        const char *shard = json_string_value(place), *defect;

        if (shard == NULL)
            return attn_fail(error, ATTN_ERR_INPUT,
                             "%s: puts tensor '%s' in no file; must be a string", checkpoint->path,
                             attn_names_show(name, buffer[0]));
        defect = defect_of(checkpoint, shard);
        if (defect != NULL)
            return attn_fail(error, ATTN_ERR_INPUT, "%s: puts tensor '%s' in '%s'; %s",
                             checkpoint->path, attn_names_show(name, buffer[0]),
                             attn_names_show(shard, buffer[1]), defect);
    }
    return attn_ok(error);
}

static attn_status parse_index(attn_checkpoint *checkpoint, const char *text, size_t bytes,
                               attn_error *error) {
    char buffer[ATTN_NAME_SHOWN_BYTES];
    json_error_t reason;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &reason);

    if (root == NULL)
        return attn_fail(error, ATTN_ERR_INPUT, "%s: is no valid JSON, at line %d, column %d: %s",
                         checkpoint->path, reason.line, reason.column,
                         attn_names_show(reason.text, buffer));
    checkpoint->tensors = json_incref(json_object_get(root, "weight_map"));
    json_decref(root);
    if (!json_is_object(checkpoint->tensors))
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: has no object 'weight_map'; must be an index of safetensors files",
                         checkpoint->path);
    return check_places(checkpoint, error);
}

static attn_status read_index(attn_checkpoint *checkpoint, attn_error *error) {
    size_t bytes;
    char *text;

    if (attn_file_read(checkpoint->path, MOST_INDEX_BYTES, &text, &bytes, error) != ATTN_OK)
        return error->status;
    parse_index(checkpoint, text, bytes, error);
    free(text);
    return error->status;
}

static attn_status list_names(attn_checkpoint *checkpoint, attn_error *error) {
    const char *name;
    json_t *place;

    checkpoint->names =
        attn_alloc(json_object_size(checkpoint->tensors), sizeof *checkpoint->names);
    if (checkpoint->names == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "%s: no memory for its names", checkpoint->path);
    json_object_foreach(checkpoint->tensors, name, place) {
        checkpoint->names[checkpoint->count++] = name;
    }
    attn_names_sort(checkpoint->names, checkpoint->count);
    return attn_ok(error);
}

attn_status attn_checkpoint_open(const char *path, attn_checkpoint **checkpoint,
                                 attn_error *error) {
    attn_checkpoint *made = calloc(1, sizeof *made);

    *checkpoint = NULL;
    if (made != NULL) made->shards = json_object();
    if (made == NULL || made->shards == NULL) {
        attn_checkpoint_close(made);
        return attn_fail(error, ATTN_ERR_MEMORY, "%s: no memory to read it", path);
    }
    snprintf(made->path, sizeof made->path, "%s", path);
    made->is_index = ends_with(path, ".json");
    if ((made->is_index ? read_index(made, error)
                        : attn_safetensors_tensors(path, &made->tensors, error)) != ATTN_OK ||
        list_names(made, error) != ATTN_OK) {
        attn_checkpoint_close(made);
        return error->status;
    }
    *checkpoint = made;
    return ATTN_OK;
}

const char *attn_checkpoint_path(const attn_checkpoint *checkpoint) {
    return checkpoint->path;
}

const char *const *attn_checkpoint_names(const attn_checkpoint *checkpoint, size_t *count) {
    *count = checkpoint->count;
    return checkpoint->names;
}

int attn_checkpoint_lists(const attn_checkpoint *checkpoint, const char *name) {
    return json_object_get(checkpoint->tensors, name) != NULL;
}

attn_status attn_checkpoint_has(const attn_checkpoint *checkpoint, const char *name, int *found,
                                attn_error *error) {
    const char *shard;
    json_t *tensors;

    *found = attn_checkpoint_lists(checkpoint, name);
    if (*found) return attn_ok(error);
    json_object_foreach(checkpoint->shards, shard, tensors) {
        char buffer[2][ATTN_NAME_SHOWN_BYTES];

        if (json_object_get(tensors, name) == NULL) continue;
        return attn_fail(
            error, ATTN_ERR_INPUT, "%s: does not list tensor '%s', which '%s' has; must list all",
            checkpoint->path, attn_names_show(name, buffer[0]), attn_names_show(shard, buffer[1]));
    }
    return attn_ok(error);
}

/* The tensors of a shard, read at its first use. Borrowed. */
static attn_status look_into(attn_checkpoint *checkpoint, const char *shard, const char *path,
                             json_t **tensors, attn_error *error) {
    *tensors = json_object_get(checkpoint->shards, shard);
    if (*tensors != NULL) return attn_ok(error);
    if (attn_safetensors_tensors(path, tensors, error) != ATTN_OK) return error->status;
    if (json_object_set_new(checkpoint->shards, shard, *tensors) != 0)
        return attn_fail(error, ATTN_ERR_MEMORY, "no memory for its names");
    return ATTN_OK;
}

static attn_status describe_in_shard(attn_checkpoint *checkpoint, const char *name,
                                     attn_tensor *tensor, attn_error *error) {
    const char *shard = json_string_value(json_object_get(checkpoint->tensors, name));
    char path[2 * ATTN_PATH_BYTES], buffer[2][ATTN_NAME_SHOWN_BYTES];
    json_t *tensors;

    snprintf(path, sizeof path, "%.*s%s", (int)folder_bytes(checkpoint->path), checkpoint->path,
             shard);
    if (look_into(checkpoint, shard, path, &tensors, error) != ATTN_OK) {
        attn_error reason = *error;
        return attn_fail(error, reason.status, "%s: the shard of tensor '%s': %s", checkpoint->path,
                         attn_names_show(name, buffer[0]), reason.message);
    }
    if (json_object_get(tensors, name) == NULL)
        return attn_fail(error, ATTN_ERR_INPUT,
                         "%s: puts tensor '%s' in '%s', which has no such tensor; the index and "
                         "its shards must belong together",
                         checkpoint->path, attn_names_show(name, buffer[0]),
                         attn_names_show(shard, buffer[1]));
    return attn_safetensors_describe(path, name, tensor, error);
}

attn_status attn_checkpoint_describe(attn_checkpoint *checkpoint, const char *name,
                                     attn_tensor *tensor, attn_error *error) {
    char list[ATTN_NAMES_SHOWN_BYTES], buffer[ATTN_NAME_SHOWN_BYTES];

    if (!attn_checkpoint_lists(checkpoint, name))
        return attn_fail(error, ATTN_ERR_INPUT, "%s: has no tensor '%s'; it has %s",
                         checkpoint->path, attn_names_show(name, buffer),
                         attn_names_join(checkpoint->names, checkpoint->count, list));
    if (checkpoint->is_index) return describe_in_shard(checkpoint, name, tensor, error);
    return attn_safetensors_describe(checkpoint->path, name, tensor, error);
}

void attn_checkpoint_close(attn_checkpoint *checkpoint) {
    if (checkpoint == NULL) return;
    json_decref(checkpoint->tensors);
    json_decref(checkpoint->shards);
    free(checkpoint->names);
    free(checkpoint);
}
