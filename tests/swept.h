/* swept.h: a small sweep of attnspan bench, and its files of samples as the tests look at them, by
 * a reader of their own. Files are in the folder of cli_files.h. */
#ifndef ATTN_TESTS_SWEPT_H
#define ATTN_TESTS_SWEPT_H

#include <stddef.h>

#include "command.h"

/* Two circulations × heads 1 and auto × 1 to 4 ranks; each twice. */
enum { ATTN_SWEPT_RANKS = 4, ATTN_SWEPT_POINTS = 16, ATTN_SWEPT_SAMPLES = 32 };

/* Makes the folder, with the sweep as b.yaml; its outputs are b.json, s.csv and s.jsonl. */
void attn_swept_begin(void);

/* Runs the command and asserts its exit status; shows what it said when it is another. */
void attn_swept_run(int ranks, const char *const *arguments, int expected,
                    attn_command_result *result);

/* The same without its words, and to success. */
void attn_swept_run_quietly(int ranks, const char *const *arguments);

enum { ATTN_SWEPT_MOST_LINES = 512 };

/* A file of lines; in CSV row 0 is the header. */
typedef struct attn_swept_file {
    char *bytes;                      /* owned; NULL: there is no such file */
    char *row[ATTN_SWEPT_MOST_LINES]; /* in it; not ended */
    size_t row_bytes[ATTN_SWEPT_MOST_LINES];
    int rows; /* whole ones */
    size_t whole_bytes, all_bytes;
} attn_swept_file;

attn_swept_file attn_swept_read(const char *name);
void attn_swept_free(attn_swept_file *file);

/* The cell of a column, good until the next call; as a number, NAN: it is empty. */
const char *attn_swept_cell(const attn_swept_file *file, int row, const char *column);
double attn_swept_value(const attn_swept_file *file, int row, const char *column);

/* Whether no two rows have the same point and repeat. */
int attn_swept_has_each_once(const attn_swept_file *file);

#endif
