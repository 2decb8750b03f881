/* attnspan/rope.h: what becomes of q and k before their dot product: rotation by
 * position, and the RMS norm before it.
 *
 * Rotary position embedding (Su et al. 2021, RoFormer) turns pair p of a head's first
 * `dim` elements, p = 0 … dim/2 − 1, by an angle that grows with the row's position:
 *
 *     (a, b) → m · (a cos φ − b sin φ, b cos φ + a sin φ)      φ = position · f_p
 *     f_p = theta^(−2p/dim),  m = 1
 *
 * so that the score of a query and a key depends on how far apart they are. Elements
 * from `dim` on stay. The scalings stretch a model to longer sequences, by a factor s:
 *
 *     linear   f_p / s                                         (Chen et al. 2023)
 *     ntk      f_p with theta · s^(dim/(dim−2)) for theta      (NTK-aware: bloc97, 2023)
 *     yarn     between both ends of a ramp (1 − r_p) f_p + r_p f_p / s, with
 *              m = 1 + 0.1 ln s                                (Peng et al. 2023)
 *
 * YaRN's ramp r_p runs from 0 at pair ⌊c(32)⌋ to 1 at pair ⌈c(1)⌉, both kept within
 * 0 … dim − 1, where c(n) = dim · ln(original_length / (2π n)) / (2 ln theta) is the pair that
 * turns n times over the original length. (Rounding of the ends, and m on cos and sin, as
 * the implementation in Hugging Face's transformers has it.)
 *
 * Nothing here is collective or allocates; all may be called from many threads at once on
 * disjoint outputs. Bits depend on the arguments alone.
 */
#ifndef ATTNSPAN_ROPE_H
#define ATTNSPAN_ROPE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which elements are pair p: p and p + dim/2 (Llama, GPT-NeoX), or 2p and 2p + 1
 * (RoFormer, GPT-J). */
typedef enum attn_rope_pairing { ATTN_ROPE_HALF, ATTN_ROPE_INTERLEAVED } attn_rope_pairing;

typedef enum attn_rope_scaling {
    ATTN_ROPE_UNSCALED,
    ATTN_ROPE_LINEAR,
    ATTN_ROPE_NTK,
    ATTN_ROPE_YARN,
} attn_rope_scaling;

typedef struct attn_rope {
    int32_t dim;  /* even, at most the head's width; 0: no rotation, and the rest is unread */
    double theta; /* > 1 */
    attn_rope_pairing pairing;
    attn_rope_scaling scaling;
    double factor;           /* s >= 1; unread when unscaled */
    int64_t original_length; /* yarn: positions that the model was trained on, >= 8 */
} attn_rope;

/* "half"; "none" for the unscaled, "linear"; NULL when the value is past the last. */
const char *attn_rope_pairing_name(int pairing);
const char *attn_rope_scaling_name(int scaling);

/* What is wrong with `rope` for heads `head_dim` wide: "has an odd dim, 7; pairs are turned";
 * NULL when nothing is. Static storage. */
const char *attn_rope_refused(const attn_rope *rope, int32_t head_dim);

/* f_p of pair `pair`, radians per position, and m. */
double attn_rope_frequency(const attn_rope *rope, int32_t pair);
double attn_rope_magnitude(const attn_rope *rope);

/* table [rows][dim]: m cos φ of all pairs, then m sin φ of all, for the positions
 * [first, first + rows), which may be negative. Angles are taken in fp64 and results
 * rounded once; a row's bits depend on its position alone, not on the call. */
void attn_rope_table(const attn_rope *rope, int64_t first, int64_t rows, float *table);

/* Turns one head [head_dim] in place by a row of the table. */
void attn_rope_turn(const attn_rope *rope, const float *row, float *head);

/* Root mean square norm of one head in place (Zhang & Sennrich 2019; of q and k: Henry et al.
 * 2020): x_i → x_i w_i / √(Σ x² / dim + eps). `weight` is [dim], or NULL for ones. Sums in
 * fp64 in a fixed order, and rounds each element once. */
void attn_rms_norm(float *head, int32_t dim, double eps, const float *weight);

#ifdef __cplusplus
}
#endif
#endif
