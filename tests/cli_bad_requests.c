/* Requests that cannot be met: each is refused with one message that says where, what
 * and what would be right, with the right exit status, soon, and without a trace in the
 * file system. */
#define _POSIX_C_SOURCE 200809L

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli_files.h"
#include "command.h"
#include "harness.h"
#include "scratch.h"
#include "synthetic.h"

enum { ROWS = 64, WIDTH = 32 };
enum { MOST_ARGUMENTS = 16, MOST_SUBSTRINGS = 3 };

/* One request, made in the scratch folder, whose inputs are in in/. */
typedef struct bad_request {
    const char *name;
    const char *config;                   /* in in/; it runs with --output-dir out */
    const char *text;                     /* or the text of in/case.yaml */
    const char *command[MOST_ARGUMENTS];  /* or all arguments */
    const char *sets[MOST_ARGUMENTS / 2]; /* further arguments: each behind --set */
    const char *message[MOST_SUBSTRINGS]; /* what stderr has to say */
    const char *left;                     /* the only file that may be left; NULL: none */
    int exit_status;                      /* 0 here: 2 */
    int on_ranks;                         /* whether it is made under mpirun as well */
} bad_request;

/* --- making one ----------------------------------------------------------------- */

static int has_all(const bad_request *request, const char *message) {
    for (int i = 0; i < MOST_SUBSTRINGS && request->message[i] != NULL; i++)
        if (strstr(message, request->message[i]) == NULL) return 0;
    return 1;
}

static void expect(int held, const char *what, const bad_request *request, int ranks,
                   const attn_command_result *result) {
    CU_ASSERT(held);
    if (!held)
        fprintf(stderr, "\n%s, %d ranks: %s\nexit status %d, %.1f s, stderr:\n%s\n", request->name,
                ranks, what, result->exit_status, result->seconds, result->err);
}

static void make_on(const bad_request *request, int ranks) {
    const char *arguments[2 * MOST_ARGUMENTS] = {NULL};
    const attn_command_request command = {
        .ranks = ranks, .arguments = arguments, .folder = attn_cli_folder()};
    attn_command_result result;
    char config[64], message[2048];
    int before, count = 0, expected = request->exit_status == 0 ? 2 : request->exit_status;

    snprintf(config, sizeof config, "in/%s", request->config ? request->config : "case.yaml");
    if (request->text != NULL)
        attn_scratch_write(attn_cli_path(config), request->text, strlen(request->text));
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

static void make_all(const bad_request *requests, size_t count) {
    for (size_t i = 0; i < count; i++) {
        make_on(&requests[i], 0);
        if (requests[i].on_ranks) make_on(&requests[i], 3);
    }
}

#define MAKE_ALL(requests) make_all(requests, sizeof(requests) / sizeof *(requests))

/* --- the inputs ----------------------------------------------------------------- */

static float numbers[2 * ROWS * WIDTH];

static void write_floats(const char *name, int dims, const int64_t *shape) {
    attn_cli_write_floats(attn_cli_path(name), dims, shape, numbers);
}

/* A good x but for one element. */
static void write_poisoned(const char *name, int64_t row, int64_t column, float value) {
    float *element = &numbers[row * WIDTH + column], kept = *element;

    *element = value;
    write_floats(name, 2, (const int64_t[]){ROWS, WIDTH});
    *element = kept;
}

static void write_tensors(void) {
    double doubles[ROWS * WIDTH];

    write_floats("in/x.npy", 2, (const int64_t[]){ROWS, WIDTH});
    write_floats("in/q.npy", 3, (const int64_t[]){4, 16, 8});
    write_floats("in/k.npy", 3, (const int64_t[]){2, 24, 8});
    write_floats("in/v.npy", 3, (const int64_t[]){2, 24, 8});
    write_floats("in/k_narrow.npy", 3, (const int64_t[]){2, 24, 7});
    write_floats("in/v_short.npy", 3, (const int64_t[]){2, 23, 8});
    write_floats("in/v_batch.npy", 4, (const int64_t[]){1, 2, 24, 8});
    write_floats("in/memory.npy", 2, (const int64_t[]){24, WIDTH});
    write_floats("in/memory_1d.npy", 1, (const int64_t[]){WIDTH});
    write_floats("in/memory_batch.npy", 3, (const int64_t[]){1, 24, WIDTH});
    write_floats("in/memory_narrow.npy", 2, (const int64_t[]){24, 20});
    write_floats("in/x_4d.npy", 4, (const int64_t[]){1, 1, ROWS, WIDTH});
    write_floats("in/x_1d.npy", 1, (const int64_t[]){ROWS});
    write_floats("in/x_no_rows.npy", 2, (const int64_t[]){0, WIDTH});
    write_floats("in/x_narrow.npy", 2, (const int64_t[]){ROWS, 24});
    write_poisoned("in/x_nan.npy", 63, 5, NAN);
    write_poisoned("in/x_inf.npy", 0, 31, -INFINITY);
    numbers[100] = NAN; /* [0, 12, 4] of k */
    write_floats("in/k_nan.npy", 3, (const int64_t[]){2, 24, 8});
    numbers[100] = 0.5f;
    for (int i = 0; i < ROWS * WIDTH; i++) doubles[i] = (double)numbers[i];
    doubles[33] = 1e300;
    attn_cli_write_npy(attn_cli_path("in/x_wide.npy"),
                       "{'descr': '<f8', 'fortran_order': False, 'shape': (64, 32), }\n", doubles,
                       sizeof doubles);
}

/* .npy files with a header that is refused, or that does not fit the file. */
static void write_odd_npy(void) {
    static const struct {
        const char *name, *header;
        size_t bytes;
    } files[] = {
        {"in/big_endian.npy", "{'descr': '>f4', 'fortran_order': False, 'shape': (64, 32), }\n",
         8192},
        {"in/integers.npy", "{'descr': '<i4', 'fortran_order': False, 'shape': (64, 32), }\n",
         8192},
        {"in/fortran.npy", "{'descr': '<f4', 'fortran_order': True, 'shape': (64, 32), }\n", 8192},
        {"in/shorter.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 32), }\n", 8188},
        {"in/longer.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (64, 32), }\n", 8196},
        {"in/claims_more.npy",
         "{'descr': '<f4', 'fortran_order': False, 'shape': (64000000000, 32), }\n", 8192},
        {"in/overflows.npy",
         "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 32), }\n", 8192},
        {"in/damaged.npy", "{'descr': '<f4', 'fortran_order' False, 'shape': (64, 32), }\n", 8192},
    };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        attn_cli_write_npy(attn_cli_path(files[i].name), files[i].header, numbers, files[i].bytes);
    attn_cli_write_npy(attn_cli_path("in/empty_document.npy"),
                       "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }\n",
                       (const int64_t[]){64, 0}, 16);
    attn_cli_write_npy(attn_cli_path("in/long_list.npy"),
                       "{'descr': '<i4', 'fortran_order': False, 'shape': (65,), }\n", numbers,
                       260);
    attn_cli_write_text("in/empty.npy", "");
    attn_cli_write_text("in/text.npy", "1.0 2.0 3.0\n");
    attn_scratch_write(attn_cli_path("in/ends_early.npy"),
                       "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4'", 25);
}

/* Layers as x.npy needs them, but for what a row says. */
static void write_layers(void) {
    static const struct {
        const char *name;
        int64_t rows[4], columns[4]; /* of W_Q, W_K, W_V, W_O; 0: WIDTH, −1: not there */
        int64_t bias_rows[4];        /* likewise */
        int poisoned;                /* whether W_K.weight[1, 3] is infinite */
    } layers[] = {
        {"in/layer.safetensors", {0}, {0}, {0}, 0},
        {"in/wide_q.safetensors", {0}, {48}, {0}, 0},
        {"in/odd_k.safetensors", {0, 30}, {0}, {0, 30}, 0},
        {"in/narrow_k.safetensors", {0, 16}, {0}, {0, 16}, 0},
        {"in/wide_o.safetensors", {0}, {0, 0, 0, 48}, {0}, 0},
        {"in/long_o.safetensors", {0, 0, 0, 48}, {0}, {0, 0, 0, 48}, 0},
        {"in/odd_bias.safetensors", {0}, {0}, {0, 0, 31, 0}, 0},
        {"in/no_o.safetensors", {0, 0, 0, -1}, {0}, {0, 0, 0, -1}, 0},
        {"in/infinite.safetensors", {0}, {0}, {0}, 1},
    };
    static const char *const names[4][2] = {{"W_Q.weight", "W_Q.bias"},
                                            {"W_K.weight", "W_K.bias"},
                                            {"W_V.weight", "W_V.bias"},
                                            {"W_O.weight", "W_O.bias"}};
    static float infinite[WIDTH * WIDTH];

    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        attn_cli_tensor tensors[8];
        size_t count = 0;

        memcpy(infinite, numbers, sizeof infinite);
        infinite[1 * WIDTH + 3] = layers[i].poisoned ? INFINITY : 0;
        for (int j = 0; j < 4; j++) {
            int64_t rows = layers[i].rows[j], columns = layers[i].columns[j];
            int64_t bias_rows = layers[i].bias_rows[j];

            if (rows >= 0)
                tensors[count++] =
                    (attn_cli_tensor){names[j][0], rows > 0 ? rows : WIDTH,
                                      columns > 0 ? columns : WIDTH, j == 1 ? infinite : numbers};
            if (bias_rows >= 0)
                tensors[count++] =
                    (attn_cli_tensor){names[j][1], bias_rows > 0 ? bias_rows : WIDTH, 0, numbers};
        }
        attn_cli_write_tensors(attn_cli_path(layers[i].name), tensors, count);
    }
}

/* Layers whose heads are 8 wide, with norms of q and k: right, too long, of q alone, and no
 * vectors; and one as torch.nn.MultiheadAttention stores it. */
static void write_normed_layers(void) {
    static const struct {
        const char *name;
        int64_t q_rows, k_rows, columns; /* of the norms; 0 rows: not there */
    } layers[] = {
        {"in/normed.safetensors", 8, 8, 0},
        {"in/norm_long.safetensors", 8, 16, 0},
        {"in/norm_of_q.safetensors", 8, 0, 0},
        {"in/norm_matrix.safetensors", 8, 8, 1},
    };
    const attn_cli_tensor projections[] = {
        {"W_Q.weight", WIDTH, WIDTH, numbers},
        {"W_K.weight", WIDTH, WIDTH, numbers},
        {"W_V.weight", WIDTH, WIDTH, numbers},
        {"W_O.weight", WIDTH, WIDTH, numbers},
    };
    const attn_cli_tensor stacked[] = {
        {"in_proj_weight", 3 * 20, WIDTH, numbers},
        {"out_proj.weight", WIDTH, 20, numbers},
    };

    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        attn_cli_tensor tensors[6];
        size_t count = 4;

        memcpy(tensors, projections, sizeof projections);
        tensors[count++] =
            (attn_cli_tensor){"q_norm.weight", layers[i].q_rows, layers[i].columns, numbers};
        if (layers[i].k_rows > 0)
            tensors[count++] =
                (attn_cli_tensor){"k_norm.weight", layers[i].k_rows, layers[i].columns, numbers};
        attn_cli_write_tensors(attn_cli_path(layers[i].name), tensors, count);
    }
    attn_cli_write_tensors(attn_cli_path("in/stacked.safetensors"), stacked, 2);
}

static void write_odd_safetensors(void) {
    static const struct {
        const char *name, *header;
        size_t bytes;
    } files[] = {
        {"in/shorter.safetensors",
         "{\"x\":{\"dtype\":\"F32\",\"shape\":[64,32],\"data_offsets\":[0,8192]}}", 8191},
        {"in/longer.safetensors",
         "{\"x\":{\"dtype\":\"F32\",\"shape\":[64,32],\"data_offsets\":[0,8192]}}", 8193},
        {"in/lies.safetensors",
         "{\"x\":{\"dtype\":\"F32\",\"shape\":[65,32],\"data_offsets\":[0,8192]}}", 8192},
        {"in/integers.safetensors",
         "{\"x\":{\"dtype\":\"I32\",\"shape\":[64,32],\"data_offsets\":[0,8192]}}", 8192},
        {"in/not_json.safetensors", "{\"x\":{\"dtype\" \"F32\"}}", 0},
        {"in/named.safetensors",
         "{\"x\":{\"dtype\":\"F32\",\"shape\":[64,32],\"data_offsets\":[0,8192]}}", 8192},
    };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        attn_cli_write_safetensors(attn_cli_path(files[i].name), files[i].header, numbers,
                                   files[i].bytes);
    attn_cli_write_text("in/empty.safetensors", "");
    attn_scratch_write(attn_cli_path("in/claims_more.safetensors"),
                       "\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10);
}

static void write_configs(void) {
    attn_cli_write_text("in/layer.yaml",
                        "attention: {heads: 4, mask: causal}\n"
                        "input:\n"
                        "  x: x.npy\n"
                        "  weights: {file: layer.safetensors}\n"
                        "output: {y: y.npy, lse: lse.npy, report: report.json}\n");
    attn_cli_write_text("in/qkv.yaml",
                        "attention: {heads: 4, kv_heads: 2}\n"
                        "input: {q: q.npy, k: k.npy, v: v.npy}\n"
                        "output: {y: y.npy, lse: lse.npy, report: report.json}\n");
    attn_cli_write_text("in/synthetic.yaml",
                        "attention: {heads: 4}\n"
                        "sequence: {length: 64}\n"
                        "input: {synthetic: {seed: 1, d_model: 32}}\n"
                        "output: {y: y.npy, lse: lse.npy, report: report.json}\n");
}

static void write_inputs(void) {
    attn_synthetic_fill(1, 0, 0, (int64_t)(sizeof numbers / sizeof *numbers), 1.0f, numbers);
    mkdir(attn_cli_path("in"), 0777);
    mkdir(attn_cli_path("in/folder.npy"), 0777);
    write_tensors();
    write_odd_npy();
    write_layers();
    write_normed_layers();
    write_odd_safetensors();
    write_configs();
}

/* --- the requests --------------------------------------------------------------- */

static void a_wrong_command_line_is_refused(void) {
    static const bad_request requests[] = {
        {"no command", .command = {NULL}, .message = {"no command; see attnspan --help"}},
        {"an unknown command", .command = {"rum", "in/layer.yaml"},
         .message = {"unknown command \"rum\"; the command is run, check, plan, bench or info"},
         .on_ranks = 1},
        {"an unknown option", .command = {"run", "in/layer.yaml", "--ouput-dir", "out"},
         .message = {"unknown option \"--ouput-dir\"; the options are --set, --output-dir"}},
        {"no config", .command = {"run"}, .message = {"run: no config; write attnspan run CONFIG"}},
        {"two configs", .command = {"run", "in/layer.yaml", "in/qkv.yaml"},
         .message = {"\"in/qkv.yaml\" is one argument too many; one config at a time"}},
        {"a config that is not there", .command = {"run", "in/lair.yaml"},
         .message = {"in/lair.yaml: cannot open: No such file or directory"}, .on_ranks = 1},
        {"a config that is a folder", .command = {"check", "in"},
         .message = {"in: is a directory; must be a file"}},
        {"an argument of info", .command = {"info", "in/layer.yaml"},
         .message = {"info takes no arguments; write attnspan info"}},
        {"an option of another command", .command = {"run", "in/layer.yaml", "--ranks", "4"},
         .message = {"--ranks is no option of attnspan run"}},
        {"JSON of a run", .command = {"run", "in/layer.yaml", "--json"},
         .message = {"--json is no option of attnspan run", "output.report"}},
        {"no number of ranks", .command = {"plan", "in/layer.yaml", "--ranks", "four"},
         .message = {"--ranks: \"four\" is no number of them; write an integer from 1"}},
        {"no ranks", .command = {"plan", "in/layer.yaml", "--ranks", "0"},
         .message = {"--ranks: \"0\" is no number of them"}},
        {"more nodes than ranks",
         .command = {"plan", "in/layer.yaml", "--ranks", "2", "--nodes", "3"},
         .message = {"--nodes: 3 nodes are more than the 2 ranks"}, .on_ranks = 1},
        {"a mesh that does not fit the ranks asked for",
         .command = {"plan", "in/layer.yaml", "--ranks", "7", "--set", "parallel.heads=2"},
         .message = {"parallel.heads: 2 does not divide the number of ranks, which is 7"}},
        {"a plan for a mesh of more ranks than there can be",
         .command = {"plan", "in/layer.yaml", "--set",
                     "parallel={heads: 1048576, sequence: 1048576}"},
         .message = {"parallel.heads: makes 1099511627776 ranks with parallel.sequence"}},
        {"a check for such a mesh",
         .command = {"check", "in/layer.yaml", "--set", "parallel={heads: 1048576, sequence: 2}"},
         .message = {"parallel.heads: makes 2097152 ranks with parallel.sequence"}},
        {"a calibration of a config",
         .command = {"bench", "in/layer.yaml", "--calibrate", "m.yaml"},
         .message = {"--calibrate takes no config"}},
        {"a calibration without a file", .command = {"bench", "--calibrate"},
         .message = {"--calibrate: no file is named"}},
        {"an output folder without a name", .command = {"run", "in/layer.yaml", "--output-dir"},
         .message = {"--output-dir: no folder is named; write --output-dir DIR"}},
        {"a --set without anything", .command = {"run", "in/layer.yaml", "--set"},
         .message = {"--set: nothing is set; write --set a.b=value"}},
        {"a --set without a value", .config = "layer.yaml", .sets = {"attention.heads"},
         .message = {"--set: 'attention.heads' has no value; write KEY=VALUE"}},
        {"a --set without a key", .config = "layer.yaml", .sets = {"=4"},
         .message = {"--set: '=4' has no key; write KEY=VALUE"}},
        {"a --set with an empty value", .config = "layer.yaml", .sets = {"attention.heads="},
         .message = {"--set: attention.heads: has no value; give one, or null"}},
        {"a --set of an unknown key", .config = "layer.yaml", .sets = {"attention.head=4"},
         .message = {"--set: attention.head: is not a key; did you mean attention.heads"}},
        {"a --set of a wrong type", .config = "layer.yaml", .sets = {"attention.heads=four"},
         .message = {"--set: attention.heads: is the string 'four'; must be an integer from 1"}},
    };

    MAKE_ALL(requests);
}

static void a_wrong_config_is_refused_at_its_line_and_column(void) {
    static const bad_request requests[] = {
        {"an unknown key", .text = "attention:\n  heads: 4\n  kv_haeds: 2\n",
         .message = {"in/case.yaml:3:3: attention.kv_haeds: is not a key; did you mean "
                     "attention.kv_heads"},
         .on_ranks = 1},
        {"an unknown section", .text = "attention: {heads: 4}\nparalel: {heads: 2}\n",
         .message = {"in/case.yaml:2:1: paralel: is not a key; did you mean parallel"}},
        {"a key given twice", .text = "attention:\n  heads: 4\n  heads: 8\n",
         .message =
             {"in/case.yaml:3:3: attention.heads: is given twice, first in line 2; keep one"}},
        {"a string for an integer", .text = "attention:\n  heads: \"4\"\n",
         .message = {"in/case.yaml:2:10: attention.heads: is the string '4'; must be an integer "
                     "from 1 to 65536, without quotes"}},
        {"a float for an integer", .text = "attention:\n  heads: 4.0\n",
         .message = {"in/case.yaml:2:10: attention.heads: is the float '4.0'; must be an integer"}},
        {"a sequence for a scalar", .text = "attention: {heads: [4]}\n",
         .message = {"in/case.yaml:1:20: attention.heads: is a sequence; must be an integer"}},
        {"a scalar for a section", .text = "attention: 4\n",
         .message =
             {"in/case.yaml:1:12: attention: is the integer '4'; must be a mapping of heads"}},
        {"an integer out of its range", .text = "attention: {heads: 0}\n",
         .message = {"in/case.yaml:1:20: attention.heads: is 0; must be an integer from 1 to"}},
        {"a number out of its range", .text = "attention: {heads: 4, scale: -0.5}\n",
         .message = {"in/case.yaml:1:30: attention.scale: is -0.5; must be a number above 0"}},
        {"a number that is not finite", .text = "attention: {heads: 4, scale: .nan}\n",
         .message = {"in/case.yaml:1:30: attention.scale: is .nan; must be a number above 0"}},
        {"an unknown mask", .text = "attention: {heads: 4, mask: casual}\n",
         .message = {"in/case.yaml:1:29: attention.mask: is 'casual'; must be none, causal or a "
                     "mapping of causal, window, prefix",
                     "(did you mean causal?)"}},
        {"an unknown kernel", .config = "layer.yaml", .sets = {"compute.kernel=avx9"},
         .message = {"--set: compute.kernel: is 'avx9'; must be one of auto, generic"}},
        {"a dtype that is not built", .config = "layer.yaml", .sets = {"compute.dtype=fp16"},
         .message = {"--set: compute.dtype: is 'fp16'; must be one of fp32, bf16"}},
        {"a required key left out", .text = "attention: {mask: causal}\n",
         .message =
             {"in/case.yaml:1:1: attention.heads: is missing; give the number of query heads"}},
        {"an empty config", .text = "",
         .message = {"in/case.yaml:1:1: is empty; must be a mapping"}},
        {"no YAML", .text = "attention:\n\theads: 4\n",
         .message = {"in/case.yaml:2:1: is not YAML: ", "; check the indentation"}},
        {"no text", .text = "attention:\n  heads: \x01\n",
         .message = {"in/case.yaml:2:10: is not text: ", "; write it in UTF-8"}},
    };

    MAKE_ALL(requests);
}

static void a_contradiction_is_refused(void) {
    static const bad_request requests[] = {
        {"more kv heads than fit into heads",
         .text = "attention:\n  heads: 4\n  kv_heads: 3\ninput: {synthetic: {d_model: 32}}\n",
         .message = {"in/case.yaml:3:13: attention.kv_heads: is 3; must divide attention.heads, "
                     "which is 4"},
         .on_ranks = 1},
        {"x and q", .config = "layer.yaml", .sets = {"input.q=q.npy"},
         .message = {"--set: input.q: contradicts input.x; give only one of x with weights"}},
        {"q without v", .config = "qkv.yaml", .sets = {"input.v=null"},
         .message =
             {"in/qkv.yaml:2:12: input.q: is given without input.v; give all of q, k and v"}},
        {"x without weights", .config = "layer.yaml", .sets = {"input.weights=null"},
         .message = {"in/layer.yaml:3:6: input.x: has no weights; add input.weights: {file: "}},
        {"no input", .text = "attention: {heads: 4}\ninput: {}\n",
         .message = {"in/case.yaml:2:1: input: has no tensors; give x and weights, or q, k and v"}},
        {"a synthetic width that heads do not divide", .config = "synthetic.yaml",
         .sets = {"input.synthetic.d_model=33"},
         .message = {"input.synthetic.d_model: is 33; must be a multiple of attention.heads, which "
                     "is 4, or give attention.head_dim"}},
        {"a layer with other keys than queries", .config = "synthetic.yaml",
         .sets = {"sequence.kv_length=65"},
         .message = {"sequence.kv_length: is 65; must equal sequence.length, which is 64"}},
        {"two outputs in one file", .config = "synthetic.yaml", .sets = {"output.lse=y.npy"},
         .message = {"--set: output.lse: would overwrite the file of output.y; must be a file"}},
        {"an output over an input", .command = {"run", "in/layer.yaml", "--output-dir", "in"},
         .sets = {"output.y=x.npy"},
         .message = {"output.y: would overwrite the file of input.x; must be a file of its own"}},
        {"shared nodes of a ring", .config = "synthetic.yaml",
         .sets = {"parallel={circulate: ring, share_nodes: true}"},
         .message =
             {"--set: parallel.share_nodes: is true, but parallel.circulate is ring; must be "
              "auto or false"}},
        {"shared nodes of one shard", .config = "synthetic.yaml",
         .sets = {"parallel={sequence: 1, circulate: gather, share_nodes: true}"},
         .message = {"share_nodes: no mesh of these ranks has two of one axis on a node"},
         .on_ranks = 1},
        {"a mesh of other ranks", .config = "synthetic.yaml",
         .sets = {"parallel={heads: 2, sequence: 2}"},
         .message = {"--set: parallel.heads: a mesh of 2 x 2 needs 4 ranks, but there ",
                     "; start mpirun -n 4, or leave one of the two auto"},
         .on_ranks = 1},
        {"head groups that do not divide the ranks", .config = "synthetic.yaml",
         .sets = {"parallel.heads=2"},
         .message = {"--set: parallel.heads: 2 does not divide the number of ranks, which is ",
                     "; choose a divisor of it, or auto"},
         .on_ranks = 1},
    };

    MAKE_ALL(requests);
}

static void inputs_that_do_not_fit_are_refused(void) {
    static const bad_request requests[] = {
        {"a length that is not the rows of x", .config = "layer.yaml",
         .sets = {"sequence.length=65"},
         .message = {"--set: sequence.length: is 65, but the number of rows of the input is 64; "
                     "set 64 or leave it out"},
         .on_ranks = 1},
        {"a key length that is not the rows of k", .config = "qkv.yaml",
         .sets = {"sequence.kv_length=16"},
         .message = {"sequence.kv_length: is 16, but the number of key rows of the input is 24"}},
        {"a batch that the input has not", .config = "layer.yaml", .sets = {"sequence.batch=2"},
         .message = {"--set: sequence.batch: is 2, but the batch of the input is 1; set 1 or"}},
        {"a head width that is not that of W_Q", .config = "layer.yaml",
         .sets = {"attention.head_dim=16"},
         .message = {"attention.head_dim: is 16, but the width of a head in W_Q is 8; set 8 or"}},
        {"heads that do not divide W_Q", .config = "layer.yaml", .sets = {"attention.heads=3"},
         .message = {"attention.heads: is 3, but the 32 rows of W_Q do not divide by it; "}},
        {"fewer kv heads than W_K has", .config = "layer.yaml", .sets = {"attention.kv_heads=2"},
         .message = {"--set: attention.kv_heads: is 2, which makes key heads 16 wide, but query "
                     "heads are 8 wide; W_K fits 4 kv heads"}},
        {"kv heads that do not divide W_K", .config = "layer.yaml",
         .sets = {"input.weights.file=odd_k.safetensors"},
         .message = {"in/layer.yaml: attention.kv_heads: is 4, but the 30 rows of W_K do not "}},
        {"a W_K for fewer kv heads", .config = "layer.yaml",
         .sets = {"input.weights.file=narrow_k.safetensors"},
         .message = {"attention.kv_heads: is 4, which makes key heads 4 wide, but query heads are "
                     "8 wide; W_K fits 2 kv heads"}},
        {"a W_Q for another x", .config = "layer.yaml",
         .sets = {"input.weights.file=wide_q.safetensors"},
         .message = {"--set: input.weights.file: W_Q has 48 columns, but the width of x is 32; "}},
        {"an x for other weights", .config = "layer.yaml", .sets = {"input.x=x_narrow.npy"},
         .message = {"in/layer.yaml:4:19: input.weights.file: W_Q has 32 columns, but the width of "
                     "x is 24; the layer and the input must fit"}},
        {"a W_O for another concatenation", .config = "layer.yaml",
         .sets = {"input.weights.file=wide_o.safetensors"},
         .message = {"W_O has 48 columns, but the concatenation of all heads is 32; the layer"}},
        {"a W_O for another y", .config = "layer.yaml",
         .sets = {"input.weights.file=long_o.safetensors"},
         .message = {"W_O has 48 rows, but y is as wide as x: 32; the layer and the input"}},
        {"a bias of another length", .config = "layer.yaml",
         .sets = {"input.weights.file=odd_bias.safetensors"},
         .message =
             {"in/odd_bias.safetensors: tensor W_V.bias does not fit W_V.weight; a bias has"}},
        {"q of another number of heads", .config = "qkv.yaml", .sets = {"attention.heads=2"},
         .message = {"attention.heads: is 2, but the number of heads in q is 4; set 4 or leave"}},
        {"k of another width than q", .config = "qkv.yaml", .sets = {"input.k=k_narrow.npy"},
         .message = {"in/qkv.yaml:2:12: input.q: q [4, 16, 8], k [2, 24, 7] and v [2, 24, 8] do "
                     "not fit; they share B"}},
        {"v with fewer rows than k", .config = "qkv.yaml", .sets = {"input.v=v_short.npy"},
         .message =
             {"k [2, 24, 8] and v [2, 23, 8] do not fit; they share B, k and v share heads"}},
        {"only v with a batch", .config = "qkv.yaml", .sets = {"input.v=v_batch.npy"},
         .message = {"and v [1, 2, 24, 8] do not fit"}},
        {"x with four dimensions", .config = "layer.yaml", .sets = {"input.x=x_4d.npy"},
         .message = {"--set: input.x: the tensor has the shape [1, 1, 64, 32]; it must be [N, "
                     "d_model] or [B, N, d_model], without empty dimensions"}},
        {"x with one dimension", .config = "layer.yaml", .sets = {"input.x=x_1d.npy"},
         .message = {"the tensor has the shape [64]; it must be [N, d_model]"}},
        {"x without rows", .config = "layer.yaml", .sets = {"input.x=x_no_rows.npy"},
         .message = {"the tensor has the shape [0, 32]; it must be [N, d_model]"}},
    };

    MAKE_ALL(requests);
}

static void positions_norms_and_memories_that_do_not_fit_are_refused(void) {
    static const bad_request requests[] = {
        {"an odd dim", .config = "layer.yaml", .sets = {"attention.rope.dim=7"},
         .message = {"--set: attention.rope.dim: is 7; must be even: elements turn in pairs"},
         .on_ranks = 1},
        {"a dim wider than the file's heads", .config = "layer.yaml",
         .sets = {"attention.rope.dim=10"},
         .message = {"--set: attention.rope.dim: is 10; must be at most the width of a head, which "
                     "is 8"},
         .on_ranks = 1},
        {"a dim wider than the given heads", .config = "qkv.yaml",
         .sets = {"attention.rope.dim=10"},
         .message = {"attention.rope.dim: is 10; must be at most the width of a head, which is 8"}},
        {"odd heads", .config = "synthetic.yaml",
         .sets = {"input.synthetic.d_model=28", "attention.rope={}"},
         .message = {"--set: attention.rope: would turn heads 7 wide; elements turn in pairs: add "
                     "an even dim"}},
        {"a scaling without a factor", .config = "layer.yaml",
         .sets = {"attention.rope.scaling.kind=ntk"},
         .message = {"--set: attention.rope.scaling: has no factor; add factor: TIMES"}},
        {"yarn without the original length", .config = "layer.yaml",
         .sets = {"attention.rope={scaling: {kind: yarn, factor: 2}}"},
         .message = {"--set: attention.rope.scaling: has no original_length; yarn needs it"}},
        {"weights without norms", .config = "layer.yaml", .sets = {"attention.qk_norm={}"},
         .message = {"in/layer.yaml:4:19: input.weights.file: ",
                     "in/layer.safetensors: has no tensor 'q_norm.weight'; it has "},
         .on_ranks = 1},
        {"weights with one norm", .config = "layer.yaml",
         .sets = {"attention.qk_norm={}", "input.weights.file=norm_of_q.safetensors"},
         .message = {"in/norm_of_q.safetensors: has no tensor 'k_norm.weight'; it has "}},
        {"weights with norms that are not asked for", .config = "layer.yaml",
         .sets = {"input.weights.file=normed.safetensors"},
         .message = {"in/normed.safetensors: tensor q_norm.weight: such a layer norms q and k; add "
                     "attention.qk_norm: {}"}},
        {"a norm that is too long", .config = "layer.yaml",
         .sets = {"attention.qk_norm={}", "input.weights.file=norm_long.safetensors"},
         .message =
             {"the norm of k has 16 weights, but heads are 8 wide; a norm has one for each"}},
        {"a norm that is a matrix", .config = "layer.yaml",
         .sets = {"attention.qk_norm={}", "input.weights.file=norm_matrix.safetensors"},
         .message =
             {"in/norm_matrix.safetensors: tensor q_norm.weight is not a vector; a norm has"}},
        {"norms in a scheme without them", .config = "layer.yaml",
         .sets = {"attention.qk_norm={}",
                  "input.weights={file: stacked.safetensors, scheme: torch_mha}"},
         .message = {"in/stacked.safetensors: layers of scheme torch_mha have no norm of q and k"}},
        {"a memory beside q, k and v", .config = "qkv.yaml", .sets = {"input.memory=memory.npy"},
         .message = {"--set: input.memory: is given without input.x; keys and values are "
                     "projected from it in a layer"}},
        {"a memory beside synthetic input", .config = "synthetic.yaml",
         .sets = {"input.memory=memory.npy"},
         .message = {"--set: input.memory: contradicts input.synthetic, which makes its own"}},
        {"a memory that is not there", .config = "layer.yaml", .sets = {"input.memory=none.npy"},
         .message = {"input.memory: ", "in/none.npy: cannot open: No such file or directory"}},
        {"a memory of a wrong shape", .config = "layer.yaml",
         .sets = {"input.memory=memory_1d.npy"},
         .message = {"--set: input.memory: the tensor has the shape [32]; it must be [N_kv, "
                     "d_memory] or [B, N_kv, d_memory]"},
         .on_ranks = 1},
        {"a memory with a batch beside x without", .config = "layer.yaml",
         .sets = {"input.memory=memory_batch.npy"},
         .message = {"--set: input.memory: the tensor has the shape [1, 24, 32], and x [64, 32]; "
                     "they share B"}},
        {"a memory that does not fit the weights", .config = "layer.yaml",
         .sets = {"input.memory=memory_narrow.npy"},
         .message = {"W_K has 32 columns, but the width of the memory is 20; the layer and the"}},
        {"a key length that is not the rows of the memory", .config = "layer.yaml",
         .sets = {"input.memory=memory.npy", "sequence.kv_length=64"},
         .message = {"--set: sequence.kv_length: is 64, but the number of key rows of the input is "
                     "24; set 24 or leave it out"}},
        {"NaN in the memory", .config = "layer.yaml", .sets = {"input.memory=x_nan.npy"},
         .message = {"in/x_nan.npy: element [63, 5] is NaN; all elements must be finite in fp32"},
         .on_ranks = 1},
        {"NaN in the memory, checked", .command = {"check", "in/layer.yaml"},
         .sets = {"input.memory=x_nan.npy"},
         .message = {"in/x_nan.npy: element [63, 5] is NaN; all elements must be finite in fp32"}},
        {"an output over the memory", .command = {"run", "in/layer.yaml", "--output-dir", "in"},
         .sets = {"input.memory=memory.npy", "output.y=memory.npy"},
         .message = {"output.y: would overwrite the file of input.memory; must be a file of its "}},
    };

    MAKE_ALL(requests);
}

static void a_file_that_is_no_tensor_is_refused(void) {
    static const bad_request requests[] = {
        {"a missing x", .config = "layer.yaml", .sets = {"input.x=none.npy"},
         .message = {"in/none.npy: cannot open: No such file or directory"}, .on_ranks = 1},
        {"an x that is a folder", .config = "layer.yaml", .sets = {"input.x=folder.npy"},
         .message = {"in/folder.npy: is a directory; must be a file"}},
        {"a name that says no format", .config = "layer.yaml", .sets = {"input.x=x.bin"},
         .message = {"in/x.bin: not a tensor's reference; must be FILE.npy or FILE.safetensors#"}},
        {"an empty .npy", .config = "layer.yaml", .sets = {"input.x=empty.npy"},
         .message = {"in/empty.npy: is empty; must be NumPy's .npy format"}},
        {"text", .config = "layer.yaml", .sets = {"input.x=text.npy"},
         .message = {"in/text.npy: does not start as a .npy file does; must be NumPy's .npy"}},
        {"a .npy cut in its header", .config = "layer.yaml", .sets = {"input.x=ends_early.npy"},
         .message = {"in/ends_early.npy: ends inside its header: 25 bytes; the header alone must "
                     "have 128"}},
        {"a damaged .npy header", .config = "layer.yaml", .sets = {"input.x=damaged.npy"},
         .message = {"in/damaged.npy: the .npy header is damaged at its byte ", "; must be ':'"}},
        {"a truncated .npy", .config = "layer.yaml", .sets = {"input.x=shorter.npy"},
         .message = {"in/shorter.npy: is shorter than its header says: 8260 bytes; by its shape it "
                     "must have 8264"},
         .on_ranks = 1},
        {"a .npy with too much", .config = "layer.yaml", .sets = {"input.x=longer.npy"},
         .message = {"in/longer.npy: is longer than its header says: 8268 bytes; by its shape it "
                     "must have 8264"}},
        {"a .npy that claims terabytes", .config = "layer.yaml",
         .sets = {"input.x=claims_more.npy"},
         .message = {"in/claims_more.npy: is shorter than its header says", "8192000000081"}},
        {"a .npy whose size overflows", .config = "layer.yaml", .sets = {"input.x=overflows.npy"},
         .message = {"in/overflows.npy: its shape is too large; its bytes must be countable"}},
        {"a big-endian .npy", .config = "layer.yaml", .sets = {"input.x=big_endian.npy"},
         .message =
             {"in/big_endian.npy: its elements are big-endian floats ('>f4'); must be '<f4'"}},
        {"a .npy of integers", .config = "layer.yaml", .sets = {"input.x=integers.npy"},
         .message =
             {"in/integers.npy: its elements are integers ('<i4'); must be '<f4', '<f8' or"}},
        {"a .npy in Fortran order", .config = "layer.yaml", .sets = {"input.x=fortran.npy"},
         .message = {"in/fortran.npy: is in Fortran order; must be in C order"}},
        {"missing weights", .config = "layer.yaml", .sets = {"input.weights.file=none.safetensors"},
         .message = {"in/none.safetensors: cannot open: No such file or directory"}},
        {"an empty safetensors file", .config = "layer.yaml",
         .sets = {"input.weights.file=empty.safetensors"},
         .message = {"in/empty.safetensors: has only 0 bytes; must be in the safetensors format"}},
        {"a .npy for weights", .config = "layer.yaml", .sets = {"input.weights.file=x.npy"},
         .message = {"in/x.npy: claims a header of ", "; must be in the safetensors format"}},
        {"a safetensors header without end", .config = "layer.yaml",
         .sets = {"input.weights.file=claims_more.safetensors"},
         .message =
             {"in/claims_more.safetensors: claims a header of 9223372036854775807 bytes in a "
              "file of 10; must be in the safetensors format"}},
        {"a safetensors header that is no JSON", .config = "layer.yaml",
         .sets = {"input.weights.file=not_json.safetensors"},
         .message =
             {"in/not_json.safetensors: the safetensors header is no valid JSON, near its "}},
        {"a truncated safetensors file", .config = "layer.yaml",
         .sets = {"input.x=shorter.safetensors#x"},
         .message = {"in/shorter.safetensors: is shorter than its header says: 8191 bytes of data; "
                     "its tensors must fill 8192"}},
        {"a safetensors file with too much", .config = "layer.yaml",
         .sets = {"input.x=longer.safetensors#x"},
         .message = {"in/longer.safetensors: is longer than its header says: 8193 bytes of data"}},
        {"a safetensors shape that lies", .config = "layer.yaml",
         .sets = {"input.x=lies.safetensors#x"},
         .message = {"in/lies.safetensors: tensor 'x': has 8192 bytes; by its shape and dtype it "
                     "must have 8320"}},
        {"a safetensors tensor of integers", .config = "layer.yaml",
         .sets = {"input.x=integers.safetensors#x"},
         .message = {"tensor 'x': its elements are 'I32'; must be F32, F64, F16 or BF16"}},
        {"a safetensors file without a name", .config = "layer.yaml",
         .sets = {"input.x=named.safetensors"},
         .message = {"in/named.safetensors: does not say which tensor of the file; write ",
                     "named.safetensors#NAME"}},
        {"a tensor that is not in the file", .config = "layer.yaml",
         .sets = {"input.x=named.safetensors#hidden"},
         .message = {"in/named.safetensors: has no tensor 'hidden'; it has 'x'"}},
        {"weights without W_O", .config = "layer.yaml",
         .sets = {"input.weights.file=no_o.safetensors"},
         .message = {"in/no_o.safetensors: has no tensor 'W_O.weight'; scheme linear looks for ",
                     "; it has 'W_K.bias', 'W_K.weight', 'W_Q.bias', 'W_Q.weight', 'W_V.bias', "},
         .on_ranks = 1},
        {"weights of another scheme", .config = "layer.yaml",
         .sets = {"input.weights.scheme=torch_mha"},
         .message =
             {"in/layer.safetensors: has no tensor 'in_proj_weight'; set input.weights.scheme: "
              "linear; "}},
    };

    MAKE_ALL(requests);
}

static void numbers_that_are_not_finite_are_refused(void) {
    static const bad_request requests[] = {
        {"NaN in x", .config = "layer.yaml", .sets = {"input.x=x_nan.npy"},
         .message = {"in/x_nan.npy: element [63, 5] is NaN; all elements must be finite in fp32"},
         .on_ranks = 1},
        {"NaN in x, checked", .command = {"check", "in/layer.yaml"}, .sets = {"input.x=x_nan.npy"},
         .message = {"in/x_nan.npy: element [63, 5] is NaN; all elements must be finite in fp32"},
         .on_ranks = 1},
        {"infinity in x", .config = "layer.yaml", .sets = {"input.x=x_inf.npy"},
         .message = {"in/x_inf.npy: element [0, 31] is -infinity; all elements must be finite"}},
        {"fp64 beyond fp32", .config = "layer.yaml", .sets = {"input.x=x_wide.npy"},
         .message = {"in/x_wide.npy: element [1, 1] is 1e+300, beyond the range of fp32; all"},
         .on_ranks = 1},
        {"infinity in the weights", .config = "layer.yaml",
         .sets = {"input.weights.file=infinite.safetensors"},
         .message = {"in/infinite.safetensors#W_K.weight: element [1, 3] is infinity; all"},
         .on_ranks = 1},
        {"infinity in the weights, checked", .command = {"check", "in/layer.yaml"},
         .sets = {"input.weights.file=infinite.safetensors"},
         .message = {"in/infinite.safetensors#W_K.weight: element [1, 3] is infinity; all"}},
        {"NaN in k", .config = "qkv.yaml", .sets = {"input.k=k_nan.npy"},
         .message = {"in/k_nan.npy: element [0, 12, 4] is NaN; all elements must be finite"},
         .on_ranks = 1},
    };

    MAKE_ALL(requests);
}

/* A NaN in x would be found by loading it: the output's error comes first. */
static void outputs_are_looked_at_before_anything_is_loaded(void) {
    static const bad_request requests[] = {
        {"a file in the place of the folder",
         .command = {"run", "in/layer.yaml", "--output-dir", "plain"},
         .sets = {"input.x=x_nan.npy"},
         .message = {"plain/y.npy: ", "/plain is not a folder; must be one"}, .exit_status = 3,
         .on_ranks = 1},
        {"a folder in the place of y",
         .command = {"run", "in/layer.yaml", "--output-dir", "taken_y"},
         .sets = {"input.x=x_nan.npy"},
         .message = {"taken_y/y.npy: is a directory; must be a file, or not exist"},
         .exit_status = 3},
        {"a folder in the place of lse",
         .command = {"run", "in/layer.yaml", "--output-dir", "taken_lse"},
         .sets = {"input.x=x_nan.npy"},
         .message = {"taken_lse/lse.npy: is a directory; must be a file, or not exist"},
         .exit_status = 3, .on_ranks = 1},
        {"a folder in the place of the report",
         .command = {"run", "in/layer.yaml", "--output-dir", "taken_report"},
         .sets = {"input.x=x_nan.npy"},
         .message = {"taken_report/report.json: is a directory; must be a file, or not exist"},
         .exit_status = 3, .on_ranks = 1},
        {"an output that names no file", .config = "layer.yaml",
         .sets = {"input.x=x_nan.npy", "output.y=some/folder/"},
         .message = {"some/folder/: names no file; must be FOLDER/FILE"}, .exit_status = 3},
        {"a file in the place of the folder, checked",
         .command = {"check", "in/layer.yaml", "--output-dir", "plain"},
         .message = {"plain/y.npy: ", "/plain is not a folder; must be one"}, .exit_status = 3},
    };

    attn_cli_write_text("plain", "kept");
    mkdir(attn_cli_path("taken_y"), 0777);
    mkdir(attn_cli_path("taken_y/y.npy"), 0777);
    mkdir(attn_cli_path("taken_lse"), 0777);
    mkdir(attn_cli_path("taken_lse/lse.npy"), 0777);
    mkdir(attn_cli_path("taken_report"), 0777);
    mkdir(attn_cli_path("taken_report/report.json"), 0777);
    MAKE_ALL(requests);
}

static void a_problem_beyond_the_memory_is_refused_before_it_is_made(void) {
    static const bad_request requests[] = {
        {"a sequence too long", .config = "synthetic.yaml", .sets = {"sequence.length=68719476736"},
         .message = {"the plan needs ", " GiB on a node (", " GiB are available there; use more"},
         .exit_status = 3, .on_ranks = 1},
        {"a layer too wide", .config = "synthetic.yaml",
         .sets = {"attention.heads=65536", "input.synthetic.d_model=1048576"},
         .message = {"the plan needs ", " GiB on a node (", " GiB are available there; use more"},
         .exit_status = 3, .on_ranks = 1},
        {"a sequence beyond counting", .config = "synthetic.yaml",
         .sets = {"sequence.length=281474976710656"},
         .message = {"the arrays of the problem take ", " GiB are available on a node; use a "},
         .exit_status = 3},
    };

    MAKE_ALL(requests);
}

static void a_result_that_is_not_finite_is_refused(void) {
    static const bad_request requests[] = {
        {"a projection beyond fp32", .config = "layer.yaml", .sets = {"input.x=x_huge.npy"},
         .message = {"the result has NaN or infinite elements: ",
                     "; scale the input or the weights"},
         .on_ranks = 1},
        {"a score beyond fp32", .config = "qkv.yaml",
         .sets = {"input.q=q_huge.npy", "input.k=q_huge.npy", "input.v=q_huge.npy",
                  "attention.kv_heads=4"},
         .message = {"the result has NaN or infinite elements: ",
                     "; scale the input or the weights"}},
    };

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) numbers[i] *= 1e37f;
    write_floats("in/x_huge.npy", 2, (const int64_t[]){ROWS, WIDTH});
    write_floats("in/q_huge.npy", 3, (const int64_t[]){4, 16, 8});
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) numbers[i] *= 1e-37f;
    MAKE_ALL(requests);
}

static void a_failed_verification_leaves_the_report_alone(void) {
    static const bad_request requests[] = {
        {"a tolerance below fp32", .config = "synthetic.yaml",
         .sets = {"verify={rows: 16, tolerance: 1.0e-12}"},
         .message = {"verification: over 16 rows the largest error of y is ",
                     "verify.tolerance allows 1.0e-12"},
         .left = "out/report.json", .exit_status = 4, .on_ranks = 1},
    };

    MAKE_ALL(requests);
}

/* qkv.yaml has 16 queries and 24 keys, layer.yaml 64 rows. */
static void a_mask_that_means_nothing_is_refused(void) {
    static const bad_request requests[] = {
        {"a window to the right of a causal mask",
         .text = "attention:\n  heads: 4\n  mask: {causal: true, window: [8, 2]}\n"
                 "input: {x: x.npy, weights: {file: layer.safetensors}}\n",
         .message = {"in/case.yaml:3:32: attention.mask.window: is [8, 2], but a causal mask shows "
                     "nothing to the right; must be [8, 0] with causal"},
         .on_ranks = 1},
        {"a prefix of everything", .config = "qkv.yaml", .sets = {"attention.mask={prefix: 4}"},
         .message =
             {"--set: attention.mask.prefix: is 4, but all keys are visible without it; must "
              "come with causal or window"}},
        {"first keys without a window", .config = "layer.yaml", .sets = {"attention.mask.first=4"},
         .message = {"--set: attention.mask.first: is 4, but no window hides the first keys; must "
                     "come with window"}},
        {"documents of other lengths than the sequence", .config = "layer.yaml",
         .sets = {"attention.mask.documents=[60, 3]"},
         .message = {"attention.mask.documents: are 63 rows long together; must be 64"},
         .on_ranks = 1},
        {"documents that pass the end", .config = "layer.yaml",
         .sets = {"attention.mask.documents=[60, 5, 1]"},
         .message = {"attention.mask.documents: pass the end of the 64 rows at index 1; their "
                     "lengths must add up to 64"}},
        {"an empty document", .config = "layer.yaml",
         .sets = {"attention.mask.documents=[60, 0, 4]"},
         .message =
             {"attention.mask.documents: is 0; must be a list of 1 to 1024 integers from 1"}},
        {"an empty document in a file", .config = "layer.yaml",
         .sets = {"attention.mask.documents=empty_document.npy"},
         .message =
             {"attention.mask.documents: have a length of 0 at index 1; each must be 1 or "}},
        {"documents of queries and other keys", .config = "qkv.yaml",
         .sets = {"attention.mask.documents=[16]"},
         .message = {"attention.mask.documents: are of queries and keys alike, but there are 16 "
                     "queries and 24 keys"}},
        {"documents in a file of floats", .config = "layer.yaml",
         .sets = {"attention.mask.documents=x.npy"},
         .message = {"--set: attention.mask.documents: ", "x.npy: its elements are another sort",
                     "must be '<i8' or '<i4'"}},
        {"documents in no file", .config = "layer.yaml",
         .sets = {"attention.mask.documents=no.npy"},
         .message = {"--set: attention.mask.documents: ", "no.npy"}, .on_ranks = 1},
        {"more documents than rows", .config = "layer.yaml",
         .sets = {"attention.mask.documents=long_list.npy"},
         .message = {"attention.mask.documents: ", "must be a list, [n], of 1 to 64"}},
        {"a key length for each of two items", .config = "layer.yaml",
         .sets = {"attention.mask.key_lengths=[64, 60]"},
         .message = {"--set: attention.mask.key_lengths: are 2; must be 1, one for each item"}},
        {"a key length beyond the keys", .config = "qkv.yaml",
         .sets = {"attention.mask.key_lengths=[25]"},
         .message = {"attention.mask.key_lengths: have 25 at index 0; must be 0 to 24"}},
    };

    MAKE_ALL(requests);
}

/* [4, 16, 24] for queries of 16 rows and keys of 24, good but for one element. */
static void write_bias(const char *name, int64_t elem, float value) {
    static float bias[4 * 16 * 24];

    for (int i = 0; i < 4 * 16 * 24; i++) bias[i] = i % 5 == 0 ? -INFINITY : 0.25f;
    bias[elem] = value;
    attn_cli_write_floats(attn_cli_path(name), 3, (const int64_t[]){4, 16, 24}, bias);
}

static void terms_that_do_not_fit_are_refused(void) {
    static const bad_request requests[] = {
        {"a bias of other lengths", .config = "qkv.yaml", .sets = {"attention.mask.bias=k.npy"},
         .message = {"--set: attention.mask.bias: the tensor has the shape [2, 24, 8]; it must be "
                     "[4 or 1, 16, 24]: heads, queries and keys"},
         .on_ranks = 1},
        {"a bias without heads", .config = "qkv.yaml", .sets = {"attention.mask.bias=x.npy"},
         .message = {"attention.mask.bias: the tensor has the shape [64, 32]; it must be [4 or 1"}},
        {"a bias in no file", .config = "qkv.yaml", .sets = {"attention.mask.bias=no.npy"},
         .message = {"--set: attention.mask.bias: ", "no.npy"}, .on_ranks = 1},
        {"a bias with NaN", .config = "qkv.yaml", .sets = {"attention.mask.bias=bias_nan.npy"},
         .message = {"bias_nan.npy: element [3, 15, 23] is NaN"}, .on_ranks = 1},
        {"a bias of infinity", .config = "qkv.yaml", .sets = {"attention.mask.bias=bias_inf.npy"},
         .message = {"bias_inf.npy: element [0, 0, 7] is infinity"}, .on_ranks = 1},
        {"a sink for each of three heads", .config = "qkv.yaml",
         .sets = {"attention.sinks=[1, 2, 3]"},
         .message = {"--set: attention.sinks: has 3 numbers; must have 4, one for each of"}},
        {"sinks of another shape", .config = "qkv.yaml", .sets = {"attention.sinks=x_1d.npy"},
         .message = {"--set: attention.sinks: the tensor has 1 dimension and 64 elements; it must "
                     "be [4], one for each of attention.heads"},
         .on_ranks = 1},
        {"slopes in no file", .config = "qkv.yaml", .sets = {"attention.alibi={slopes: no.npy}"},
         .message = {"--set: attention.alibi.slopes: ", "no.npy"}, .on_ranks = 1},
        {"slopes with NaN", .config = "qkv.yaml",
         .sets = {"attention.alibi={slopes: four_nan.npy}"},
         .message = {"--set: attention.alibi.slopes: ", "four_nan.npy: element [2] is NaN"},
         .on_ranks = 1},
        {"sinks beyond fp32 once unscaled", .config = "qkv.yaml",
         .sets = {"attention.sinks=[1, 1, 3e38, 1]", "attention.scale=0.1"},
         .message =
             {"--set: attention.sinks: have 3e+38 for head 2, whose quotient with the scale"}},
    };

    write_bias("in/bias_nan.npy", 4 * 16 * 24 - 1, NAN);
    write_bias("in/bias_inf.npy", 7, INFINITY);
    attn_cli_write_floats(attn_cli_path("in/four_nan.npy"), 1, (const int64_t[]){4},
                          (const float[]){1, 1, NAN, 1});
    MAKE_ALL(requests);
}

int main(void) {
    static const attn_test tests[] = {
        {"a wrong command line is refused", a_wrong_command_line_is_refused},
        {"a wrong config is refused at its line and column",
         a_wrong_config_is_refused_at_its_line_and_column},
        {"a contradiction is refused", a_contradiction_is_refused},
        {"a mask that means nothing is refused", a_mask_that_means_nothing_is_refused},
        {"inputs that do not fit are refused", inputs_that_do_not_fit_are_refused},
        {"terms that do not fit are refused", terms_that_do_not_fit_are_refused},
        {"positions, norms and memories that do not fit are refused",
         positions_norms_and_memories_that_do_not_fit_are_refused},
        {"a file that is no tensor is refused", a_file_that_is_no_tensor_is_refused},
        {"numbers that are not finite are refused", numbers_that_are_not_finite_are_refused},
        {"outputs are looked at before anything is loaded",
         outputs_are_looked_at_before_anything_is_loaded},
        {"a problem beyond the memory is refused before it is made",
         a_problem_beyond_the_memory_is_refused_before_it_is_made},
        {"a result that is not finite is refused", a_result_that_is_not_finite_is_refused},
        {"a failed verification leaves the report alone",
         a_failed_verification_leaves_the_report_alone},
    };
    int failed;

    attn_cli_begin();
    write_inputs();
    failed = attn_test_main("bad requests", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
