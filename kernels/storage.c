/* storage.c: how elements of queries, keys and values are stored.
 *
 * bf16 keeps sign, exponent and the upper 7 bits of the fraction of an fp32. Rounding to
 * nearest, ties to even, is an integer addition below the kept bits: it carries into the
 * exponent where it must, and from the largest finite number to infinity. */
#include <string.h>

#include "attnspan/kernels.h"

static const struct storage {
    const char *name;
    int64_t bytes;
} storages[] = {[ATTN_FP32] = {"fp32", 4}, [ATTN_BF16] = {"bf16", 2}};

_Static_assert(sizeof storages / sizeof *storages == ATTN_STORAGES, "each storage has its row");

const char *attn_storage_name(int storage) {
    return storage >= 0 && storage < ATTN_STORAGES ? storages[storage].name : NULL;
}

int64_t attn_storage_bytes(attn_storage storage) {
    return storages[storage].bytes;
}

static uint16_t bf16_of(float x) {
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u); /* quiet NaN */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

void attn_store(attn_storage storage, const float *from, int64_t count, void *to) {
    uint16_t *narrow = to;

    if (storage == ATTN_FP32)
        memcpy(to, from, (size_t)count * sizeof *from);
    else
        for (int64_t i = 0; i < count; i++) narrow[i] = bf16_of(from[i]);
}
