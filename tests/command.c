#define _POSIX_C_SOURCE 200809L

#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scratch.h"

enum { MOST_ARGUMENTS = 64, PIECE_BYTES = 4096 };

/* One stream of the command. */
typedef struct capture {
    int descriptor; /* −1 when it has ended */
    char *text;     /* owned; ended by NUL */
    size_t bytes;
} capture;

static void require(int held, const char *what) {
    if (held) return;
    fprintf(stderr, "command: cannot %s: %s\n", what, strerror(errno));
    abort();
}

static double now_sec(void) {
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* --- starting ----------------------------------------------------------------- */

static void set_environment(const char *const *added) {
    static const char *const defaults[][2] = {
        {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
        {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
        {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
        {"OMPI_MCA_hwloc_base_binding_policy", "none"},
        {"OMPI_MCA_mpi_yield_when_idle", "1"},
        {"OMPI_MCA_odls_base_sigkill_timeout", "0"}, /* behind a failed rank; 1 s otherwise */
        {"OMPI_MCA_pml", "ob1"},
        {"OMP_WAIT_POLICY", "passive"},
        {"OMP_NUM_THREADS", "1"},
    };

    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        setenv(defaults[i][0], defaults[i][1], 0);
    for (; added != NULL && *added != NULL; added++) {
        char name[128];

        snprintf(name, sizeof name, "%.*s", (int)strcspn(*added, "="), *added);
        setenv(name, *added + strcspn(*added, "=") + 1, 1);
    }
}

/* Without mpirun no daemon is needed, which takes longer to start than the command. But then all
 * that run at a time name one folder as theirs, and the first to end removes it: so, each its own
 * `session`. */
static void go_without_daemon(const char *session) {
    setenv("OMPI_MCA_ess_singleton_isolated", "1", 1);
    setenv("OMPI_MCA_orte_tmpdir_base", session, 1);
}

/* In the new process; does not return. */
static void become(const attn_command_request *request, const char *session, int out, int err) {
    char ranks[16];
    char *words[MOST_ARGUMENTS + 1];
    int count = 0, input = open("/dev/null", O_RDONLY);

    setpgid(0, 0);
    set_environment(request->environment);
    if (request->ranks == 0) go_without_daemon(session);
    if (request->folder != NULL) require(chdir(request->folder) == 0, "enter the folder");
    require(input >= 0 && dup2(input, STDIN_FILENO) >= 0, "open /dev/null");
    if (request->ranks > 0) {
        snprintf(ranks, sizeof ranks, "%d", request->ranks);
        words[count++] = ATTN_MPIEXEC;
        words[count++] = "-n";
        words[count++] = ranks;
    }
    words[count++] = ATTN_COMMAND;
    for (const char *const *word = request->arguments; *word != NULL; word++) {
        require(count < MOST_ARGUMENTS, "pass that many arguments");
        words[count++] = (char *)*word; /* execv does not change it */
    }
    words[count] = NULL;
    require(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0, "redirect");
    execv(words[0], words);
    require(0, words[0]);
}

static void make_pipe(int ends[2]) {
    require(pipe(ends) == 0, "make a pipe");
    for (int i = 0; i < 2; i++)
        require(fcntl(ends[i], F_SETFD, FD_CLOEXEC) == 0, "keep a pipe to itself");
}

/* --- listening ---------------------------------------------------------------- */

/* Takes what has come; at the end of the stream closes it. */
static void take(capture *stream) {
    ssize_t got;

    stream->text = realloc(stream->text, stream->bytes + PIECE_BYTES + 1);
    require(stream->text != NULL, "keep what it says");
    got = read(stream->descriptor, stream->text + stream->bytes, PIECE_BYTES);
    if (got < 0 && errno == EINTR)
        got = 0;
    else if (got <= 0) {
        close(stream->descriptor);
        stream->descriptor = -1;
        got = 0;
    }
    stream->bytes += (size_t)got;
    stream->text[stream->bytes] = '\0';
}

/* Listens until both streams have ended; false at the deadline. */
static int listen_until(capture streams[2], double deadline) {
    while (streams[0].descriptor >= 0 || streams[1].descriptor >= 0) {
        struct pollfd polled[2];
        double left_sec = deadline - now_sec();

        if (left_sec <= 0) return 0;
        for (int i = 0; i < 2; i++)
            polled[i] = (struct pollfd){.fd = streams[i].descriptor, .events = POLLIN};
        if (poll(polled, 2, (int)(left_sec * 1000) + 1) <= 0) continue;
        for (int i = 0; i < 2; i++)
            if (polled[i].fd >= 0 && polled[i].revents != 0) take(&streams[i]);
    }
    return 1;
}

/* Waits for the end of the process; false at the deadline. */
static int wait_until(pid_t process, double deadline, int *ending) {
    pid_t ended;

    while ((ended = waitpid(process, ending, WNOHANG)) == 0 || (ended < 0 && errno == EINTR)) {
        if (now_sec() >= deadline) return 0;
        poll(NULL, 0, 1);
    }
    require(ended == process, "wait for it");
    return 1;
}

/* mpirun told to end takes its ranks along, which are in process groups of their own. */
static void end_process(pid_t process, int *ending) {
    const double grace_sec = 5;

    kill(process, SIGTERM);
    if (!wait_until(process, now_sec() + grace_sec, ending)) {
        kill(-process, SIGKILL);
        require(waitpid(process, ending, 0) == process, "wait for it");
    }
    kill(-process, SIGKILL); /* those that outlived it */
}

void attn_command_run(const attn_command_request *request, attn_command_result *result) {
    const double usual_limit_sec = 20;
    double start = now_sec();
    double deadline = start + (request->limit_sec > 0 ? request->limit_sec : usual_limit_sec);
    int out[2], err[2], ending = 0;
    capture streams[2] = {{0}};
    char session[ATTN_SCRATCH_BYTES];
    pid_t process;

    require(access(ATTN_COMMAND, X_OK) == 0, "run " ATTN_COMMAND);
    require(access(ATTN_MPIEXEC, X_OK) == 0, "run " ATTN_MPIEXEC);
    make_pipe(out);
    make_pipe(err);
    attn_scratch_create(session);
    fflush(NULL); /* or the new process writes it once more when it fails */
    process = fork();
    require(process >= 0, "fork");
    if (process == 0) become(request, session, out[1], err[1]);
    setpgid(process, process); /* whoever comes first */
    close(out[1]);
    close(err[1]);
    streams[0].descriptor = out[0];
    streams[1].descriptor = err[0];

    result->timed_out = !listen_until(streams, deadline) || !wait_until(process, deadline, &ending);
    if (result->timed_out) end_process(process, &ending);
    attn_scratch_remove(session);
    for (int i = 0; i < 2; i++) {
        if (streams[i].descriptor >= 0) close(streams[i].descriptor);
        if (streams[i].text == NULL) streams[i].text = calloc(1, 1);
        require(streams[i].text != NULL, "keep what it says");
    }
    result->seconds = now_sec() - start;
    result->exit_status = WIFEXITED(ending) ? WEXITSTATUS(ending) : 128 + WTERMSIG(ending);
    result->out = streams[0].text;
    result->err = streams[1].text;
}

int attn_command_succeeds(const attn_command_request *request) {
    attn_command_result result;
    int succeeded;

    attn_command_run(request, &result);
    succeeded = !result.timed_out && result.exit_status == 0;
    if (!succeeded)
        fprintf(stderr, "\nattnspan %s %s: exit status %d after %.1f s, stderr:\n%s\n",
                request->arguments[0], request->arguments[1], result.exit_status, result.seconds,
                result.err);
    attn_command_free(&result);
    return succeeded;
}

void attn_command_free(attn_command_result *result) {
    free(result->out);
    free(result->err);
    *result = (attn_command_result){0};
}

int attn_command_errors(const attn_command_result *result, char *message, size_t bytes) {
    static const char mark[] = "attnspan: error: ";
    size_t mark_bytes = sizeof mark - 1;
    int count = 0;

    message[0] = '\0';
    for (const char *line = result->err; *line != '\0';) {
        int length = (int)strcspn(line, "\n");

        if (strncmp(line, mark, mark_bytes) == 0 && count++ == 0)
            snprintf(message, bytes, "%.*s", length - (int)mark_bytes, line + mark_bytes);
        line += length + (line[length] == '\n');
    }
    return count;
}
