/* cpu.c: CPUID and XGETBV.
 *
 * Leaf 1 says whether the operating system uses XSAVE at all (OSXSAVE) and
 * whether there is FMA; XCR0 says which registers it saves; leaf 7 has the
 * vector extensions. (Intel SDM volume 1, 13.3 and 15.2.) */
#include "cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <stdint.h>

enum {
    /* XCR0 */
    STATE_YMM = 0x6,  /* XMM and the upper halves of YMM */
    STATE_ZMM = 0xe6, /* these, the masks and both parts of ZMM */
    STATE_TILES = 0x60000,
    /* leaf 1, ecx */
    LEAF1_FMA = 1 << 12,
    LEAF1_OSXSAVE = 1 << 27,
    /* leaf 7.0, ebx */
    LEAF7_AVX2 = 1 << 5,
    LEAF7_AVX512F = 1 << 16,
    LEAF7_AVX512DQ = 1 << 17,
    LEAF7_AVX512BW = 1 << 30,
    /* leaf 7.0, edx */
    LEAF7_AMX_BF16 = 1 << 22,
    LEAF7_AMX_TILE = 1 << 24
};
static const uint32_t leaf7_avx512vl = UINT32_C(1) << 31; /* past an enumerator's range */

enum { LEAF7_1_AVX512_BF16 = 1 << 5 }; /* leaf 7.1, eax */

/* XCR0, of which the lower half is all that is in use. Only after OSXSAVE. */
static uint32_t saved_state(void) {
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has_all(uint32_t bits, uint32_t wanted) {
    return (bits & wanted) == wanted;
}

/* Leaf 0 has "GenuineIntel" in ebx, edx, ecx. */
static int is_intel(void) {
    uint32_t eax, ebx, ecx, edx;

    return __get_cpuid(0, &eax, &ebx, &ecx, &edx) && ebx == signature_INTEL_ebx &&
           edx == signature_INTEL_edx && ecx == signature_INTEL_ecx;
}

static unsigned ask(void) {
    const uint32_t avx512 = (uint32_t)LEAF7_AVX512F | (uint32_t)LEAF7_AVX512DQ |
                            (uint32_t)LEAF7_AVX512BW | leaf7_avx512vl;
    uint32_t eax, ebx, ecx, edx, state;
    unsigned features = 0;
    int tiles;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    if (!has_all(ecx, (uint32_t)LEAF1_OSXSAVE | (uint32_t)LEAF1_FMA)) return 0;
    state = saved_state();
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return 0;
    if (!has_all(state, STATE_YMM) || !has_all(ebx, LEAF7_AVX2)) return 0;
    features |= ATTN_CPU_AVX2;
    if (!has_all(state, STATE_ZMM) || !has_all(ebx, avx512)) return features;
    features |= ATTN_CPU_AVX512;
    tiles = has_all(state, STATE_TILES) &&
            has_all(edx, (uint32_t)LEAF7_AMX_BF16 | (uint32_t)LEAF7_AMX_TILE);
    /* eax of leaf 7.0 is the number of its subleaves beyond the first. */
    if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) &&
        has_all(eax, LEAF7_1_AVX512_BF16)) {
        features |= ATTN_CPU_AVX512_BF16 | (is_intel() ? 0u : ATTN_CPU_FAST_DOT_BF16);
        if (tiles) features |= ATTN_CPU_AMX_BF16;
    }
    return features;
}

/* Asked once: to a virtual machine's guest CPUID takes as long as a small plan. */
unsigned attn_cpu_features(void) {
    static const unsigned known = 1u << 31;
    static _Atomic unsigned answer; /* the same from any thread */

    if (answer == 0) answer = ask() | known;
    return answer & ~known;
}

#else

unsigned attn_cpu_features(void) {
    return 0;
}

#endif
