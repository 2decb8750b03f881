#include "bad_requests.h"

#include <stdio.h>
#include <string.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"

static int has_all(const attn_bad_request *request, const char *message) {
    for (int i = 0; i < ATTN_BAD_REQUEST_PARTS && request->message[i] != NULL; i++)
        if (strstr(message, request->message[i]) == NULL) return 0;
    return 1;
}

static void expect(int held, const char *what, const attn_bad_request *request, int ranks,
                   const attn_command_result *result) {
    CU_ASSERT(held);
    if (!held)
        fprintf(stderr, "\n%s, %d ranks: %s\nexit status %d, %.1f s, stderr:\n%s\n", request->name,
                ranks, what, result->exit_status, result->seconds, result->err);
}

static void make_on(const attn_bad_request *request, int ranks) {
    const char *arguments[2 * ATTN_BAD_REQUEST_ARGUMENTS] = {NULL};
    const attn_command_request command = {
        .ranks = ranks, .arguments = arguments, .folder = attn_cli_folder()};
    attn_command_result result;
    char config[64], message[2048];
    int before, count = 0, expected = request->exit_status == 0 ? 2 : request->exit_status;

    snprintf(config, sizeof config, "in/%s", request->config ? request->config : "case.yaml");
    if (request->text != NULL) attn_cli_write_text(config, request->text);
    if (request->config != NULL || request->text != NULL) {
        arguments[count++] = "run";
        arguments[count++] = config;
        arguments[count++] = "--output-dir";
        arguments[count++] = "out";
    }
    for (int i = 0; request->command[i] != NULL; i++) arguments[count++] = request->command[i];
    for (int i = 0; request->sets[i] != NULL; i++) {
        arguments[count++] = "--set";
        arguments[count++] = request->sets[i];
    }
    before = attn_cli_files_below(attn_cli_folder());
    attn_command_run(&command, &result);
    expect(!result.timed_out, "must end soon", request, ranks, &result);
    expect(result.exit_status == expected, "another exit status", request, ranks, &result);
    expect(attn_command_errors(&result, message, sizeof message) == 1, "must have one message",
           request, ranks, &result);
    expect(has_all(request, message), "another message", request, ranks, &result);
    if (request->left != NULL)
        expect(remove(attn_cli_path(request->left)) == 0, "must leave a file", request, ranks,
               &result);
    expect(attn_cli_files_below(attn_cli_folder()) == before, "must leave no file", request, ranks,
           &result);
    attn_command_free(&result);
}

void attn_bad_requests_make(const attn_bad_request *requests, size_t count) {
    for (size_t i = 0; i < count; i++) {
        make_on(&requests[i], 0);
        if (requests[i].on_ranks) make_on(&requests[i], 3);
    }
}
