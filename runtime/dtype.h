/* dtype.h: the element types of tensors in files, and their conversion to fp32. */
#ifndef ATTN_RUNTIME_DTYPE_H
#define ATTN_RUNTIME_DTYPE_H

#include <stdint.h>

/* X(name, bytes of an element, name in messages). Little-endian throughout. Integers make
 * lists (npy.h), not tensors: they are not converted. */
#define ATTN_DTYPE_LIST(X)        \
    X(ATTN_DTYPE_F32, 4, "fp32")  \
    X(ATTN_DTYPE_F64, 8, "fp64")  \
    X(ATTN_DTYPE_F16, 2, "fp16")  \
    X(ATTN_DTYPE_BF16, 2, "bf16") \
    X(ATTN_DTYPE_I64, 8, "int64") \
    X(ATTN_DTYPE_I32, 4, "int32")

typedef enum attn_dtype {
#define ATTN_DTYPE_ENUM(name, bytes, text) name,
    ATTN_DTYPE_LIST(ATTN_DTYPE_ENUM)
#undef ATTN_DTYPE_ENUM
} attn_dtype;

/* Bytes of one element, and the dtype's name ("bf16"). Not collective. */
int64_t attn_dtype_bytes(attn_dtype dtype);
const char *attn_dtype_name(attn_dtype dtype);

/* Converts `count` elements (of any alignment) to fp32, rounded to nearest. The
 * two do not overlap, except that fp32 may be "converted" in place. Returns the
 * index of the first element that is not finite in fp32, or `count`. Not collective. */
int64_t attn_dtype_to_fp32(attn_dtype dtype, const void *elems, int64_t count, float *out);

/* Whether the element is −infinity as it is stored, not for the sake of fp32's range. */
int attn_dtype_is_minus_infinity(attn_dtype dtype, const void *elem);

/* Says what the element is that attn_dtype_to_fp32 stopped at: "NaN",
 * "-infinity", "1e+300, beyond the range of fp32". */
enum { ATTN_DEFECT_BYTES = 64 };
void attn_dtype_defect(attn_dtype dtype, const void *elem, char text[ATTN_DEFECT_BYTES]);

#endif
