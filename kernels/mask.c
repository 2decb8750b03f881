/* mask.c: which keys a query sees, and how many pairs that makes.
 *
 * Within a document a row sees a head [s, h) of prefix and first keys and a body [lo, hi).
 * Each edge is the largest or smallest of some that stand still (the document's start, its
 * limit, the ends of prefix and first keys) and some that move by one key with each row
 * (a + 1, a − left, a + right + 1). So
 *   - a count of keys is linear in the row between those rows where a moving edge passes
 *     one that stands still: at most MOVING × STANDING breaks, an arithmetic series between;
 *   - edges never move back, and neighbouring bodies touch: the keys of many rows are the
 *     head of the last one and one run from the first body to the last.
 * Nothing walks rows: a plan asks for spans of sequences that nobody wants to walk. Sums that
 * pass 63 bits saturate. */
#include <assert.h>
#include <stddef.h>

#include "attnspan/kernels.h"

enum { MOVING = 3, STANDING = 4 };

/* A document, as rows of one item see it. */
typedef struct document {
    int64_t first_row, last_row; /* its rows */
    int64_t start, limit;        /* its keys that are there; none when limit <= start */
    int64_t prefix_end, first_end;
    int64_t shift; /* a = row + shift */
} document;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t saturating_sum(int64_t a, int64_t b) {
    if (b > 0 && a > INT64_MAX - b) return INT64_MAX;
    if (b < 0 && a < INT64_MIN - b) return INT64_MIN;
    return a + b;
}

/* a · b for a, b >= 0; INT64_MAX when that is less. */
static int64_t saturating_product(uint64_t a, uint64_t b) {
    if (b != 0 && a > (uint64_t)INT64_MAX / b) return INT64_MAX;
    return (int64_t)(a * b);
}

/* --- documents -------------------------------------------------------------- */

/* The last document that starts at or before the row; 0 without documents. */
static int64_t document_of(const attn_mask_spec *spec, int64_t row) {
    int64_t low = 0, high = spec->document_count;

    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;

        if (spec->document_starts[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Keys of an item that are no padding; of every item: of the longest. */
static int64_t key_length(const attn_mask *mask, int64_t item) {
    const int64_t *lengths = mask->spec.key_lengths;
    int64_t longest = 0;

    if (lengths == NULL) return mask->kv_length;
    if (item != ATTN_MASK_EVERY_ITEM) return lengths[item];
    for (int64_t i = 0; i < mask->batch; i++) longest = most(longest, lengths[i]);
    return longest;
}

static document document_at(const attn_mask *mask, int64_t index, int64_t keys) {
    const attn_mask_spec *spec = &mask->spec;
    document self = {.last_row = mask->length, .limit = mask->kv_length};

    if (spec->document_count > 0) {
        self.first_row = self.start = spec->document_starts[index];
        self.last_row = self.limit = spec->document_starts[index + 1];
    }
    self.limit = least(self.limit, keys);
    self.prefix_end = saturating_sum(self.start, spec->prefix);
    self.first_end = saturating_sum(self.start, spec->first);
    self.shift = spec->causal == ATTN_CAUSAL_TOP_LEFT ? 0 : mask->kv_length - mask->length;
    return self;
}

/* --- rows ------------------------------------------------------------------- */

/* Moving edges are a + offset. What bounds nothing stands far away. */
static int64_t causal_offset(const attn_mask_spec *spec) {
    return spec->causal == ATTN_NOT_CAUSAL ? INT64_MAX : 1;
}

static int64_t right_offset(const attn_mask_spec *spec) {
    return spec->windowed && spec->right >= 0 ? saturating_sum(spec->right, 1) : INT64_MAX;
}

static int64_t left_offset(const attn_mask_spec *spec) {
    return spec->windowed && spec->left >= 0 ? -spec->left : INT64_MIN;
}

/* The edge at a row; beyond 64 bits, and where there is none, it stays at the end. */
static int64_t edge(int64_t offset, int64_t a) {
    if (offset == INT64_MAX || offset == INT64_MIN) return offset;
    return saturating_sum(a, offset);
}

static attn_interval head_of(const attn_mask_spec *spec, const document *self, int64_t row) {
    const int64_t causal_end = edge(causal_offset(spec), row + self->shift);
    const int64_t end = most(self->prefix_end, least(self->first_end, causal_end));

    return (attn_interval){self->start, least(end, self->limit)};
}

static attn_interval body_of(const attn_mask_spec *spec, const document *self, int64_t row) {
    const int64_t a = row + self->shift;
    const int64_t end = least(edge(causal_offset(spec), a), edge(right_offset(spec), a));

    return (attn_interval){most(self->start, edge(left_offset(spec), a)), least(end, self->limit)};
}

/* Head and body, which starts no earlier. */
static attn_visible unite(attn_interval head, attn_interval body) {
    attn_visible seen = {{head, body}};

    if (head.first >= head.last) seen = (attn_visible){{body}};
    if (body.first >= body.last) seen.span[head.first < head.last ? 1 : 0] = (attn_interval){0, 0};
    if (seen.span[1].last > 0 && body.first <= head.last)
        seen = (attn_visible){{{head.first, most(head.last, body.last)}}};
    return seen;
}

attn_visible attn_mask_visible(const attn_mask *mask, int64_t item, int64_t row) {
    document self;

    assert(row >= 0 && row < mask->length && item >= 0 && item < mask->batch);
    self = document_at(mask, document_of(&mask->spec, row), key_length(mask, item));
    return unite(head_of(&mask->spec, &self, row), body_of(&mask->spec, &self, row));
}

/* --- pairs ------------------------------------------------------------------ */

static uint64_t keys_of_row(const attn_mask_spec *spec, const document *self, int64_t row) {
    const attn_visible seen = unite(head_of(spec, self, row), body_of(spec, self, row));

    return (uint64_t)(seen.span[0].last - seen.span[0].first) +
           (uint64_t)(seen.span[1].last - seen.span[1].first);
}

/* Of rows whose counts are an arithmetic series: rows · (first + last) / 2, halving the factor
 * that is even (with an odd number of rows, ends differ by an even one). */
static int64_t pairs_of_series(const attn_mask_spec *spec, const document *self, int64_t first,
                               int64_t last) {
    const uint64_t rows = (uint64_t)last - (uint64_t)first;
    const uint64_t ends = keys_of_row(spec, self, first) + keys_of_row(spec, self, last - 1);

    return rows % 2 == 0 ? saturating_product(rows / 2, ends) : saturating_product(rows, ends / 2);
}

/* Rows at which a moving edge stands where another stands still, held to [first, last] and
 * ascending; their number. */
static int breaks_of(const attn_mask_spec *spec, const document *self, int64_t first, int64_t last,
                     int64_t breaks[MOVING * STANDING]) {
    const int64_t offsets[MOVING] = {causal_offset(spec), left_offset(spec), right_offset(spec)};
    const int64_t standing[STANDING] = {self->start, self->limit, self->prefix_end,
                                        self->first_end};
    int count = 0;

    for (int m = 0; m < MOVING; m++) {
        if (offsets[m] == INT64_MAX || offsets[m] == INT64_MIN) continue;
        for (int s = 0; s < STANDING; s++) {
            int64_t row = saturating_sum(saturating_sum(standing[s], -offsets[m]), -self->shift);
            int at = count++;

            row = most(first, least(row, last));
            for (; at > 0 && breaks[at - 1] > row; at--) breaks[at] = breaks[at - 1];
            breaks[at] = row;
        }
    }
    return count;
}

static int64_t pairs_of_document(const attn_mask_spec *spec, const document *self, int64_t first,
                                 int64_t last) {
    int64_t breaks[MOVING * STANDING], pairs = 0;
    const int count = breaks_of(spec, self, first, last, breaks);

    for (int i = 0; i <= count; i++) {
        const int64_t next = i < count ? breaks[i] : last;

        if (first < next) pairs = saturating_sum(pairs, pairs_of_series(spec, self, first, next));
        first = next;
    }
    return pairs;
}

static int64_t pairs_of_item(const attn_mask *mask, int64_t keys, int64_t first, int64_t last) {
    int64_t pairs = 0;

    for (int64_t i = document_of(&mask->spec, first); first < last; i++) {
        const document self = document_at(mask, i, keys);
        const int64_t next = least(last, self.last_row);

        pairs = saturating_sum(pairs, pairs_of_document(&mask->spec, &self, first, next));
        first = next;
    }
    return pairs;
}

int64_t attn_mask_pairs(const attn_mask *mask, int64_t item, int64_t first, int64_t last) {
    int64_t pairs = 0;

    if (first >= last) return 0;
    if (item != ATTN_MASK_EVERY_ITEM)
        return pairs_of_item(mask, key_length(mask, item), first, last);
    if (mask->spec.key_lengths == NULL)
        return saturating_product((uint64_t)mask->batch,
                                  (uint64_t)pairs_of_item(mask, mask->kv_length, first, last));
    for (int64_t i = 0; i < mask->batch; i++)
        pairs = saturating_sum(pairs, pairs_of_item(mask, key_length(mask, i), first, last));
    return pairs;
}

/* --- spans ------------------------------------------------------------------ */

/* Keys that the rows [first, last) of a document see. */
static attn_visible span_of_document(const attn_mask_spec *spec, const document *self,
                                     int64_t first, int64_t last) {
    const int64_t end_offset = least(causal_offset(spec), right_offset(spec));
    const attn_interval head = head_of(spec, self, last - 1);
    attn_interval body = {0, 0};

    /* Rows with a body: a + end_offset > start, and a + left_offset < limit. */
    if (end_offset != INT64_MAX) {
        const int64_t end_at_start = saturating_sum(self->start, -end_offset);

        first = most(first, saturating_sum(saturating_sum(end_at_start, -self->shift), 1));
    }
    if (left_offset(spec) != INT64_MIN)
        last = least(last,
                     saturating_sum(saturating_sum(self->limit, -left_offset(spec)), -self->shift));
    if (first < last && self->start < self->limit) {
        body.first = body_of(spec, self, first).first;
        body.last = body_of(spec, self, last - 1).last;
    }
    return unite(head, body);
}

/* Adds a run that starts at or after the end of those there. With more than two runs the
 * shorter gap is closed. */
static void add_run(attn_visible *seen, attn_interval run) {
    attn_interval *span = seen->span;

    if (run.first >= run.last) return;
    if (span[0].last == 0) {
        span[0] = run;
    } else if (span[1].last == 0) {
        if (run.first == span[0].last)
            span[0].last = run.last;
        else
            span[1] = run;
    } else if (run.first - span[1].last <= span[1].first - span[0].last) {
        span[1].last = run.last;
    } else {
        span[0].last = span[1].last;
        span[1] = run;
    }
}

attn_visible attn_mask_span(const attn_mask *mask, int64_t item, int64_t first, int64_t last) {
    const attn_mask_spec *spec = &mask->spec;
    const int64_t keys = key_length(mask, item);
    attn_visible seen = {{{0, 0}}}, tail;
    document from, to;

    if (first >= last) return seen;
    from = document_at(mask, document_of(spec, first), keys);
    if (last <= from.last_row) return span_of_document(spec, &from, first, last);

    to = document_at(mask, document_of(spec, last - 1), keys);
    seen = span_of_document(spec, &from, first, from.last_row);
    /* Whole documents between: a row sees at least the key beside it. */
    add_run(&seen, (attn_interval){from.last_row, least(to.start, keys)});
    tail = span_of_document(spec, &to, to.first_row, last);
    for (int i = 0; i < 2; i++) add_run(&seen, tail.span[i]);
    return seen;
}
