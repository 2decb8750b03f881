#include "swept.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli_files.h"
#include "harness.h"
#include "scratch.h"

enum { MOST_CELLS = 64, CELL_BYTES = 256 };

static const char config[] =
    "attention: {heads: 3, head_dim: 16, mask: {causal: true, window: [190, 0]}}\n"
    "sequence: {length: 200}\n"
    "input: {synthetic: {seed: 3, tensors: qkv}}\n"
    "output: {report: b.json}\n"
    "bench:\n"
    "  repeats: 2\n"
    "  samples: s.csv\n"
    "  sweep:\n"
    "    parallel.circulate: [ring, gather]\n"
    "    parallel.heads: [1, auto]\n"
    "    ranks: [1, 2, 3, 4]\n";

void attn_swept_begin(void) {
    attn_cli_begin();
    attn_cli_write_text("b.yaml", config);
}

void attn_swept_run(int ranks, const char *const *arguments, int expected,
                    attn_command_result *result) {
    const attn_command_request request = {
        .ranks = ranks, .arguments = arguments, .folder = attn_cli_folder(), .limit_sec = 60};

    attn_command_run(&request, result);
    CU_ASSERT_EQUAL(result->exit_status, expected);
    if (result->exit_status != expected) fprintf(stderr, "\n%s\n%s\n", result->out, result->err);
}

void attn_swept_run_quietly(int ranks, const char *const *arguments) {
    attn_command_result result;

    attn_swept_run(ranks, arguments, 0, &result);
    attn_command_free(&result);
}

attn_swept_file attn_swept_read(const char *name) {
    attn_swept_file file = {0};

    file.bytes = attn_scratch_read(attn_cli_path(name), &file.all_bytes);
    for (size_t i = 0, first = 0; file.bytes != NULL && i < file.all_bytes; i++) {
        if (file.bytes[i] != '\n' || file.rows == ATTN_SWEPT_MOST_LINES) continue;
        file.row[file.rows] = file.bytes + first;
        file.row_bytes[file.rows++] = i - first;
        first = file.whole_bytes = i + 1;
    }
    return file;
}

void attn_swept_free(attn_swept_file *file) {
    free(file->bytes);
    file->bytes = NULL;
}

/* Cells of a row, without their quotes; returns how many. */
static int cells_of(const attn_swept_file *file, int row, char cells[MOST_CELLS][CELL_BYTES]) {
    const char *at = file->row[row], *end = at + file->row_bytes[row];
    int count = 0, is_quoted = 0;
    size_t used = 0;

    for (; at < end; at++) {
        if (*at == '"') {
            is_quoted = !is_quoted;
        } else if (*at == ',' && !is_quoted) {
            cells[count++][used] = '\0';
            used = 0;
        } else {
            cells[count][used++] = *at;
        }
    }
    cells[count++][used] = '\0';
    return count;
}

const char *attn_swept_cell(const attn_swept_file *file, int row, const char *column) {
    static char header[MOST_CELLS][CELL_BYTES], cells[MOST_CELLS][CELL_BYTES];
    int count = cells_of(file, 0, header);

    CU_ASSERT_EQUAL(cells_of(file, row, cells), count);
    for (int i = 0; i < count; i++)
        if (strcmp(header[i], column) == 0) return cells[i];
    CU_FAIL("there is no such column");
    return "";
}

double attn_swept_value(const attn_swept_file *file, int row, const char *column) {
    const char *found = attn_swept_cell(file, row, column);

    return found[0] == '\0' ? NAN : atof(found);
}

int attn_swept_has_each_once(const attn_swept_file *file) {
    for (int a = 1; a < file->rows; a++)
        for (int b = 1; b < a; b++)
            if (attn_swept_value(file, a, "point") == attn_swept_value(file, b, "point") &&
                attn_swept_value(file, a, "repeat") == attn_swept_value(file, b, "repeat"))
                return 0;
    return 1;
}
