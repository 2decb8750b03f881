#include "attend_terms.h"

#include <string.h>

#include "row_list.h"

void attn_attend_terms_plan(attn_attend_terms *terms, const attn_problem *problem,
                            attn_row_list queries, attn_range heads, attn_buffers *buffers) {
    const int64_t bias_heads =
        problem->terms.bias_heads > 1 ? attn_range_count(heads) : problem->terms.bias_heads;
    const int top_left = problem->mask.causal == ATTN_CAUSAL_TOP_LEFT;

    *terms = (attn_attend_terms){
        .spec = problem->terms,
        .scale = problem->scale,
        .ahead = top_left ? 0 : problem->kv_length - problem->length,
        .kv_length = problem->kv_length,
        .queries = queries,
        .heads = heads,
    };
    if (problem->terms.bias_heads > 0)
        attn_buffers_reserve(buffers, attn_elems(bias_heads, queries.count, problem->kv_length),
                             sizeof(float), &terms->bias);
}

int attn_attend_terms_in_kernel(const attn_attend_terms *terms) {
    return terms->spec.softcap > 0 || terms->spec.slopes != NULL || terms->spec.bias_heads > 0;
}

float attn_attend_terms_partial_scale(const attn_attend_terms *terms) {
    return attn_attend_terms_in_kernel(terms) ? 1 : terms->scale;
}

/* --- a thread's ------------------------------------------------------------- */

static int64_t row_bytes(void) {
    return 2 * (int64_t)sizeof(int64_t) + 2 * (int64_t)sizeof(float *) + (int64_t)sizeof(float);
}

static int64_t sink_bytes(const attn_attend_terms *terms, int32_t value_dim) {
    return terms->spec.sinks == NULL ? 0 : (value_dim + 2) * (int64_t)sizeof(float);
}

int64_t attn_attend_terms_bytes(const attn_attend_terms *terms, int32_t query_rows,
                                int32_t value_dim) {
    int64_t bytes = 0;

    if (attn_attend_terms_in_kernel(terms)) bytes += query_rows * row_bytes();
    bytes += query_rows * sink_bytes(terms, value_dim);
    return (bytes + 63) / 64 * 64;
}

attn_tile_terms attn_attend_terms_at(const attn_attend_terms *terms, int32_t query_rows,
                                     int32_t value_dim, void *memory) {
    attn_tile_terms of_tile = {.of_block = {.softcap = terms->spec.softcap}};
    float *floats = memory;

    if (attn_attend_terms_in_kernel(terms)) {
        of_tile.beside = memory;
        of_tile.position = of_tile.beside + query_rows;
        of_tile.bias_rows = (const float **)(void *)(of_tile.position + query_rows);
        of_tile.bias = of_tile.bias_rows + query_rows;
        of_tile.slope = (float *)(void *)(of_tile.bias + query_rows);
        floats = of_tile.slope + query_rows;
    }
    if (terms->spec.slopes != NULL) {
        of_tile.of_block.slope = of_tile.slope;
        of_tile.of_block.position = of_tile.position;
    }
    if (terms->spec.bias_heads > 0) of_tile.of_block.bias = of_tile.bias;
    if (terms->spec.sinks == NULL) return of_tile;
    of_tile.sink.out = floats;
    of_tile.sink.max = of_tile.sink.out + (int64_t)query_rows * value_dim;
    of_tile.sink.sum = of_tile.sink.max + query_rows;
    memset(of_tile.sink.out, 0, (size_t)query_rows * (size_t)value_dim * sizeof(float));
    for (int32_t row = 0; row < query_rows; row++) of_tile.sink.sum[row] = 1;
    return of_tile;
}

/* --- tiles ------------------------------------------------------------------ */

void attn_attend_terms_tile(const attn_attend_terms *terms, const attn_tile *tile,
                            attn_tile_terms *of_tile) {
    for (int32_t row = 0; of_tile->beside != NULL && row < tile->kernel_rows; row++) {
        const int64_t head = tile->stack->first_head + row / tile->rows;
        const int64_t own = tile->first_row + row % tile->rows;
        const int64_t bias_head = terms->spec.bias_heads > 1 ? head : 0;

        of_tile->beside[row] = attn_row_list_at(&terms->queries, own) + terms->ahead;
        if (terms->spec.slopes != NULL)
            of_tile->slope[row] = terms->spec.slopes[terms->heads.first + head];
        if (terms->spec.bias_heads > 0)
            of_tile->bias_rows[row] =
                terms->bias + (bias_head * terms->queries.count + own) * terms->kv_length;
    }
}

const attn_score_terms *attn_attend_terms_block(const attn_attend_terms *terms,
                                                const attn_tile *tile, int64_t first,
                                                attn_tile_terms *of_tile) {
    if (of_tile->beside == NULL) return NULL;
    for (int32_t row = 0; row < tile->kernel_rows; row++) {
        of_tile->position[row] = of_tile->beside[row] - first;
        if (terms->spec.bias_heads > 0) of_tile->bias[row] = of_tile->bias_rows[row] + first;
    }
    return &of_tile->of_block;
}

void attn_attend_terms_sink(const attn_attend_terms *terms, const attn_kernel *kernel, int64_t head,
                            attn_partial root, int32_t rows, int32_t value_dim,
                            const attn_tile_terms *of_tile) {
    const float scale = attn_attend_terms_partial_scale(terms);

    if (terms->spec.sinks == NULL) return;
    for (int32_t row = 0; row < rows; row++)
        of_tile->sink.max[row] = terms->spec.sinks[terms->heads.first + head] / scale;
    kernel->merge(root, root, of_tile->sink, rows, value_dim, scale);
}
