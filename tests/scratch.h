/* scratch.h: a folder for a test's files. A failure ends the program: without its
 * files a test says nothing. */
#ifndef ATTN_TESTS_SCRATCH_H
#define ATTN_TESTS_SCRATCH_H

#include <stddef.h>

enum { ATTN_SCRATCH_BYTES = 512 };

/* Makes a new folder and writes its path to `folder` (ATTN_SCRATCH_BYTES). */
void attn_scratch_create(char *folder);

/* Writes a file. */
void attn_scratch_write(const char *path, const void *bytes, size_t count);

/* Reads a whole file into a new buffer, which the caller frees; NULL when there is none. A zero
 * byte behind its `count` makes text a string. */
void *attn_scratch_read(const char *path, size_t *count);

/* Number of names in a folder, without "." and "..". */
int attn_scratch_count(const char *folder);

/* Removes the folder and all in it. */
void attn_scratch_remove(const char *folder);

#endif
