#include "kernel_seen.h"

typedef attn_interval interval_of(int64_t row, int64_t rows, int64_t keys);

static int64_t clipped(int64_t key, int64_t keys) {
    if (key < 0) return 0;
    return key < keys ? key : keys;
}

attn_interval attn_seen_clipped(int64_t first, int64_t last, int64_t keys) {
    return (attn_interval){clipped(first, keys), clipped(last, keys)};
}

static attn_interval see_all(int64_t row, int64_t rows, int64_t keys) {
    (void)row, (void)rows;
    return (attn_interval){0, keys};
}

static attn_interval see_last_aligned(int64_t row, int64_t rows, int64_t keys) {
    return attn_seen_clipped(0, row + 1 + keys - rows, keys);
}

static attn_interval see_first_aligned(int64_t row, int64_t rows, int64_t keys) {
    (void)rows;
    return attn_seen_clipped(0, row + 1, keys);
}

static attn_interval see_in_odd_rows(int64_t row, int64_t rows, int64_t keys) {
    (void)rows;
    return attn_seen_clipped(0, row % 2 * keys, keys);
}

static attn_interval see_one_key(int64_t row, int64_t rows, int64_t keys) {
    const int64_t key = (row * 37 + rows) % keys;

    return (attn_interval){key, key + 1};
}

static attn_interval see_window(int64_t row, int64_t rows, int64_t keys) {
    const int64_t center = row * keys / rows;

    return attn_seen_clipped(center - 5, center + 3, keys);
}

static attn_interval see_end(int64_t row, int64_t rows, int64_t keys) {
    (void)rows;
    return attn_seen_clipped(keys - 1 - 3 * row, keys, keys);
}

/* Empty in several ways: their ends are equal, or the wrong way round. */
static attn_interval see_nothing(int64_t row, int64_t rows, int64_t keys) {
    return attn_seen_clipped(row, rows - row - 1 < row ? rows - row - 1 : row, keys);
}

static interval_of *const masks[ATTN_SEEN_MASKS] = {
    see_all,     see_last_aligned, see_first_aligned, see_in_odd_rows,
    see_one_key, see_window,       see_end,           see_nothing};

attn_interval attn_seen_by(int mask, int64_t row, int64_t rows, int64_t keys) {
    return masks[mask](row, rows, keys);
}

void attn_seen_mask(attn_call *call, int mask) {
    for (int32_t row = 0; row < call->rows; row++)
        call->visible[row] = attn_seen_by(mask, row, call->rows, call->keys);
}

attn_interval attn_seen_second_run(const attn_call *call, int64_t row, int64_t gap) {
    const int64_t first = call->visible[row].last + gap;
    const int64_t last = first + 1 + row * 7 % 130;

    if (call->visible[row].last <= call->visible[row].first || first >= call->keys)
        return (attn_interval){0, 0};
    return attn_seen_clipped(first, last, call->keys);
}

void attn_seen_second_runs(attn_call *call) {
    for (int32_t row = 0; row < call->rows; row++)
        call->also[row] = attn_seen_second_run(call, row, 1 + row % 40);
}

int attn_seen_key(const attn_call *call, int32_t row, int64_t key) {
    const attn_interval seen = call->visible[row], also = call->also[row];

    return (key >= seen.first && key < seen.last) ||
           (call->has_also && key >= also.first && key < also.last);
}
