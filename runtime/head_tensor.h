/* head_tensor.h: q, k, v or the output on its way through the head exchange.
 *
 * The columns of such a tensor are heads. The region for member j of a head group is
 *     [my rows][B]{[heads of j][dim]}
 * and, where the lse travels along, each batch item's part is {[heads][dim], [heads]}. With q, k, v
 * given and a group of one, which exchanges nothing, keys and values stay as the caller has them:
 *     [B][heads][my rows][dim]
 * so that a kernel reads those of a head in one run.
 */
#ifndef ATTN_RUNTIME_HEAD_TENSOR_H
#define ATTN_RUNTIME_HEAD_TENSOR_H

#include "attnspan/kernels.h"
#include "exchange.h"
#include "partition.h"
#include "qk_prepare.h"

typedef struct attn_head_tensor {
    int64_t batch;
    int64_t heads;    /* H: how query heads are dealt */
    int64_t kv_heads; /* H_kv where the columns are kv heads, 0 where they are query heads */
    int32_t dim;
    int with_lse;                   /* only with ATTN_FP32 */
    attn_storage storage;           /* of the elements */
    const attn_qk_prepare *prepare; /* borrowed; of q and k; NULL: rows go as they are */
    int by_head;                    /* as above; only in a group of one */
    int in_place;                   /* by head, and the caller's array is used where it is */
    attn_exchange exchange;         /* zeroed with in_place */
} attn_head_tensor;

/* Plans the exchange for a shard of `shard_rows` rows; the fields before it are set
 * by the caller. Not collective. ATTN_ERR_MEMORY. */
attn_status attn_head_tensor_plan(attn_head_tensor *tensor, const attn_mesh *mesh,
                                  int64_t shard_rows, attn_buffers *buffers, attn_error *error);

/* Heads that member `member` of `members` has of the tensor. */
attn_range attn_head_tensor_heads(const attn_head_tensor *tensor, int members, int member);

/* Elements of a row, for one batch item, at that member. */
int64_t attn_head_tensor_item_width(const attn_head_tensor *tensor, int members, int member);

/* Where the region of `member` has its first head of (own row, batch item). */
void *attn_head_tensor_at(const attn_head_tensor *tensor, int member, int64_t row, int64_t item);

/* Attention alone: from the caller's fp32 [B][H][rows][dim] to the regions, or from regions of
 * fp32 to the caller; `lse` [B][H][rows] may be NULL. Copies, of several heads at
 * once; the scatter prepares rows of q and k on the way. */
void attn_head_tensor_scatter(const attn_head_tensor *tensor, const float *data, int threads);
void attn_head_tensor_gather(const attn_head_tensor *tensor, float *data, int threads);
void attn_head_tensor_gather_lse(const attn_head_tensor *tensor, float *lse);

/* A zeroed one is legal. */
void attn_head_tensor_destroy(attn_head_tensor *tensor);

#endif
