/* Files: reading whole ones, and writing ones that appear whole or not at all. */
#define _POSIX_C_SOURCE 200809L

#include "file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "scratch.h"
#include "tensor.h"

static char folder[ATTN_SCRATCH_BYTES];

static const char *path_of(const char *name) {
    static char path[ATTN_SCRATCH_BYTES * 2];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int holds(const char *path, const char *text) {
    size_t count;
    char *got = attn_scratch_read(path, &count);
    int same = got != NULL && count == strlen(text) && memcmp(got, text, count) == 0;

    free(got);
    return same;
}

static void a_file_is_read_whole(void) {
    const char *path = path_of("text");
    char *text;
    size_t bytes;
    attn_error error;

    attn_scratch_write(path, "abc\0de", 6);
    CU_ASSERT_EQUAL(attn_file_read(path, 6, &text, &bytes, &error), ATTN_OK);
    CU_ASSERT(bytes == 6 && memcmp(text, "abc\0de", 7) == 0);
    free(text);
    attn_scratch_write(path, "", 0);
    CU_ASSERT_EQUAL(attn_file_read(path, 0, &text, &bytes, &error), ATTN_OK);
    CU_ASSERT(bytes == 0 && text[0] == '\0');
    free(text);
}

static void a_long_file_is_read_whole(void) {
    enum { BYTES = 100000 };
    const char *path = path_of("long");
    char *text, *wanted = malloc(BYTES);
    size_t bytes;
    attn_error error;

    for (int i = 0; i < BYTES; i++) wanted[i] = (char)(i * 7);
    attn_scratch_write(path, wanted, BYTES);
    CU_ASSERT_EQUAL(attn_file_read(path, BYTES, &text, &bytes, &error), ATTN_OK);
    CU_ASSERT(bytes == BYTES && memcmp(text, wanted, BYTES) == 0);
    free(text);
    CU_ASSERT_EQUAL(attn_file_read(path, BYTES - 1, &text, &bytes, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "is too long; must have at most 99999 bytes"));
    CU_ASSERT_PTR_NULL(text);
    free(wanted);
}

static void unreadable_files_are_refused(void) {
    char *text;
    size_t bytes;
    int descriptor;
    int64_t length;
    attn_error error;

    CU_ASSERT_EQUAL(attn_file_read(path_of("none"), 9, &text, &bytes, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "/none: cannot open: No such file"));
    CU_ASSERT_EQUAL(attn_file_read(folder, 9, &text, &bytes, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "is a directory; must be a file"));
    CU_ASSERT_EQUAL(attn_file_open(folder, &descriptor, &length, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "is a directory; must be a file"));
    CU_ASSERT_EQUAL(mkfifo(path_of("pipe"), 0600), 0);
    CU_ASSERT_EQUAL(attn_file_open(path_of("pipe"), &descriptor, &length, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "is not a regular file"));
}

static void reading_past_the_end_fails(void) {
    const char *path = path_of("short");
    char buffer[8];
    int descriptor;
    int64_t bytes;
    attn_error error;

    attn_scratch_write(path, "12345", 5);
    CU_ASSERT_EQUAL(attn_file_open(path, &descriptor, &bytes, &error), ATTN_OK);
    CU_ASSERT_EQUAL(bytes, 5);
    CU_ASSERT_EQUAL(attn_file_read_at(descriptor, path, 1, 4, buffer, &error), ATTN_OK);
    CU_ASSERT(memcmp(buffer, "2345", 4) == 0);
    CU_ASSERT_EQUAL(attn_file_read_at(descriptor, path, 2, 4, buffer, &error), ATTN_ERR_IO);
    close(descriptor);
}

static void replace_makes_folders_and_replaces(void) {
    const char *path = path_of("a/b//c/out.json");
    struct stat info;
    mode_t mask = umask(027);
    attn_error error;

    CU_ASSERT_EQUAL(attn_file_replace(path, "one", 3, &error), ATTN_OK);
    CU_ASSERT(holds(path, "one"));
    CU_ASSERT(stat(path, &info) == 0 && (info.st_mode & 0777) == 0640);
    CU_ASSERT_EQUAL(attn_file_replace(path, "second", 6, &error), ATTN_OK);
    CU_ASSERT(holds(path, "second"));
    CU_ASSERT_EQUAL(attn_scratch_count(path_of("a/b/c")), 1);
    umask(mask);
}

static void a_bare_name_goes_to_the_working_directory(void) {
    char before[ATTN_PATH_BYTES];
    attn_error error;

    CU_ASSERT_PTR_NOT_NULL(getcwd(before, sizeof before));
    CU_ASSERT_EQUAL(chdir(folder), 0);
    CU_ASSERT_EQUAL(attn_file_replace("bare", "here", 4, &error), ATTN_OK);
    CU_ASSERT_EQUAL(chdir(before), 0);
    CU_ASSERT(holds(path_of("bare"), "here"));
}

static void begun_files_stay_apart(void) {
    char first[ATTN_PATH_BYTES], second[ATTN_PATH_BYTES], path[ATTN_SCRATCH_BYTES * 2];
    attn_error error;

    snprintf(path, sizeof path, "%s", path_of("apart/out"));
    CU_ASSERT_EQUAL(attn_file_begin(path, first, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_file_begin(path, second, &error), ATTN_OK);
    CU_ASSERT_STRING_NOT_EQUAL(first, second);
    CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
    CU_ASSERT_EQUAL(attn_file_reserve(first, path, 10, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_file_write(first, path, "1234", 4, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_file_commit(first, path, &error), ATTN_OK);
    unlink(second);
    {
        size_t count;
        char *got = attn_scratch_read(path, &count);
        CU_ASSERT(count == 10 && memcmp(got, "1234\0\0\0\0\0\0", 10) == 0);
        free(got);
    }
    CU_ASSERT_EQUAL(attn_scratch_count(path_of("apart")), 1);
}

static void a_long_name_has_a_temporary_file(void) {
    char name[256];
    attn_error error;

    memset(name, 'n', 255);
    name[255] = '\0';
    CU_ASSERT_EQUAL(attn_file_replace(path_of(name), "x", 1, &error), ATTN_OK);
    CU_ASSERT(holds(path_of(name), "x"));
}

static void wrong_targets_are_refused(void) {
    static const struct {
        const char *name, *message;
    } cases[] = {
        {"taken", ": is a directory; must be a file"},
        {"taken/", ": names no file"},
        {"plain/out", "/plain is not a folder; must be one"},
        {"plain/more/out", "/plain is not a folder; must be one"},
        {"device", ": is not a regular file"},
    };
    char temporary[ATTN_PATH_BYTES];
    int before;
    attn_error error;

    CU_ASSERT_EQUAL(mkdir(path_of("taken"), 0777), 0);
    CU_ASSERT_EQUAL(symlink("/dev/null", path_of("device")), 0);
    attn_scratch_write(path_of("plain"), "p", 1);
    before = attn_scratch_count(folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CU_ASSERT_EQUAL(attn_file_begin(path_of(cases[i].name), temporary, &error), ATTN_ERR_IO);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        CU_ASSERT_STRING_EQUAL(temporary, "");
    }
    CU_ASSERT_EQUAL(attn_file_begin("", temporary, &error), ATTN_ERR_IO);
    CU_ASSERT_EQUAL(attn_scratch_count(folder), before);
}

static void a_path_beyond_the_limit_is_refused(void) {
    static char path[ATTN_PATH_BYTES + 10];
    char temporary[ATTN_PATH_BYTES];
    attn_error error;

    memset(path, 'p', sizeof path - 1);
    CU_ASSERT_EQUAL(attn_file_begin(path, temporary, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "too long"));
    /* The path fits, the temporary file's does not. */
    for (size_t i = 0; i < ATTN_PATH_BYTES; i += 2) memcpy(path + i, "./", 2);
    path[ATTN_PATH_BYTES - 2] = 'p';
    path[ATTN_PATH_BYTES - 1] = '\0';
    CU_ASSERT_EQUAL(attn_file_begin(path, temporary, &error), ATTN_ERR_IO);
    CU_ASSERT_STRING_EQUAL(temporary, "");
}

static void a_failed_commit_leaves_nothing(void) {
    char temporary[ATTN_PATH_BYTES], path[ATTN_SCRATCH_BYTES * 2];
    attn_error error;

    snprintf(path, sizeof path, "%s", path_of("late/out"));
    CU_ASSERT_EQUAL(attn_file_begin(path, temporary, &error), ATTN_OK);
    CU_ASSERT_EQUAL(mkdir(path, 0777), 0); /* in the way of the rename */
    CU_ASSERT_EQUAL(attn_file_commit(temporary, path, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "/late/out: cannot finish the file: "));
    CU_ASSERT_NOT_EQUAL(access(temporary, F_OK), 0);
}

static void too_little_space_is_found_by_reserving(void) {
    char temporary[ATTN_PATH_BYTES];
    const char *path = path_of("huge/out");
    attn_error error;

    CU_ASSERT_EQUAL(attn_file_begin(path, temporary, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_file_reserve(temporary, path, INT64_C(1) << 60, &error), ATTN_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "1152921504606846976 bytes"));
    CU_ASSERT_EQUAL(unlink(temporary), 0);
}

int main(void) {
    static const attn_test tests[] = {
        {"a file is read whole", a_file_is_read_whole},
        {"a long file is read whole", a_long_file_is_read_whole},
        {"unreadable files are refused", unreadable_files_are_refused},
        {"reading past the end fails", reading_past_the_end_fails},
        {"replace makes folders and replaces", replace_makes_folders_and_replaces},
        {"a bare name goes to the working directory", a_bare_name_goes_to_the_working_directory},
        {"begun files stay apart", begun_files_stay_apart},
        {"a long name has a temporary file", a_long_name_has_a_temporary_file},
        {"wrong targets are refused", wrong_targets_are_refused},
        {"a path beyond the limit is refused", a_path_beyond_the_limit_is_refused},
        {"a failed commit leaves nothing", a_failed_commit_leaves_nothing},
        {"too little space is found by reserving", too_little_space_is_found_by_reserving},
    };
    int failed;

    attn_scratch_create(folder);
    failed = attn_test_main("file", tests, ATTN_TEST_COUNT(tests));
    attn_scratch_remove(folder);
    return failed;
}
