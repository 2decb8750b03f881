/* cli_report.h: what the files of the program cli_report share. */
#ifndef ATTN_TESTS_CLI_REPORT_H
#define ATTN_TESTS_CLI_REPORT_H

#include <jansson.h>

#define ATTN_QUICKSTART ATTN_SOURCE_DIR "/configs/quickstart.yaml"

/* Runs to success; the report that is then at `path` in the folder of cli_files.h. *out gets
 * stdout, which the caller frees. `environment` as in command.h. */
json_t *attn_cli_report_of(int ranks, const char *const *arguments, const char *const *environment,
                           const char *path, char **out);

/* cli_report_table.c */
void attn_test_the_table_fits_a_terminal(void);
void attn_test_what_a_node_shares_is_reported(void);
void attn_test_an_mpi_without_windows_is_reported(void);

#endif
