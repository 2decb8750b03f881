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

/* A number of ranks or nodes. */
static attn_status parse_count(const char *option, const char *text, int64_t *count,
                               attn_error *error) {
    enum { MOST = 1 << 20 };
    char *end;
    long long value = strtoll(text, &end, 10);

    if (text[0] == '\0' || *end != '\0' || value < 1 || value > MOST)
        return attn_fail(error, ATTN_ERR_USAGE,
                         "%s: \"%s\" is no number of them; write an integer from 1 to %d", option,
                         text, MOST);
    *count = value;
    return attn_ok(error);
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
    } else if (strcmp(word, "--support") == 0) {
        cmdline->support = 1;
    } else if ((value = option_value(argc, argv, at, "--set")) != NULL) {
        if (value[0] == '\0')
            return attn_fail(error, ATTN_ERR_USAGE, "--set: nothing is set; write --set a.b=value");
        cmdline->sets[cmdline->set_count++] = value;
    } else if ((value = option_value(argc, argv, at, "--output-dir")) != NULL) {
        if (value[0] == '\0')
            return attn_fail(error, ATTN_ERR_USAGE,
                             "--output-dir: no folder is named; write --output-dir DIR");
        cmdline->output_dir = value;
    } else if ((value = option_value(argc, argv, at, "--ranks")) != NULL) {
        return parse_count("--ranks", value, &cmdline->ranks, error);
    } else if ((value = option_value(argc, argv, at, "--nodes")) != NULL) {
        return parse_count("--nodes", value, &cmdline->nodes, error);
    } else if ((value = option_value(argc, argv, at, "--calibrate")) != NULL) {
        if (value[0] == '\0')
            return attn_fail(error, ATTN_ERR_USAGE,
                             "--calibrate: no file is named; write --calibrate machine.yaml");
        cmdline->calibrate = value;
    } else {
        return attn_fail(
            error, ATTN_ERR_USAGE,
            "unknown option \"%s\"; the options are --set, --output-dir, --json, --ranks, "
            "--nodes, --calibrate, --support, --help and --version",
            word);
    }
    return attn_ok(error);
}

/* The first option given that the command does not take; NULL: none. */
static const char *option_too_many(const attn_cmdline *cmdline) {
    unsigned takes = cmdline->command->takes;

    if (cmdline->json && !(takes & ATTN_TAKES_JSON)) return "--json";
    if (cmdline->support && !(takes & ATTN_TAKES_SUPPORT)) return "--support";
    if (cmdline->ranks > 0 && !(takes & ATTN_TAKES_RANKS)) return "--ranks";
    if (cmdline->nodes > 0 && !(takes & ATTN_TAKES_RANKS)) return "--nodes";
    if (cmdline->calibrate != NULL && !(takes & ATTN_TAKES_CALIBRATE)) return "--calibrate";
    return NULL;
}

static attn_status check_complete(const attn_cmdline *cmdline, attn_error *error) {
    const attn_command *command = cmdline->command;
    int has_arguments =
        cmdline->config != NULL || cmdline->set_count > 0 || cmdline->output_dir != NULL;

    if (cmdline->help || cmdline->version) return attn_ok(error);
    if (command == NULL) return attn_fail(error, ATTN_ERR_USAGE, "no command; see attnspan --help");
    if (option_too_many(cmdline) != NULL)
        return attn_fail(error, ATTN_ERR_USAGE, "%s is no option of attnspan %s; %s",
                         option_too_many(cmdline), command->name,
                         cmdline->json ? "a run's and a bench's JSON goes to output.report"
                                       : "see attnspan --help");
    if (cmdline->calibrate != NULL && has_arguments)
        return attn_fail(error, ATTN_ERR_USAGE,
                         "--calibrate takes no config and no other option; write attnspan bench "
                         "--calibrate machine.yaml");
    if (command->needs_config && cmdline->config == NULL && cmdline->calibrate == NULL)
        return attn_fail(error, ATTN_ERR_USAGE, "%s: no config; write attnspan %s CONFIG",
                         command->name, command->name);
    if (!command->needs_config && has_arguments)
        return attn_fail(error, ATTN_ERR_USAGE, "%s takes no arguments; write attnspan %s",
                         command->name, command->name);
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
                   commands[i].needs_mpirun ? "mpirun -n P" : "           ", commands[i].name,
                   commands[i].arguments, commands[i].summary);
    printf(
        "\n"
        "  --set a.b=value    replace a key of the config; repeatable, the last one wins\n"
        "  --output-dir DIR   relative output paths start here, not at the working folder\n"
        "  --json             info, plan: print JSON\n"
        "  --ranks P          plan: for so many ranks, which need not be there\n"
        "  --nodes M          plan: on so many nodes\n"
        "  --calibrate FILE   bench: measure the machine's rates, for parallel.machine\n"
        "  --support          info: what works with what, as a table\n"
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
