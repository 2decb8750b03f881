#include "project.h"

#include <cblas.h>
#include <omp.h>
#include <string.h>

#include "partition.h"
#include "simulate.h"

/* A tile of one batch item: global rows [first, first + tile_rows), of which this
 * rank holds [own.first, own.last). Runs of rows are apart by whole tiles, or this rank has
 * but one, so no tile has rows of two. */
typedef struct row_tile {
    int64_t item;
    int64_t first;
    attn_range own;
    int64_t local; /* number of row own.first among this rank's */
} row_tile;

/* One matrix product of a tile, with its place in a head tensor. */
typedef struct projection {
    const float *weight, *bias;
    const attn_head_tensor *tensor;
    const float *norm; /* weights of the norm of q or k, NULL for ones */
} projection;

static int64_t columns_of(const attn_head_tensor *tensor) {
    return (tensor->kv_heads == 0 ? tensor->heads : tensor->kv_heads) * tensor->dim;
}

static int64_t max3(int64_t a, int64_t b, int64_t c) {
    int64_t most = a > b ? a : b;
    return most > c ? most : c;
}

static int64_t tile_rows_of(int64_t length) {
    enum { MAX_TILE_ROWS = 256 };
    int64_t block = attn_block_rows(length);

    return block < MAX_TILE_ROWS ? block : MAX_TILE_ROWS;
}

void attn_project_plan(attn_project *project, int64_t length, int64_t memory_length,
                       attn_buffers *buffers) {
    int64_t widest_input = max3(project->model_dim, columns_of(project->output), 0);
    int64_t widest_output = max3(columns_of(project->query), columns_of(project->key),
                                 max3(columns_of(project->value), project->model_dim, 0));

    project->tile_rows = tile_rows_of(length);
    project->memory_tile_rows = tile_rows_of(memory_length);
    project->scratch_elems =
        max3(project->tile_rows * (widest_input + widest_output),
             project->memory_tile_rows * (project->memory_dim + widest_output), 0);
    attn_buffers_reserve(buffers, attn_elems(project->threads, project->scratch_elems, 1),
                         sizeof(float), &project->scratch);
}

/* Tiles that hold rows of a run. */
static attn_range tiles_of(const attn_project *project, const attn_rows *run) {
    int64_t last = run->first + run->count - 1;

    return (attn_range){run->first / project->tile_rows, last / project->tile_rows + 1};
}

/* Tiles per batch item that hold rows of this rank. */
static int64_t tile_count(const attn_project *project) {
    int64_t tiles = 0;

    for (int64_t i = 0; i < project->rows.run_count; i++)
        tiles += attn_range_count(tiles_of(project, &project->rows.runs[i]));
    return tiles;
}

/* Tile `number` of `tiles` of each batch item. */
static row_tile tile_of(const attn_project *project, int64_t tiles, int64_t number) {
    const attn_rows *run = project->rows.runs;
    row_tile tile = {.item = number / tiles};
    int64_t left = number % tiles, before = 0;

    for (; left >= attn_range_count(tiles_of(project, run)); run++) {
        left -= attn_range_count(tiles_of(project, run));
        before += run->count;
    }
    tile.first = (tiles_of(project, run).first + left) * project->tile_rows;
    tile.own.first = tile.first > run->first ? tile.first : run->first;
    tile.own.last = tile.first + project->tile_rows;
    if (tile.own.last > run->first + run->count) tile.own.last = run->first + run->count;
    tile.local = before + tile.own.first - run->first;
    return tile;
}

/* result [tile_rows][outputs] := input [tile_rows][inputs] · weightᵀ */
static void multiply(const attn_project *project, const float *input, int64_t inputs,
                     const float *weight, int64_t outputs, float *result) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)project->tile_rows,
                (blasint)outputs, (blasint)inputs, 1.0f, input, (blasint)inputs, weight,
                (blasint)inputs, 0.0f, result, (blasint)outputs);
}

/* The tile's rows of x: in place when this rank holds all, else copied to `padded`. */
static const float *input_tile(const attn_project *project, const row_tile *tile, const float *x,
                               float *padded) {
    int64_t width = project->model_dim;
    const float *own = x + (tile->item * project->rows.count + tile->local) * width;
    int64_t own_rows = attn_range_count(tile->own);

    if (own_rows == project->tile_rows) return own;
    memset(padded, 0, (size_t)(project->tile_rows * width) * sizeof(float));
    memcpy(padded + (tile->own.first - tile->first) * width, own,
           (size_t)(own_rows * width) * sizeof(float));
    return padded;
}

/* Own rows of `result` plus the bias, in place. */
static void add_bias(const row_tile *tile, const float *bias, int64_t columns, float *result) {
    if (bias == NULL) return;
    for (int64_t row = tile->own.first; row < tile->own.last; row++)
        for (int64_t c = 0; c < columns; c++) result[(row - tile->first) * columns + c] += bias[c];
}

/* Own rows of q or k in `result`, in place: norm and rotation. */
static void prepare_tile(const row_tile *tile, const projection *which, float *result) {
    const attn_head_tensor *tensor = which->tensor;
    int64_t columns = columns_of(tensor);

    if (tensor->prepare == NULL) return;
    for (int64_t row = tile->own.first; row < tile->own.last; row++)
        attn_qk_prepare_heads(tensor->prepare, tile->local + row - tile->own.first, which->norm,
                              result + (row - tile->first) * columns, columns / tensor->dim);
}

/* Own rows of `result` to the regions of all members, as they are stored there. */
static void scatter_tile(const row_tile *tile, const attn_head_tensor *tensor,
                         const float *result) {
    int64_t columns = columns_of(tensor);

    for (int member = 0; member < tensor->exchange.members; member++) {
        attn_range heads = attn_head_tensor_heads(tensor, tensor->exchange.members, member);
        int64_t first = heads.first * tensor->dim;
        int64_t count = attn_range_count(heads) * tensor->dim;

        for (int64_t row = tile->own.first; row < tile->own.last && count > 0; row++)
            attn_store(tensor->storage, result + (row - tile->first) * columns + first, count,
                       attn_head_tensor_at(tensor, member, tile->local + row - tile->own.first,
                                           tile->item));
    }
}

/* BLAS must not start threads of its own inside or beside ours. */
static int silence_blas_threads(void) {
    int before = openblas_get_num_threads();
    openblas_set_num_threads(1);
    return before;
}

/* Whole tiles of them, in place of the work where this is simulated. */
static void charge(const attn_project *project, const projection *all, int64_t projections) {
    double columns = 0;

    for (int64_t i = 0; i < projections; i++) columns += (double)columns_of(all[i].tensor);
    attn_simulate_gemm(2 * (double)(project->batch * tile_count(project) * project->tile_rows) *
                           (double)project->model_dim * columns,
                       project->threads);
}

/* `projections` of them, of all own rows of x. */
static void project_rows(const attn_project *project, const float *x, const projection *all,
                         int64_t projections) {
    int64_t tiles = tile_count(project);
    int64_t count = project->batch * tiles * projections;

    charge(project, all, projections);
    if (ATTN_SIMULATED) return;
#pragma omp parallel for num_threads(project->threads) schedule(dynamic)
    for (int64_t number = 0; number < count; number++) {
        float *padded = project->scratch + omp_get_thread_num() * project->scratch_elems;
        float *result = padded + project->tile_rows * project->model_dim;
        const projection *which = &all[number % projections];
        row_tile tile = tile_of(project, tiles, number / projections);

        multiply(project, input_tile(project, &tile, x, padded), project->model_dim, which->weight,
                 columns_of(which->tensor), result);
        add_bias(&tile, which->bias, columns_of(which->tensor), result);
        prepare_tile(&tile, which, result);
        scatter_tile(&tile, which->tensor, result);
    }
}

void attn_project_inputs(const attn_project *project, const attn_weights *weights, const float *x,
                         const float *memory) {
    const projection projections[] = {
        {weights->query, weights->query_bias, project->query, weights->query_norm},
        {weights->key, weights->key_bias, project->key, weights->key_norm},
        {weights->value, weights->value_bias, project->value, NULL},
    };
    int blas_threads = silence_blas_threads();

    if (memory == NULL) {
        project_rows(project, x, projections, 3);
    } else {
        attn_project of_memory = *project; /* the same work on other rows */

        of_memory.model_dim = project->memory_dim;
        of_memory.rows = project->memory_rows;
        of_memory.tile_rows = project->memory_tile_rows;
        project_rows(project, x, projections, 1);
        project_rows(&of_memory, memory, projections + 1, 2);
    }
    openblas_set_num_threads(blas_threads);
}

/* The concatenation of all heads for the tile's rows; rows of others are zero. */
static void gather_tile(const attn_project *project, const row_tile *tile, float *concatenation) {
    const attn_head_tensor *tensor = project->output;
    int64_t columns = columns_of(tensor);

    if (attn_range_count(tile->own) < project->tile_rows)
        memset(concatenation, 0, (size_t)(project->tile_rows * columns) * sizeof(float));
    for (int member = 0; member < tensor->exchange.members; member++) {
        attn_range heads = attn_head_tensor_heads(tensor, tensor->exchange.members, member);
        size_t bytes = (size_t)(attn_range_count(heads) * tensor->dim) * sizeof(float);

        for (int64_t row = tile->own.first; row < tile->own.last && bytes > 0; row++)
            memcpy(concatenation + (row - tile->first) * columns + heads.first * tensor->dim,
                   attn_head_tensor_at(tensor, member, tile->local + row - tile->own.first,
                                       tile->item),
                   bytes);
    }
}

static void store_tile(const attn_project *project, const row_tile *tile, const float *result,
                       const float *bias, float *y) {
    int64_t width = project->model_dim;

    for (int64_t row = tile->own.first; row < tile->own.last; row++) {
        const float *from = result + (row - tile->first) * width;
        int64_t local = tile->local + row - tile->own.first;
        float *to = y + (tile->item * project->rows.count + local) * width;

        if (bias == NULL)
            memcpy(to, from, (size_t)width * sizeof(float));
        else
            for (int64_t c = 0; c < width; c++) to[c] = from[c] + bias[c];
    }
}

void attn_project_output(const attn_project *project, const attn_weights *weights, float *y) {
    int64_t columns = columns_of(project->output);
    int64_t tiles = tile_count(project);
    int64_t count = project->batch * tiles;
    const projection of_output = {.tensor = project->output};
    int blas_threads;

    charge(project, &of_output, 1);
    if (ATTN_SIMULATED) return;
    blas_threads = silence_blas_threads();

#pragma omp parallel for num_threads(project->threads) schedule(dynamic)
    for (int64_t number = 0; number < count; number++) {
        float *concatenation = project->scratch + omp_get_thread_num() * project->scratch_elems;
        float *result = concatenation + project->tile_rows * columns;
        row_tile tile = tile_of(project, tiles, number);

        gather_tile(project, &tile, concatenation);
        multiply(project, concatenation, columns, weights->output, project->model_dim, result);
        store_tile(project, &tile, result, weights->output_bias, y);
    }
    openblas_set_num_threads(blas_threads);
}
