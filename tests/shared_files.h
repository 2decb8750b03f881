/* shared_files.h: files of a test on several ranks of one machine. They are in one folder, which
 * all ranks know, and element i of each file is attn_shared_value(i). As in scratch.h, a failure
 * to make them ends the program. */
#ifndef ATTN_TESTS_SHARED_FILES_H
#define ATTN_TESTS_SHARED_FILES_H

#include <stdint.h>

#include "attnspan/status.h"

/* Makes the folder, and removes it with all in it. One at a time. Collective. */
void attn_shared_begin(int *rank, int *ranks);
void attn_shared_end(void);
const char *attn_shared_folder(void);

/* The path of a name in the folder, good until the fourth call after. */
const char *attn_shared_path(const char *name);

/* This rank's share of `elems`: uneven, and nothing for some when there are few. */
void attn_shared_share(int64_t elems, int64_t *first, int64_t *count);

/* Exact in every dtype. */
float attn_shared_value(int64_t i);

/* Writes fp32 as a .npy file. Element `other` is `value`; -1: none is. */
void attn_shared_write_npy(const char *path, int32_t dims, const int64_t *shape, int64_t other,
                           float value);

/* Sets a variable of the environment; NULL: takes it away. */
void attn_shared_set(const char *variable, const char *value);

/* Whether all ranks have the status and message of rank 0. Collective. */
int attn_shared_same_error(const attn_error *error);

#endif
