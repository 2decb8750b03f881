#include "cmdline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static attn_status unknown_command(const char *word, const attn_command *commands,
                                   size_t command_count, attn_error *error) {
    char names[256] = "";
    size_t used = 0;

    for (size_t i = 0; i < command_count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                 i == 0                   ? ""
                                 : i + 1 == command_count ? " or "
                                                          : ", ",
                                 commands[i].name);
    return attn_fail(error, ATTN_ERR_USAGE, "unknown command \"%s\"; the command is %s", word,
                     names);
}

static const attn_command *find_command(const char *word, const attn_command *commands,
                                        size_t command_count) {
    for (size_t i = 0; i < command_count; i++)
        if (strcmp(commands[i].name, word) == 0) return &commands[i];
    return NULL;
}

/* The value of "--name value" or "--name=value" at argv[*at], moving *at over it;
 * NULL when argv[*at] is something else. A missing value is "". */
static const char *option_value(int argc, char **argv, int *at, const char *name) {
    size_t length = strlen(name);

    if (strncmp(argv[*at], name, length) != 0) return NULL;
    if (argv[*at][length] == '=') return argv[*at] + length + 1;
    if (argv[*at][length] != '\0') return NULL;
    if (*at + 1 == argc) return "";
    return argv[++*at];
}

static attn_status parse_option(int argc, char **argv, int *at, attn_cmdline *cmdline,
                                attn_error *error) {
    const char *word = argv[*at];
    const char *value;

    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        cmdline->help = 1;
    } else if (strcmp(word, "--version") == 0) {
        cmdline->version = 1;
    } else if (strcmp(word, "--json") == 0) {
        cmdline->json = 1;
    } else if ((value = option_value(argc, argv, at, "--set")) != NULL) {
        if (value[0] == '\0')
            return attn_fail(error, ATTN_ERR_USAGE, "--set: nothing is set; write --set a.b=value");
        cmdline->sets[cmdline->set_count++] = value;
    } else if ((value = option_value(argc, argv, at, "--output-dir")) != NULL) {
        if (value[0] == '\0')
            return attn_fail(error, ATTN_ERR_USAGE,
                             "--output-dir: no folder is named; write --output-dir DIR");
        cmdline->output_dir = value;
    } else {
        return attn_fail(
            error, ATTN_ERR_USAGE,
            "unknown option \"%s\"; the options are --set, --output-dir, --json, --help "
            "and --version",
            word);
    }
    return attn_ok(error);
}

static attn_status check_complete(const attn_cmdline *cmdline, attn_error *error) {
    if (cmdline->help || cmdline->version) return attn_ok(error);
    if (cmdline->command == NULL)
        return attn_fail(error, ATTN_ERR_USAGE, "no command; see attnspan --help");
    if (cmdline->command->needs_config && cmdline->config == NULL)
        return attn_fail(error, ATTN_ERR_USAGE, "%s: no config; write attnspan %s CONFIG",
                         cmdline->command->name, cmdline->command->name);
    if (cmdline->json && cmdline->command->needs_config)
        return attn_fail(error, ATTN_ERR_USAGE,
                         "--json is an option of attnspan info; %s writes "
                         "JSON to output.report",
                         cmdline->command->name);
    if (!cmdline->command->needs_config &&
        (cmdline->config != NULL || cmdline->set_count > 0 || cmdline->output_dir != NULL))
        return attn_fail(error, ATTN_ERR_USAGE, "%s takes no arguments; write attnspan %s",
                         cmdline->command->name, cmdline->command->name);
    return attn_ok(error);
}

attn_status attn_cmdline_parse(int argc, char **argv, const attn_command *commands,
                               size_t command_count, attn_cmdline *cmdline, attn_error *error) {
    *cmdline = (attn_cmdline){0};
    cmdline->sets = malloc(((size_t)argc + 1) * sizeof *cmdline->sets);
    if (cmdline->sets == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "out of memory");
    for (int at = 1; at < argc; at++) {
        if (argv[at][0] == '-' && argv[at][1] != '\0') {
            if (parse_option(argc, argv, &at, cmdline, error) != ATTN_OK) return error->status;
        } else if (cmdline->command == NULL) {
            cmdline->command = find_command(argv[at], commands, command_count);
            if (cmdline->command == NULL)
                return unknown_command(argv[at], commands, command_count, error);
        } else if (cmdline->config == NULL) {
            cmdline->config = argv[at];
        } else {
            return attn_fail(error, ATTN_ERR_USAGE,
                             "\"%s\" is one argument too many; one config at a time", argv[at]);
        }
    }
    return check_complete(cmdline, error);
}

void attn_cmdline_help(const attn_cmdline *cmdline, const attn_command *commands,
                       size_t command_count) {
    printf("attnspan: exact multi-head attention over the ranks of an MPI job\n\n");
    for (size_t i = 0; i < command_count; i++)
        if (cmdline->command == NULL || cmdline->command == &commands[i])
            printf("  %s attnspan %-5s %-8s %s\n",
                   commands[i].needs_config ? "mpirun -n P" : "           ", commands[i].name,
                   commands[i].arguments, commands[i].summary);
    printf(
        "\n"
        "  --set a.b=value    replace a key of the config; repeatable, the last one wins\n"
        "  --output-dir DIR   relative output paths start here, not at the working folder\n"
        "  --json             info: print JSON\n"
        "  --help, --version\n"
        "\n"
        "configs/quickstart.yaml is a config to start from; configs/reference.yaml has\n"
        "every key. Exit status: 0 done, 2 the request is wrong, 3 the machine failed,\n"
        "4 verification failed.\n");
}

void attn_cmdline_free(attn_cmdline *cmdline) {
    free(cmdline->sets);
    *cmdline = (attn_cmdline){0};
}
