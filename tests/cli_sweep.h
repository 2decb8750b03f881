/* cli_sweep.h: the tests of the program cli_sweep that are in cli_sweep_resume.c. */
#ifndef ATTN_TESTS_CLI_SWEEP_H
#define ATTN_TESTS_CLI_SWEEP_H

void attn_test_a_sweep_that_failed_goes_on(void);
void attn_test_a_killed_sweep_goes_on(void);
void attn_test_a_budget_keeps_what_is_there(void);
void attn_test_samples_of_another_sweep_are_refused(void);
void attn_test_lines_that_are_no_samples_are_refused(void);

#endif
