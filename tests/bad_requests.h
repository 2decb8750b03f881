/* bad_requests.h: requests that cannot be met: each is refused with one message that says where,
 * what and what would be right, with the right exit status, soon, and without a trace in the file
 * system.
 *
 * They are made in the folder of cli_files.h, whose inputs are in in/. */
#ifndef ATTN_TESTS_BAD_REQUESTS_H
#define ATTN_TESTS_BAD_REQUESTS_H

#include <stddef.h>

enum { ATTN_BAD_REQUEST_ARGUMENTS = 16, ATTN_BAD_REQUEST_PARTS = 3 };

typedef struct attn_bad_request {
    const char *name;
    const char *config;                               /* in in/; it runs with --output-dir out */
    const char *text;                                 /* or the text of in/case.yaml */
    const char *command[ATTN_BAD_REQUEST_ARGUMENTS];  /* or all arguments */
    const char *sets[ATTN_BAD_REQUEST_ARGUMENTS / 2]; /* further arguments: each behind --set */
    const char *message[ATTN_BAD_REQUEST_PARTS];      /* what stderr has to say */
    const char *left;                                 /* the only file that may be left, or NULL */
    int exit_status;                                  /* 0 here: 2 */
    int on_ranks;                                     /* whether it is made under mpirun as well */
} attn_bad_request;

/* Makes each, and expects all of the above. */
void attn_bad_requests_make(const attn_bad_request *requests, size_t count);
#define ATTN_BAD_REQUESTS_MAKE(requests) \
    attn_bad_requests_make(requests, sizeof(requests) / sizeof *(requests))

#endif
