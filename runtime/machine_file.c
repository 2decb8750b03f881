#include "machine_file.h"

#include <stdio.h>
#include <string.h>

#include "config_fail.h"
#include "config_value.h"
#include "config_yaml.h"
#include "text.h"

/* A number of the file: `unit` of it make one of the field. */
typedef struct machine_key {
    const char *path;
    size_t offset;
    double unit;
    int or_zero;
} machine_key;

#define AT(field) offsetof(attn_machine, field)

static const machine_key keys[] = {
    {"attention.fp32.gflops", AT(attention[ATTN_FP32].flops), 1e9, 0},
    {"attention.fp32.score_ns", AT(attention[ATTN_FP32].score_sec), 1e-9, 1},
    {"attention.fp32.block_ns", AT(attention[ATTN_FP32].block_sec), 1e-9, 1},
    {"attention.fp32.edge_ns", AT(attention[ATTN_FP32].edge_sec), 1e-9, 1},
    {"attention.bf16.gflops", AT(attention[ATTN_BF16].flops), 1e9, 0},
    {"attention.bf16.score_ns", AT(attention[ATTN_BF16].score_sec), 1e-9, 1},
    {"attention.bf16.block_ns", AT(attention[ATTN_BF16].block_sec), 1e-9, 1},
    {"attention.bf16.edge_ns", AT(attention[ATTN_BF16].edge_sec), 1e-9, 1},
    {"gemm_gflops", AT(gemm_flops), 1e9, 0},
    {"copy_gbytes_per_sec", AT(copy_bytes), 1e9, 0},
    {"read_gbytes_per_sec", AT(read_bytes), 1e9, 0},
    {"memory_gib", AT(memory_bytes), 0x1p30, 0},
    {"node.latency_us", AT(node.latency_sec), 1e-6, 1},
    {"node.gbytes_per_sec", AT(node.bytes_per_sec), 1e9, 0},
    {"network.latency_us", AT(network.latency_sec), 1e-6, 1},
    {"network.gbytes_per_sec", AT(network.bytes_per_sec), 1e9, 0},
};

enum { KEYS = sizeof keys / sizeof *keys };
enum { PATH_BYTES = 128 };

static const char cores_path[] = "cores", version_path[] = "version";

/* --- reading ------------------------------------------------------------------ */

typedef struct machine_reader {
    const char *file;
    const attn_config_tree *tree;
    attn_machine *machine;
    attn_error *error;
} machine_reader;

static attn_status fail_unknown(const machine_reader *self, const attn_config_node *node,
                                const char *path) {
    return attn_config_fail_at(
        self->file, node->key_mark, path, self->error, ATTN_ERR_CONFIG,
        "is not a key of a machine; they are "
        "attention.{fp32,bf16}.{gflops,score_ns,block_ns,edge_ns}, gemm_gflops, "
        "copy_gbytes_per_sec, read_gbytes_per_sec, memory_gib, cores and "
        "{node,network}.{latency_us,gbytes_per_sec}");
}

static attn_status read_number(const machine_reader *self, const machine_key *key,
                               const attn_config_node *node) {
    const attn_config_key shown = {.path = key->path, .type = ATTN_CONFIG_NUMBER};
    double value;

    if (attn_config_value_number(self->file, &shown, node, &value, self->error) != ATTN_OK)
        return self->error->status;
    if (value < 0 || (!key->or_zero && !(value > 0)))
        return attn_config_fail_at(self->file, node->mark, key->path, self->error, ATTN_ERR_CONFIG,
                                   "is %s; must be %s",
                                   attn_config_show(node->text, node->text_bytes).text,
                                   key->or_zero ? "0 or more" : "above 0");
    *(double *)(void *)((char *)self->machine + key->offset) = value * key->unit;
    return ATTN_OK;
}

/* The file's version is 1; cores is a field of another type. */
static attn_status read_integer(const machine_reader *self, const char *path, int64_t max,
                                const attn_config_node *node, int64_t *value) {
    const attn_config_key shown = {.path = path, .type = ATTN_CONFIG_INTEGER, .min = 1, .max = max};

    return attn_config_value_integer(self->file, &shown, node, value, self->error);
}

static attn_status read_scalar(const machine_reader *self, const char *path,
                               const attn_config_node *node) {
    int64_t integer;

    for (int i = 0; i < KEYS; i++)
        if (strcmp(keys[i].path, path) == 0) return read_number(self, &keys[i], node);
    if (strcmp(path, version_path) == 0) return read_integer(self, path, 1, node, &integer);
    if (strcmp(path, cores_path) != 0) return fail_unknown(self, node, path);
    if (read_integer(self, path, 1 << 20, node, &integer) == ATTN_OK)
        self->machine->cores = (int32_t)integer;
    return self->error->status;
}

/* Whether some key lies below the path. */
static int is_section(const char *path) {
    size_t bytes = strlen(path);

    for (int i = 0; i < KEYS; i++)
        if (strncmp(keys[i].path, path, bytes) == 0 && keys[i].path[bytes] == '.') return 1;
    return 0;
}

static int is_given_before(const attn_config_node *nodes, size_t parent, size_t index) {
    for (size_t i = parent + 1; i < index; i = nodes[i].end)
        if (strcmp(nodes[i].key, nodes[index].key) == 0) return 1;
    return 0;
}

static attn_status read_section(const machine_reader *self, const char *section, size_t index) {
    const attn_config_node *nodes = self->tree->nodes;

    for (size_t i = index + 1; i < nodes[index].end; i = nodes[i].end) {
        const attn_config_node *node = &nodes[i];
        attn_status status;
        char path[PATH_BYTES];

        snprintf(path, sizeof path, "%s%s%s", section, section[0] == '\0' ? "" : ".",
                 attn_config_show(node->key, node->key_bytes).text);
        if (node->refused != NULL)
            return attn_config_fail_at(self->file, node->mark, path, self->error, ATTN_ERR_CONFIG,
                                       "%s", node->refused);
        if (is_given_before(nodes, index, i))
            return attn_config_fail_at(self->file, node->key_mark, path, self->error,
                                       ATTN_ERR_CONFIG, "is given twice; keep one of the two");
        if (!is_section(path))
            status = read_scalar(self, path, node);
        else if (node->kind == ATTN_CONFIG_MAPPING)
            status = read_section(self, path, i);
        else
            status = attn_config_fail_at(self->file, node->mark, path, self->error, ATTN_ERR_CONFIG,
                                         "is no mapping; must be one of its rates");
        if (status != ATTN_OK) return status;
    }
    return ATTN_OK;
}

attn_status attn_machine_file_parse(const char *text, size_t bytes, const char *file,
                                    attn_machine *machine, attn_error *error) {
    const attn_config_source source = {.file = file};
    attn_config_tree tree;
    const machine_reader self = {file, &tree, machine, error};

    *machine = attn_machine_default();
    attn_ok(error);
    if (attn_config_yaml_read(text, bytes, &source, &tree, error) != ATTN_OK) return error->status;
    if (tree.count == 0 || tree.nodes[0].kind != ATTN_CONFIG_MAPPING)
        attn_config_fail_at(file, (attn_mark){0, 1, 1}, NULL, error, ATTN_ERR_CONFIG,
                            "is no mapping; a machine's file has its rates: see attnspan bench "
                            "--calibrate");
    else
        read_section(&self, "", 0);
    attn_config_yaml_free(&tree);
    return error->status;
}

/* --- writing ------------------------------------------------------------------ */

static void append_link(char *text, size_t bytes, const char *name, const attn_link *link,
                        int is_measured, const char *needs) {
    if (!is_measured) attn_text_append(text, bytes, "# Not measured, which takes %s:\n# ", needs);
    attn_text_append(text, bytes, "%s: {latency_us: %.4g, gbytes_per_sec: %.4g}\n", name,
                     link->latency_sec * 1e6, link->bytes_per_sec * 1e-9);
}

void attn_machine_file_text(const attn_machine *machine, const char *comment, int has_node,
                            int has_network, char *text, size_t bytes) {
    text[0] = '\0';
    attn_text_append(text, bytes, "%sversion: 1\n\n", comment);
    attn_text_append(text, bytes,
                     "# A thread's, with all cores of the node at work. A score takes\n"
                     "# score_ns + 2 (d_k + d_v) / gflops; a query block_ns for each block of "
                     "keys, and edge_ns\n"
                     "# for each end of its keys that the mask cuts off.\nattention:\n");
    for (int storage = 0; storage < ATTN_STORAGES; storage++)
        attn_text_append(text, bytes,
                         "  %s: {gflops: %.5g, score_ns: %.4g, block_ns: %.4g, edge_ns: %.4g}\n",
                         attn_storage_name(storage), machine->attention[storage].flops * 1e-9,
                         machine->attention[storage].score_sec * 1e9,
                         machine->attention[storage].block_sec * 1e9,
                         machine->attention[storage].edge_sec * 1e9);
    attn_text_append(text, bytes, "gemm_gflops: %.5g\ncopy_gbytes_per_sec: %.4g\n\n",
                     machine->gemm_flops * 1e-9, machine->copy_bytes * 1e-9);
    attn_text_append(
        text, bytes, "# A node's.\nread_gbytes_per_sec: %.4g\nmemory_gib: %.5g\ncores: %d\n\n",
        machine->read_bytes * 1e-9, machine->memory_bytes / 0x1p30, (int)machine->cores);
    attn_text_append(text, bytes,
                     "# Messages between two ranks of a node, and from a node to others.\n");
    append_link(text, bytes, "node", &machine->node, has_node, "two ranks on a node");
    append_link(text, bytes, "network", &machine->network, has_network, "two nodes");
}
