#define _POSIX_C_SOURCE 200809L

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tensor.h" /* ATTN_PATH_BYTES */

_Static_assert(sizeof(off_t) == sizeof(int64_t), "files may be longer than 2 GiB");

/* A path that leads nowhere is the user's mistake; the rest is the machine's. */
static attn_status fail_open(const char *path, attn_error *error) {
    attn_status status = errno == ENOENT || errno == ENOTDIR ? ATTN_ERR_INPUT : ATTN_ERR_IO;

    return attn_fail(error, status, "%s: cannot open: %s", path, strerror(errno));
}

static attn_status fail_directory(const char *path, attn_error *error) {
    return attn_fail(error, ATTN_ERR_INPUT, "%s: is a directory; must be a file", path);
}

/* read() and write() that go on after a signal. */
static ssize_t read_some(int descriptor, char *buffer, size_t bytes) {
    ssize_t done;

    do done = read(descriptor, buffer, bytes);
    while (done < 0 && errno == EINTR);
    return done;
}

static ssize_t write_some(int descriptor, const char *text, size_t bytes) {
    ssize_t done;

    do done = write(descriptor, text, bytes);
    while (done < 0 && errno == EINTR);
    return done;
}

/* Reads to the end; a pipe does not tell its size, so the buffer doubles. One byte
 * more than allowed is enough to know that there is too much. */
static attn_status read_all(int descriptor, const char *path, size_t max_bytes, char **text,
                            size_t *bytes, attn_error *error) {
    size_t capacity = 0, used = 0;
    char *buffer = NULL;
    ssize_t got;

    do {
        if (used + 1 >= capacity) {
            size_t larger = capacity == 0 ? 4096 : capacity * 2;
            char *grown = larger > capacity ? realloc(buffer, larger) : NULL;
            if (grown == NULL) {
                free(buffer);
                return attn_fail(error, ATTN_ERR_MEMORY, "%s: no memory to read it", path);
            }
            buffer = grown;
            capacity = larger;
        }
        got = read_some(descriptor, buffer + used, capacity - used - 1);
        if (got > 0) used += (size_t)got;
    } while (got > 0 && used <= max_bytes);
    if (got < 0) {
        attn_fail(error, ATTN_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
        free(buffer);
        return error->status;
    }
    if (used > max_bytes) {
        free(buffer);
        return attn_fail(error, ATTN_ERR_INPUT, "%s: is too long; must have at most %zu bytes",
                         path, max_bytes);
    }
    buffer[used] = '\0';
    *text = buffer;
    *bytes = used;
    return attn_ok(error);
}

attn_status attn_file_read(const char *path, size_t max_bytes, char **text, size_t *bytes,
                           attn_error *error) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;

    *text = NULL;
    *bytes = 0;
    if (descriptor < 0) return fail_open(path, error);
    if (fstat(descriptor, &info) == 0 && S_ISDIR(info.st_mode))
        fail_directory(path, error);
    else
        read_all(descriptor, path, max_bytes, text, bytes, error);
    close(descriptor);
    return error->status;
}

attn_status attn_file_open(const char *path, int *descriptor, int64_t *bytes, attn_error *error) {
    struct stat info;

    /* O_NONBLOCK: a named pipe without a writer would hang here, not be refused. */
    *descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*descriptor < 0) return fail_open(path, error);
    if (fstat(*descriptor, &info) != 0)
        attn_fail(error, ATTN_ERR_IO, "%s: cannot read its size: %s", path, strerror(errno));
    else if (S_ISDIR(info.st_mode))
        fail_directory(path, error);
    else if (!S_ISREG(info.st_mode))
        attn_fail(error, ATTN_ERR_INPUT, "%s: is not a regular file; must be one", path);
    else
        attn_ok(error);
    if (error->status != ATTN_OK) {
        close(*descriptor);
        *descriptor = -1;
        return error->status;
    }
    *bytes = info.st_size;
    return ATTN_OK;
}

attn_status attn_file_read_at(int descriptor, const char *path, int64_t offset, size_t bytes,
                              void *buffer, attn_error *error) {
    size_t done = 0;

    while (done < bytes) {
        ssize_t got =
            pread(descriptor, (char *)buffer + done, bytes - done, (off_t)(offset + (int64_t)done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return attn_fail(error, ATTN_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
        if (got == 0)
            return attn_fail(error, ATTN_ERR_IO, "%s: became shorter while it was read", path);
        done += (size_t)got;
    }
    return attn_ok(error);
}

/* Makes `folder` (changed on the way, and restored) and all above it. Whether a
 * folder is there counts, not why mkdir refused: above may be a read-only one. */
static attn_status make_folders(const char *path, char *folder, attn_error *error) {
    for (char *at = folder + 1; at[-1] != '\0'; at++) {
        struct stat info;
        char kept = *at;

        if (kept != '/' && kept != '\0') continue;
        *at = '\0';
        if (mkdir(folder, 0777) != 0) {
            int reason = errno;
            int there = stat(folder, &info) == 0;
            if (there && !S_ISDIR(info.st_mode))
                return attn_fail(error, ATTN_ERR_IO, "%s: %s is not a folder; must be one", path,
                                 folder);
            if (!there)
                return attn_fail(error, ATTN_ERR_IO, "%s: cannot make the folder %s: %s", path,
                                 folder, strerror(reason));
        }
        *at = kept;
    }
    return attn_ok(error);
}

/* Bytes of `path` before its last name: "a/b" has 2, "b" has 0. */
static size_t folder_bytes(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash == NULL ? 0 : (size_t)(slash - path) + 1;
}

/* Creates FOLDER/.NAME.PID.NUMBER.tmp. O_EXCL finds the number that is free, also
 * among hosts that share the folder; the mode follows the umask by itself. */
static attn_status create_temporary(const char *path, char *temporary, attn_error *error) {
    enum { MOST_TRIES = 1000, NAME_BYTES = 200 }; /* a long NAME is cut: file names have 255 */
    size_t above = folder_bytes(path);

    for (int number = 0; number < MOST_TRIES; number++) {
        int descriptor;
        int length = snprintf(temporary, ATTN_PATH_BYTES, "%.*s.%.*s.%ld.%d.tmp", (int)above, path,
                              (int)NAME_BYTES, path + above, (long)getpid(), number);
        if (length < 0 || length >= ATTN_PATH_BYTES)
            return attn_fail(error, ATTN_ERR_IO, "%.64s...: the path is too long", path);
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (descriptor >= 0) {
            close(descriptor);
            return attn_ok(error);
        }
        if (errno != EEXIST) break;
    }
    return attn_fail(error, ATTN_ERR_IO, "%s: cannot create a file there: %s", path,
                     strerror(errno));
}

attn_status attn_file_begin(const char *path, char *temporary, attn_error *error) {
    size_t above = folder_bytes(path), bytes = strlen(path);
    char folder[ATTN_PATH_BYTES];
    struct stat info;

    temporary[0] = '\0';
    if (bytes >= ATTN_PATH_BYTES)
        return attn_fail(error, ATTN_ERR_IO, "%.64s...: the path is too long", path);
    if (bytes == above)
        return attn_fail(error, ATTN_ERR_IO, "%s: names no file; must be FOLDER/FILE", path);
    if (above > 0) {
        memcpy(folder, path, above);
        folder[above] = '\0';
        if (make_folders(path, folder, error) != ATTN_OK) return error->status;
    }
    if (stat(path, &info) != 0) {
        if (errno != ENOENT)
            return attn_fail(error, ATTN_ERR_IO, "%s: cannot be written: %s", path,
                             strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        return attn_fail(error, ATTN_ERR_IO, "%s: is %s; must be a file, or not exist", path,
                         S_ISDIR(info.st_mode) ? "a directory" : "not a regular file");
    }
    if (create_temporary(path, temporary, error) != ATTN_OK) temporary[0] = '\0';
    return error->status;
}

/* Asks before posix_fallocate does: that one would fill the disk to find out.
 * File systems without a size of their own report 0 blocks. */
static attn_status check_space(int descriptor, const char *path, int64_t bytes, attn_error *error) {
    struct statvfs info;

    if (fstatvfs(descriptor, &info) != 0 || info.f_blocks == 0 || info.f_frsize == 0)
        return attn_ok(error);
    if ((uint64_t)info.f_bavail >= (uint64_t)bytes / info.f_frsize) return attn_ok(error);
    return attn_fail(error, ATTN_ERR_IO,
                     "%s: needs %" PRId64 " bytes, and the file system has %" PRIu64
                     " free; make room or write elsewhere",
                     path, bytes, (uint64_t)info.f_bavail * info.f_frsize);
}

attn_status attn_file_reserve(const char *temporary, const char *path, int64_t bytes,
                              attn_error *error) {
    int descriptor = open(temporary, O_WRONLY | O_CLOEXEC);
    int code;

    if (descriptor < 0)
        return attn_fail(error, ATTN_ERR_IO, "%s: cannot open its temporary file: %s", path,
                         strerror(errno));
    if (check_space(descriptor, path, bytes, error) == ATTN_OK) {
        do code = posix_fallocate(descriptor, 0, (off_t)bytes);
        while (code == EINTR);
        if (code == EOPNOTSUPP || code == EINVAL)
            code = ftruncate(descriptor, (off_t)bytes) == 0 ? 0 : errno;
        if (code != 0)
            attn_fail(error, ATTN_ERR_IO, "%s: cannot reserve its %" PRId64 " bytes: %s", path,
                      bytes, strerror(code));
    }
    close(descriptor);
    return error->status;
}

attn_status attn_file_write(const char *temporary, const char *path, const char *text, size_t bytes,
                            attn_error *error) {
    int descriptor = open(temporary, O_WRONLY | O_CLOEXEC);
    ssize_t done = descriptor < 0 ? -1 : 0;
    int code;

    for (size_t at = 0; at < bytes && done >= 0; at += (size_t)done)
        if ((done = write_some(descriptor, text + at, bytes - at)) < 0) break;
    code = errno;
    /* Some file systems report a failed write only when the file is closed. */
    if (descriptor >= 0 && close(descriptor) != 0 && done >= 0) {
        code = errno;
        done = -1;
    }
    if (done < 0)
        return attn_fail(error, ATTN_ERR_IO, "%s: cannot write %zu bytes: %s", path, bytes,
                         strerror(code));
    return attn_ok(error);
}

/* fsync of a file or folder: 0, or errno. */
static int sync_path(const char *path, int flags) {
    int descriptor = open(path, flags | O_CLOEXEC);
    int code = 0;

    if (descriptor < 0) return errno;
    if (fsync(descriptor) != 0) code = errno;
    if (close(descriptor) != 0 && code == 0) code = errno;
    return code;
}

attn_status attn_file_commit(const char *temporary, const char *path, attn_error *error) {
    size_t above = folder_bytes(path);
    char folder[ATTN_PATH_BYTES] = ".";
    int code = sync_path(temporary, O_WRONLY);

    if (code == 0 && rename(temporary, path) != 0) code = errno;
    if (code != 0) {
        unlink(temporary);
        return attn_fail(error, ATTN_ERR_IO, "%s: cannot finish the file: %s", path,
                         strerror(code));
    }
    if (above >= sizeof folder)
        return attn_fail(error, ATTN_ERR_IO, "%.64s...: the path is too long", path);
    if (above > 0) {
        memcpy(folder, path, above);
        folder[above] = '\0';
    }
    code = sync_path(folder, O_RDONLY | O_DIRECTORY);
    /* Some file systems cannot sync a folder (EINVAL), some folders cannot be read. */
    if (code != 0 && code != EINVAL && code != EACCES)
        return attn_fail(error, ATTN_ERR_IO, "%s: cannot sync its folder: %s", path,
                         strerror(code));
    return attn_ok(error);
}

attn_status attn_file_try(const char *path, attn_error *error) {
    char temporary[ATTN_PATH_BYTES];

    if (attn_file_begin(path, temporary, error) == ATTN_OK) unlink(temporary);
    return error->status;
}

attn_status attn_file_replace(const char *path, const char *text, size_t bytes, attn_error *error) {
    char temporary[ATTN_PATH_BYTES];

    if (attn_file_begin(path, temporary, error) != ATTN_OK) return error->status;
    if (attn_file_write(temporary, path, text, bytes, error) != ATTN_OK) {
        unlink(temporary);
        return error->status;
    }
    return attn_file_commit(temporary, path, error);
}
