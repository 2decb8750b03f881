#include "mask_spec.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agree.h"
#include "memory.h"

attn_mask attn_mask_spec_mask(const attn_problem *problem) {
    return (attn_mask){problem->mask, problem->length, problem->kv_length, problem->batch};
}

/* --- what means something --------------------------------------------------- */

static attn_status check_causal(const attn_problem *problem, attn_error *error) {
    const attn_causal causal = problem->mask.causal;

    if (causal == ATTN_NOT_CAUSAL || causal == ATTN_CAUSAL || causal == ATTN_CAUSAL_TOP_LEFT)
        return ATTN_OK;
    return attn_fail(error, ATTN_ERR_CONFIG, "is %d; must be one of attn_causal", (int)causal);
}

static attn_status check_window(const attn_problem *problem, attn_error *error) {
    const attn_mask_spec *spec = &problem->mask;

    if (!spec->windowed) return ATTN_OK;
    if (spec->left < -1 || spec->right < -1)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "is [%" PRId64 ", %" PRId64 "]; must be keys to the left and right, or -1",
                         spec->left, spec->right);
    if (spec->causal != ATTN_NOT_CAUSAL && spec->right > 0)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "is [%" PRId64 ", %" PRId64
                         "], but a causal mask shows nothing to the right; must be [%" PRId64
                         ", 0] with causal",
                         spec->left, spec->right, spec->left);
    return ATTN_OK;
}

static attn_status check_prefix(const attn_problem *problem, attn_error *error) {
    const attn_mask_spec *spec = &problem->mask;

    if (spec->prefix < 0)
        return attn_fail(error, ATTN_ERR_CONFIG, "is %" PRId64 "; must be 0 or more", spec->prefix);
    if (spec->prefix == 0 || spec->causal != ATTN_NOT_CAUSAL || spec->windowed) return ATTN_OK;
    return attn_fail(error, ATTN_ERR_CONFIG,
                     "is %" PRId64
                     ", but all keys are visible without it; must come with causal or window",
                     spec->prefix);
}

static attn_status check_documents(const attn_problem *problem, attn_error *error) {
    const attn_mask_spec *spec = &problem->mask;
    const int64_t *starts = spec->document_starts, count = spec->document_count;

    if (count == 0) return ATTN_OK;
    if (problem->length != problem->kv_length)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "are of queries and keys alike, but there are %" PRId64
                         " queries and %" PRId64 " keys; must come with as many of both",
                         problem->length, problem->kv_length);
    if (count < 0 || starts == NULL || starts[0] != 0)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "have no first start; must be the starts 0, ..., N of count documents");
    for (int64_t i = 0; i < count; i++)
        if (starts[i + 1] <= starts[i])
            return attn_fail(error, ATTN_ERR_CONFIG,
                             "have a length of %" PRId64 " at index %" PRId64
                             "; each must be 1 or more",
                             starts[i + 1] - starts[i], i);
    if (starts[count] != problem->length)
        return attn_fail(error, ATTN_ERR_CONFIG,
                         "are %" PRId64 " rows long together; must be %" PRId64
                         ", the length of the sequence",
                         starts[count], problem->length);
    return ATTN_OK;
}

static attn_status check_first(const attn_problem *problem, attn_error *error) {
    const attn_mask_spec *spec = &problem->mask;

    if (spec->first < 0)
        return attn_fail(error, ATTN_ERR_CONFIG, "is %" PRId64 "; must be 0 or more", spec->first);
    if (spec->first == 0 || spec->windowed) return ATTN_OK;
    return attn_fail(error, ATTN_ERR_CONFIG,
                     "is %" PRId64
                     ", but no window hides the first keys; must come with window: [LEFT, RIGHT]",
                     spec->first);
}

static attn_status check_key_lengths(const attn_problem *problem, attn_error *error) {
    const int64_t *lengths = problem->mask.key_lengths;

    for (int64_t i = 0; lengths != NULL && i < problem->batch; i++)
        if (lengths[i] < 0 || lengths[i] > problem->kv_length)
            return attn_fail(error, ATTN_ERR_CONFIG,
                             "have %" PRId64 " at index %" PRId64 "; must be 0 to %" PRId64
                             ", the keys there are",
                             lengths[i], i, problem->kv_length);
    return ATTN_OK;
}

attn_status attn_mask_spec_check(const attn_problem *problem, const char **part,
                                 attn_error *error) {
    static const struct {
        const char *part;
        attn_status (*check)(const attn_problem *problem, attn_error *error);
    } checks[] = {
        {"causal", check_causal}, {"window", check_window},
        {"prefix", check_prefix}, {"documents", check_documents},
        {"first", check_first},   {"key_lengths", check_key_lengths},
    };

    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        *part = checks[i].part;
        if (checks[i].check(problem, error) != ATTN_OK) return error->status;
    }
    return attn_ok(error);
}

/* --- arrays ----------------------------------------------------------------- */

static int64_t start_elems(const attn_mask_spec *spec) {
    return spec->document_count > 0 ? spec->document_count + 1 : 0;
}

int64_t attn_mask_spec_elems(const attn_mask_spec *spec, int64_t batch) {
    return start_elems(spec) + (spec->key_lengths != NULL ? batch : 0);
}

/* Document starts first, key lengths behind them. */
static attn_status allocate(const attn_mask_spec *spec, int64_t batch, int64_t **memory,
                            attn_error *error) {
    const int64_t elems = attn_mask_spec_elems(spec, batch);

    *memory = NULL;
    if (elems == 0) return attn_ok(error);
    *memory = attn_alloc((size_t)elems, sizeof **memory);
    if (*memory == NULL)
        return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate the mask's %" PRId64 " numbers",
                         elems);
    return attn_ok(error);
}

static void point_to(attn_mask_spec *spec, const int64_t *memory) {
    if (spec->key_lengths != NULL) spec->key_lengths = memory + start_elems(spec);
    spec->document_starts = spec->document_count > 0 ? memory : NULL;
}

attn_status attn_mask_spec_copy(attn_mask_spec *spec, int64_t batch, int64_t **memory,
                                attn_error *error) {
    const int64_t starts = start_elems(spec);

    if (allocate(spec, batch, memory, error) != ATTN_OK) return error->status;
    if (starts > 0) memcpy(*memory, spec->document_starts, (size_t)starts * sizeof **memory);
    if (spec->key_lengths != NULL)
        memcpy(*memory + starts, spec->key_lengths, (size_t)batch * sizeof **memory);
    point_to(spec, *memory);
    return attn_ok(error);
}

attn_status attn_mask_spec_broadcast(MPI_Comm comm, attn_mask_spec *spec, int64_t batch,
                                     int64_t **memory, attn_error *error) {
    enum { PIECE = 1 << 24 };
    const int64_t elems = attn_mask_spec_elems(spec, batch);
    int rank;

    ATTN_MPI(MPI_Comm_rank(comm, &rank));
    attn_ok(error);
    if (rank != 0) allocate(spec, batch, memory, error);
    if (attn_agree(comm, "mask", error) != ATTN_OK) return error->status;
    for (int64_t done = 0; done < elems; done += PIECE)
        ATTN_MPI(MPI_Bcast(*memory + done, (int)(elems - done < PIECE ? elems - done : PIECE),
                           MPI_INT64_T, 0, comm));
    point_to(spec, *memory);
    return attn_ok(error);
}

/* --- words ------------------------------------------------------------------ */

/* Appends to a text that may be full, a comma between. */
static ATTN_PRINTF(3, 4) void append(char *text, size_t bytes, const char *format, ...) {
    size_t used = strlen(text);
    va_list arguments;

    if (used > 0) used += (size_t)snprintf(text + used, bytes - used, ", ");
    if (used >= bytes) return;
    va_start(arguments, format);
    vsnprintf(text + used, bytes - used, format, arguments);
    va_end(arguments);
}

void attn_mask_spec_words(const attn_mask_spec *spec, int64_t batch, char *text, size_t bytes) {
    static const char *const causal[] = {
        [ATTN_CAUSAL] = "causal", [ATTN_CAUSAL_TOP_LEFT] = "causal from the top left"};

    text[0] = '\0';
    if (spec->causal != ATTN_NOT_CAUSAL) append(text, bytes, "%s", causal[spec->causal]);
    if (spec->windowed)
        append(text, bytes, "window [%" PRId64 ", %" PRId64 "]", spec->left, spec->right);
    if (spec->prefix > 0) append(text, bytes, "prefix %" PRId64, spec->prefix);
    if (spec->first > 0) append(text, bytes, "first %" PRId64, spec->first);
    if (spec->document_count > 0)
        append(text, bytes, "%" PRId64 " document%s", spec->document_count,
               spec->document_count == 1 ? "" : "s");
    if (spec->key_lengths != NULL)
        append(text, bytes, "%" PRId64 " key length%s", batch, batch == 1 ? "" : "s");
    if (text[0] == '\0') append(text, bytes, "none");
}
