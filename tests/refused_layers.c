#include "refused_layers.h"

#include <stdio.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"

enum { ROWS = 50, MODEL = ATTN_REFUSED_MODEL, INNER = ATTN_REFUSED_INNER };

void attn_refused_layer_write(const char *name, int scheme, const attn_stored_layer *from,
                              const char *added, size_t dropped) {
    attn_stored_tensors list = {0};

    attn_stored_append_layer(&list, scheme, "", from);
    if (added != NULL) attn_stored_append(&list, "", added, 4, 0);
    attn_cli_write_tensors(attn_cli_path(name), list.tensors, list.count - dropped);
    attn_stored_free(&list);
}

void attn_refused_layers_begin(attn_stored_layer *good) {
    static float x[ROWS * MODEL];
    attn_stored_tensors list = {0};

    attn_stored_layer_make(MODEL, INNER, INNER, 0, good);
    attn_cli_write_floats(attn_cli_path("x.npy"), 2, (const int64_t[]){ROWS, MODEL}, x);
    attn_cli_write_text("bad.yaml",
                        "attention: {heads: 3}\n"
                        "input:\n"
                        "  x: x.npy\n"
                        "  weights: {file: both.safetensors, scheme: llama}\n"
                        "output: {y: y.npy}\n");
    for (int i = 0; i < 2; i++)
        attn_stored_append_layer(&list, ATTN_AS_LLAMA, attn_stored_prefix(ATTN_AS_LLAMA, i), good);
    attn_stored_write("both.safetensors", ATTN_DTYPE_F32, &list);
    attn_stored_free(&list);
    attn_refused_layer_write("llama.safetensors", ATTN_AS_LLAMA, good, NULL, 0);
}

static void expect_on(const attn_refusal *row, int ranks) {
    const attn_command_request request = {
        .ranks = ranks,
        .arguments = ATTN_ARGUMENTS("run", "bad.yaml", "--output-dir", "out", "--set", row->set),
        .folder = attn_cli_folder(),
    };
    attn_command_result result;
    char message[2048] = "";
    int held;

    attn_command_run(&request, &result);
    held = !result.timed_out && result.exit_status == 2 &&
           attn_command_errors(&result, message, sizeof message) == 1 &&
           strncmp(message, row->place, strlen(row->place)) == 0 &&
           strstr(message, row->message) != NULL && attn_cli_files_below(attn_cli_path("out")) == 0;
    CU_ASSERT(held);
    if (!held)
        fprintf(stderr, "\n%s, %d ranks: exit status %d, stderr:\n%s\n", row->name, ranks,
                result.exit_status, result.err);
    attn_command_free(&result);
}

void attn_refused_layers_expect(const attn_refusal *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        expect_on(&rows[i], 0);
        if (rows[i].on_ranks) expect_on(&rows[i], 3);
    }
}
