#include "attnspan/machine.h"

attn_machine attn_machine_default(void) {
    return (attn_machine){
        .attention = {[ATTN_FP32] = {80e9, 0, 0, 0}, [ATTN_BF16] = {80e9, 0, 0, 0}},
        .gemm_flops = 80e9,
        .copy_bytes = 4e9,
        .read_bytes = 200e9,
        .node = {1e-6, 10e9},
        .network = {2e-6, 10e9}};
}
