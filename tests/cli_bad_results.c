/* Results that cannot be had: no place for them, no memory, not finite, or not verified. */
#include <sys/stat.h>

#include "bad_requests.h"
#include "cli_files.h"
#include "harness.h"
#include "small_inputs.h"

enum { ROWS = ATTN_SMALL_ROWS, WIDTH = ATTN_SMALL_WIDTH };

/* A NaN in x would be found by loading it: the output's error comes first. */
static void outputs_are_looked_at_before_anything_is_loaded(void) {
    static const attn_bad_request requests[] = {
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
    ATTN_BAD_REQUESTS_MAKE(requests);
}

static void a_problem_beyond_the_memory_is_refused_before_it_is_made(void) {
    static const attn_bad_request requests[] = {
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

    ATTN_BAD_REQUESTS_MAKE(requests);
}

static void a_result_that_is_not_finite_is_refused(void) {
    static const attn_bad_request requests[] = {
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
    static float huge[ROWS * WIDTH];

    for (int i = 0; i < ROWS * WIDTH; i++) huge[i] = 1e37f * attn_small_numbers()[i];
    attn_cli_write_floats(attn_cli_path("in/x_huge.npy"), 2, (const int64_t[]){ROWS, WIDTH}, huge);
    attn_cli_write_floats(attn_cli_path("in/q_huge.npy"), 3, (const int64_t[]){4, 16, 8}, huge);
    ATTN_BAD_REQUESTS_MAKE(requests);
}

static void a_failed_verification_leaves_the_report_alone(void) {
    static const attn_bad_request requests[] = {
        {"a tolerance below fp32", .config = "synthetic.yaml",
         .sets = {"verify={rows: 16, tolerance: 1.0e-12}"},
         .message = {"verification: over 16 rows the largest error of y is ",
                     "verify.tolerance allows 1.0e-12"},
         .left = "out/report.json", .exit_status = 4, .on_ranks = 1},
    };

    ATTN_BAD_REQUESTS_MAKE(requests);
}

int main(void) {
    static const attn_test tests[] = {
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
    attn_small_inputs_write();
    failed = attn_test_main("bad results", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
