/* Checkpoints: tensors by name, from one file or through an index; what an index may not
 * say, in which words it is refused, and that no damaged index does harm. */
#include "checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "cli_files.h"
#include "harness.h"
#include "scratch.h"

static const char good_index[] =
    "{\"metadata\": {\"total_size\": 96}, \"weight_map\": {\n"
    "  \"b.weight\": \"two.safetensors\",\n"
    "  \"a.weight\": \"./one.safetensors\"}}\n";

static const float numbers[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static void write_shards(void) {
    attn_cli_write_tensors(
        attn_cli_path("one.safetensors"),
        (const attn_cli_tensor[]){{"a.weight", 3, 4, numbers}, {"hidden", 2, 0, numbers}}, 2);
    attn_cli_write_tensors(attn_cli_path("two.safetensors"),
                           (const attn_cli_tensor[]){{"b.weight", 2, 5, numbers}}, 1);
}

/* Opens an index of that text. */
static attn_status open_index(const char *text, attn_checkpoint **checkpoint, attn_error *error) {
    attn_cli_write_text("m.index.json", text);
    return attn_checkpoint_open(attn_cli_path("m.index.json"), checkpoint, error);
}

static void an_index_finds_tensors_in_its_shards(void) {
    attn_checkpoint *checkpoint;
    attn_tensor tensor;
    attn_error error;
    size_t count;
    int found = -1;

    write_shards();
    CU_ASSERT_EQUAL(open_index(good_index, &checkpoint, &error), ATTN_OK);
    CU_ASSERT_STRING_EQUAL(error.message, "");
    CU_ASSERT_EQUAL(attn_checkpoint_has(checkpoint, "b.weight", &found, &error), ATTN_OK);
    CU_ASSERT_EQUAL(found, 1);
    CU_ASSERT_EQUAL(attn_checkpoint_has(checkpoint, "weight", &found, &error), ATTN_OK);
    CU_ASSERT_EQUAL(found, 0);
    CU_ASSERT_EQUAL(attn_checkpoint_describe(checkpoint, "b.weight", &tensor, &error), ATTN_OK);
    CU_ASSERT_STRING_EQUAL(tensor.path, attn_cli_path("two.safetensors"));
    CU_ASSERT_STRING_EQUAL(tensor.name, "b.weight");
    CU_ASSERT(tensor.dims == 2 && tensor.shape[0] == 2 && tensor.shape[1] == 5);
    CU_ASSERT_EQUAL(attn_checkpoint_describe(checkpoint, "a.weight", &tensor, &error), ATTN_OK);
    CU_ASSERT(tensor.dims == 2 && tensor.shape[0] == 3 && tensor.shape[1] == 4);
    CU_ASSERT_STRING_EQUAL(attn_checkpoint_names(checkpoint, &count)[0], "a.weight");
    CU_ASSERT_STRING_EQUAL(attn_checkpoint_names(checkpoint, &count)[1], "b.weight");
    CU_ASSERT_EQUAL(count, 2);
    attn_checkpoint_close(checkpoint);
}

static void one_file_is_a_checkpoint(void) {
    attn_checkpoint *checkpoint;
    attn_tensor tensor;
    attn_error error;
    size_t count;
    int found = -1;

    write_shards();
    CU_ASSERT_EQUAL(attn_checkpoint_open(attn_cli_path("one.safetensors"), &checkpoint, &error),
                    ATTN_OK);
    CU_ASSERT_EQUAL(attn_checkpoint_describe(checkpoint, "hidden", &tensor, &error), ATTN_OK);
    CU_ASSERT_STRING_EQUAL(tensor.path, attn_cli_path("one.safetensors"));
    CU_ASSERT_EQUAL(attn_checkpoint_has(checkpoint, "b.weight", &found, &error), ATTN_OK);
    CU_ASSERT_EQUAL(found, 0);
    CU_ASSERT_STRING_EQUAL(attn_checkpoint_names(checkpoint, &count)[1], "hidden");
    CU_ASSERT_EQUAL(count, 2);
    attn_checkpoint_close(checkpoint);
    attn_checkpoint_close(NULL);
}

/* An index with one tensor, 't', in that shard. */
#define ONE(shard) "{\"weight_map\": {\"t\": " shard "}}"

static void wrong_indices_are_refused(void) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "is no valid JSON, at line 1, column 0: "},
        {"{\n\"weight_map\" {}}", "is no valid JSON, at line 2, column 14: "},
        {"{} x", "is no valid JSON"},
        {"{\"weight_map\": {\"t\": \"a.safetensors\", \"t\": \"b.safetensors\"}}", "duplicate"},
        {"{\"weight_map\": {}, \"weight_map\": {}}", "duplicate"},
        {"[]", "has no object 'weight_map'; must be an index of safetensors files"},
        {"{}", "has no object 'weight_map'"},
        {"{\"weight_map\": []}", "has no object 'weight_map'"},
        {"{\"weight_map\": {\"t\": \"a\\u0000.safetensors\"}}", "is no valid JSON"},
        {ONE("1"), "puts tensor 't' in no file; must be a string"},
        {ONE("null"), "puts tensor 't' in no file; must be a string"},
        {ONE("\"\""), "puts tensor 't' in ''; a shard must be a .safetensors file"},
        {ONE("\"t.bin\""), "puts tensor 't' in 't.bin'; a shard must be a .safetensors file"},
        {ONE("\"/t.safetensors\""), "in '/t.safetensors'; a shard must lie in the index's folder"},
        {ONE("\"../t.safetensors\""), "in '../t.safetensors'; a shard must lie in the index's"},
        {ONE("\"a/../../t.safetensors\""), "a shard must lie in the index's folder or below it"},
        {ONE("\"a/../t.safetensors\""), "a shard must lie in the index's folder or below it"},
        {ONE("\"..\\n/x.safetensors\""), "in '..?/x.safetensors'; a shard's name must have no"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_checkpoint *checkpoint;
        attn_error error;

        CU_ASSERT_EQUAL(open_index(cases[i].text, &checkpoint, &error), ATTN_ERR_INPUT);
        CU_ASSERT_PTR_NULL(checkpoint);
        CU_ASSERT_PTR_EQUAL(strstr(error.message, attn_cli_path("m.index.json")), error.message);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        if (strstr(error.message, cases[i].message) == NULL)
            printf("\n    %s\n    said: %s\n", cases[i].text, error.message);
    }
}

static void names_with_dots_are_no_escape(void) {
    attn_checkpoint *checkpoint;
    attn_error error;

    CU_ASSERT_EQUAL(open_index(ONE("\"..a/b../...safetensors\""), &checkpoint, &error), ATTN_OK);
    attn_checkpoint_close(checkpoint);
}

static void a_path_that_is_too_long_is_refused(void) {
    static char text[ATTN_PATH_BYTES + 256];
    attn_checkpoint *checkpoint;
    attn_error error;

    snprintf(text, sizeof text, "{\"weight_map\": {\"t\": \"%0*d.safetensors\"}}", ATTN_PATH_BYTES,
             0);
    CU_ASSERT_EQUAL(open_index(text, &checkpoint, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "puts tensor 't' in '000"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "; its path must have less than 4096 bytes"));
}

static void shards_that_do_not_fit_the_index_are_refused(void) {
    static const struct {
        const char *text, *name, *message;
    } cases[] = {
        {ONE("\"none.safetensors\""), "t", "m.index.json: the shard of tensor 't': "},
        {ONE("\"none.safetensors\""), "t", "none.safetensors: cannot open: No such file"},
        {ONE("\"two.safetensors\""), "t",
         "m.index.json: puts tensor 't' in 'two.safetensors', which has no such tensor; the index "
         "and its shards must belong together"},
        {ONE("\"text.safetensors\""), "t", "text.safetensors: has only 2 bytes"},
        {good_index, "u", "m.index.json: has no tensor 'u'; it has 'a.weight', 'b.weight'"},
    };

    write_shards();
    attn_cli_write_text("text.safetensors", "no");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attn_checkpoint *checkpoint;
        attn_tensor tensor;
        attn_error error;

        CU_ASSERT_EQUAL(open_index(cases[i].text, &checkpoint, &error), ATTN_OK);
        CU_ASSERT_EQUAL(attn_checkpoint_describe(checkpoint, cases[i].name, &tensor, &error),
                        ATTN_ERR_INPUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(error.message, cases[i].message));
        if (strstr(error.message, cases[i].message) == NULL)
            printf("\n    %s\n    said: %s\n", cases[i].text, error.message);
        attn_checkpoint_close(checkpoint);
    }
}

/* A shard in use has a tensor that the index leaves out: is it there or not? */
static void a_tensor_that_only_a_shard_knows_is_refused(void) {
    attn_checkpoint *checkpoint;
    attn_tensor tensor;
    attn_error error;
    int found = -1;

    write_shards();
    CU_ASSERT_EQUAL(open_index(good_index, &checkpoint, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_checkpoint_describe(checkpoint, "a.weight", &tensor, &error), ATTN_OK);
    CU_ASSERT_EQUAL(attn_checkpoint_has(checkpoint, "hidden", &found, &error), ATTN_ERR_INPUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message,
                                  "m.index.json: does not list tensor 'hidden', which "
                                  "'./one.safetensors' has; must list all"));
    attn_checkpoint_close(checkpoint);
}

/* Whatever a byte becomes: the index is refused, or its tensors are found or refused. */
static void every_changed_byte_is_harmless(void) {
    static const char values[] = {'\1', '\x7f', '"', '{', '}', ',', ':', '/', '.', '9'};
    char text[sizeof good_index];

    write_shards();
    for (size_t i = 0; i < sizeof good_index - 1; i++)
        for (size_t j = 0; j < sizeof values; j++) {
            attn_checkpoint *checkpoint;
            attn_tensor tensor;
            attn_error error;
            attn_status status;

            memcpy(text, good_index, sizeof text);
            text[i] = values[j];
            status = open_index(text, &checkpoint, &error);
            CU_ASSERT(status == ATTN_OK || status == ATTN_ERR_INPUT);
            if (status != ATTN_OK) continue;
            status = attn_checkpoint_describe(checkpoint, "a.weight", &tensor, &error);
            CU_ASSERT(status == ATTN_OK || status == ATTN_ERR_INPUT);
            CU_ASSERT(status != ATTN_OK || tensor.shape[1] == 4);
            attn_checkpoint_close(checkpoint);
        }
}

int main(void) {
    static const attn_test tests[] = {
        {"an index finds tensors in its shards", an_index_finds_tensors_in_its_shards},
        {"one file is a checkpoint", one_file_is_a_checkpoint},
        {"wrong indices are refused", wrong_indices_are_refused},
        {"names with dots are no escape", names_with_dots_are_no_escape},
        {"a path that is too long is refused", a_path_that_is_too_long_is_refused},
        {"shards that do not fit the index are refused",
         shards_that_do_not_fit_the_index_are_refused},
        {"a tensor that only a shard knows is refused",
         a_tensor_that_only_a_shard_knows_is_refused},
        {"every changed byte is harmless", every_changed_byte_is_harmless},
    };
    int failed;

    attn_cli_begin();
    failed = attn_test_main("checkpoint", tests, ATTN_TEST_COUNT(tests));
    attn_cli_end();
    return failed;
}
