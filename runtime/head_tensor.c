#include "head_tensor.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "simulate.h"

attn_range attn_head_tensor_heads(const attn_head_tensor *tensor, int members, int member) {
    if (tensor->kv_heads == 0) return attn_member_heads(tensor->heads, members, member);
    return attn_member_kv_heads(tensor->heads, tensor->kv_heads, members, member);
}

int64_t attn_head_tensor_item_width(const attn_head_tensor *tensor, int members, int member) {
    int64_t heads = attn_range_count(attn_head_tensor_heads(tensor, members, member));
    return heads * (tensor->dim + (tensor->with_lse != 0));
}

attn_status attn_head_tensor_plan(attn_head_tensor *tensor, const attn_mesh *mesh,
                                  int64_t shard_rows, attn_buffers *buffers, attn_error *error) {
    int64_t *width;

    if (tensor->in_place) return attn_ok(error);
    width = attn_alloc((size_t)mesh->members, sizeof *width);
    if (width == NULL) return attn_fail(error, ATTN_ERR_MEMORY, "cannot allocate a plan");
    for (int j = 0; j < mesh->members; j++)
        width[j] = tensor->batch * attn_head_tensor_item_width(tensor, mesh->members, j);
    attn_exchange_plan(&tensor->exchange, mesh, shard_rows, width,
                       attn_storage_bytes(tensor->storage), buffers, error);
    free(width);
    return error->status;
}

/* Element `elem` of own row `row` in the region of `member`. */
static void *elem_at(const attn_head_tensor *tensor, int member, int64_t row, int64_t elem) {
    const attn_exchange *exchange = &tensor->exchange;

    return (char *)attn_exchange_region(exchange, member) +
           (row * exchange->width[member] + elem) * exchange->elem_bytes;
}

/* A row of a head, counted through all of them. */
static void *by_head_at(const attn_head_tensor *tensor, int64_t number) {
    return tensor->exchange.shard + number * tensor->dim * tensor->exchange.elem_bytes;
}

void *attn_head_tensor_at(const attn_head_tensor *tensor, int member, int64_t row, int64_t item) {
    return elem_at(tensor, member, row,
                   item * attn_head_tensor_item_width(tensor, tensor->exchange.members, member));
}

/* Copies one head of one batch item between the caller's rows and a region. */
static void copy_head(const attn_head_tensor *tensor, int member, int64_t item, int64_t head,
                      float *data, int to_region) {
    const attn_exchange *exchange = &tensor->exchange;
    attn_range heads = attn_head_tensor_heads(tensor, exchange->members, member);
    int64_t first = item * attn_head_tensor_item_width(tensor, exchange->members, member) +
                    (head - heads.first) * tensor->dim;
    int64_t rows = exchange->rows[exchange->member];

    for (int64_t row = 0; row < rows; row++) {
        void *in_region = tensor->by_head
                              ? by_head_at(tensor, (item * heads.last + head) * rows + row)
                              : elem_at(tensor, member, row, first);
        float *in_data = data + row * tensor->dim;
        const float *head_row = in_data;

        if (!to_region) {
            memcpy(in_data, in_region, (size_t)tensor->dim * sizeof(float));
            continue;
        }
        if (tensor->prepare != NULL)
            head_row = attn_qk_prepare_copy(tensor->prepare, row, omp_get_thread_num(), in_data);
        attn_store(tensor->storage, head_row, tensor->dim, in_region);
    }
}

/* In place of the copies to and from one member's regions, where work is simulated. */
static void charge_copy(const attn_head_tensor *tensor, int64_t heads, int threads) {
    const attn_exchange *exchange = &tensor->exchange;
    int64_t elems = heads * exchange->rows[exchange->member] * tensor->dim;

    attn_simulate_copy(elems * (int64_t)sizeof(float), heads, threads);
}

/* All heads of all members; a kv head that several members need is copied to each. */
static void copy_all(const attn_head_tensor *tensor, float *data, int to_region, int threads) {
    const attn_exchange *exchange = &tensor->exchange;
    int64_t all_heads = tensor->kv_heads == 0 ? tensor->heads : tensor->kv_heads;
    int64_t head_elems = exchange->rows[exchange->member] * tensor->dim;

    for (int member = 0; member < exchange->members; member++) {
        attn_range heads = attn_head_tensor_heads(tensor, exchange->members, member);
        int64_t count = attn_range_count(heads);

        charge_copy(tensor, tensor->batch * count, threads);
        if (ATTN_SIMULATED) continue;
#pragma omp parallel for num_threads(threads)
        for (int64_t i = 0; i < tensor->batch * count; i++) {
            int64_t item = i / count;
            int64_t head = heads.first + i % count;
            copy_head(tensor, member, item, head, data + (item * all_heads + head) * head_elems,
                      to_region);
        }
    }
}

void attn_head_tensor_scatter(const attn_head_tensor *tensor, const float *data, int threads) {
    copy_all(tensor, (float *)data, 1, threads); /* only read from */
}

void attn_head_tensor_gather(const attn_head_tensor *tensor, float *data, int threads) {
    copy_all(tensor, data, 0, threads);
}

void attn_head_tensor_gather_lse(const attn_head_tensor *tensor, float *lse) {
    const attn_exchange *exchange = &tensor->exchange;
    int64_t rows = exchange->rows[exchange->member];

    if (ATTN_SIMULATED) return;
    for (int member = 0; member < exchange->members; member++) {
        attn_range heads = attn_head_tensor_heads(tensor, exchange->members, member);
        int64_t count = attn_range_count(heads);

        for (int64_t item = 0; item < tensor->batch; item++)
            for (int64_t row = 0; row < rows; row++) {
                const float *behind_heads =
                    (float *)attn_head_tensor_at(tensor, member, row, item) + count * tensor->dim;
                for (int64_t head = 0; head < count; head++)
                    lse[(item * tensor->heads + heads.first + head) * rows + row] =
                        behind_heads[head];
            }
    }
}

void attn_head_tensor_destroy(attn_head_tensor *tensor) {
    attn_exchange_destroy(&tensor->exchange);
}
