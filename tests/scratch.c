#define _XOPEN_SOURCE 700

#include "scratch.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void require(int held, const char *what, const char *path) {
    if (held) return;
    fprintf(stderr, "scratch: cannot %s %s\n", what, path);
    abort();
}

void attn_scratch_create(char *folder) {
    const char *above = getenv("TMPDIR");

    snprintf(folder, ATTN_SCRATCH_BYTES, "%s/attnspan-test-XXXXXX", above ? above : "/tmp");
    require(mkdtemp(folder) != NULL, "create", folder);
}

void attn_scratch_write(const char *path, const void *bytes, size_t count) {
    FILE *file;

    remove(path); /* some file systems wait for the disk when a file is written over */
    file = fopen(path, "wb");
    require(file != NULL, "create", path);
    require(fwrite(bytes, 1, count, file) == count, "write", path);
    require(fclose(file) == 0, "close", path);
}

void *attn_scratch_read(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    long bytes = 0;
    char *buffer;

    *count = 0;
    if (file == NULL) return NULL;
    require(fseek(file, 0, SEEK_END) == 0 && (bytes = ftell(file)) >= 0, "measure", path);
    rewind(file);
    buffer = malloc((size_t)bytes + 1);
    require(buffer != NULL && fread(buffer, 1, (size_t)bytes, file) == (size_t)bytes, "read", path);
    fclose(file);
    buffer[bytes] = '\0';
    *count = (size_t)bytes;
    return buffer;
}

int attn_scratch_count(const char *folder) {
    DIR *directory = opendir(folder);
    int count = 0;

    require(directory != NULL, "list", folder);
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) count++;
    closedir(directory);
    return count;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void attn_scratch_remove(const char *folder) {
    enum { OPEN_FOLDERS = 8 };

    require(nftw(folder, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) == 0, "remove", folder);
}
