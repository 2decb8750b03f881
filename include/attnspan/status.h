/* attnspan/status.h: how a call says that it failed.
 *
 * Every fallible function returns an attn_status and, when it fails, leaves one
 * sentence in the attn_error it was given. Nothing is printed by the library.
 *
 *     attn_error error;
 *     if (attn_plan_create(comm, &problem, &options, &plan, &error) != ATTN_OK)
 *         fprintf(stderr, "attnspan: error: %s\n", error.message);
 *
 * A failed MPI call is different: the state of the other ranks is unknown then,
 * so the job is aborted with rank, file and line.
 */
#ifndef ATTNSPAN_STATUS_H
#define ATTNSPAN_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, exit status of the command, meaning), from mild to severe:
 * when ranks disagree, the last of the list wins. */
#define ATTN_STATUS_LIST(X)                                                  \
    X(ATTN_OK, 0, "success")                                                 \
    X(ATTN_ERR_VERIFY, 4, "the result differs from the oracle's")            \
    X(ATTN_ERR_USAGE, 2, "the command line is wrong")                        \
    X(ATTN_ERR_CONFIG, 2, "the config is wrong")                             \
    X(ATTN_ERR_INPUT, 2, "an input file or tensor is not what it should be") \
    X(ATTN_ERR_IO, 3, "the file system refused")                             \
    X(ATTN_ERR_MEMORY, 3, "the memory does not suffice")                     \
    X(ATTN_ERR_MACHINE, 3, "the machine or its MPI lacks something")

typedef enum attn_status {
#define ATTN_STATUS_ENUM(name, exit_status, meaning) name,
    ATTN_STATUS_LIST(ATTN_STATUS_ENUM)
#undef ATTN_STATUS_ENUM
} attn_status;

enum { ATTN_MESSAGE_BYTES = 1024 };

/* What failed. `message` names the place first (FILE:LINE:COL, a config key, a
 * tensor), then what is wrong; then, after a semicolon, what would be right. */
typedef struct attn_error {
    attn_status status;
    char message[ATTN_MESSAGE_BYTES];
} attn_error;

/* "ATTN_ERR_INPUT"; never NULL. Not collective. */
const char *attn_status_name(attn_status status);

/* The command's exit status for a status: 0, 2, 3 or 4. Not collective. */
int attn_status_exit(attn_status status);

#ifdef __cplusplus
}
#endif
#endif
