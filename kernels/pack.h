/* pack.h: the layouts of packed keys and values (attnspan/kernels.h), for elements of two and
 * of four bytes.
 *
 * Keys in panels: what a step of a product reads is one run of memory, and no receiver of a
 * shard packs again. Values stay as they are where a step takes one key; where it takes two,
 * those of both stand side by side. Zeros fill up what has no key or dimension. */
#ifndef ATTN_KERNELS_PACK_H
#define ATTN_KERNELS_PACK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ATTN_DEFINE_PACK(suffix, type)                                                            \
    /* [ceil(count / panel)][ceil(dim / depth)][panel][depth] */                                  \
    static inline void attn_pack_keys_##suffix(const type *keys, ptrdiff_t stride, int64_t count, \
                                               int32_t dim, const int64_t panel,                  \
                                               const int32_t depth, type to[]) {                  \
        for (int64_t first = 0; first < count; first += panel)                                    \
            for (int32_t i = 0; i < dim; i += depth)                                              \
                for (int64_t j = first; j < first + panel; j++)                                   \
                    for (int32_t part = i; part < i + depth; part++)                              \
                        *to++ = j < count && part < dim ? keys[j * stride + part] : 0;            \
    }                                                                                             \
    /* [ceil(count / depth)][dim][depth] */                                                       \
    static inline void attn_pack_values_##suffix(const type *values, ptrdiff_t stride,            \
                                                 int64_t count, int32_t dim, const int32_t depth, \
                                                 type to[]) {                                     \
        for (int64_t first = 0; first < count; first += depth, to += (ptrdiff_t)depth * dim) {    \
            if (depth == 1) {                                                                     \
                memcpy(to, values + first * stride, (size_t)dim * sizeof *to);                    \
                continue;                                                                         \
            }                                                                                     \
            for (int32_t c = 0; c < dim; c++)                                                     \
                for (int32_t part = 0; part < depth; part++)                                      \
                    to[c * depth + part] =                                                        \
                        first + part < count ? values[(first + part) * stride + c] : 0;           \
        }                                                                                         \
    }

ATTN_DEFINE_PACK(floats, float)
ATTN_DEFINE_PACK(halves, uint16_t)
#undef ATTN_DEFINE_PACK

#endif
