#define _POSIX_C_SOURCE 200809L

#include "blas_core.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../kernels/cpu.h"

/* Names the core that was replaced, for the process that runs after it. */
static const char replaced_variable[] = "ATTNSPAN_REPLACED_BLAS_CORE";
static const char core_variable[] = "OPENBLAS_CORETYPE";

const char *attn_blas_core_better(const char *detected, unsigned features) {
    /* OpenBLAS's cores without AVX-512 that it may take a newer x86 for. */
    static const char *const older[] = {"Prescott",  "Core2",      "Nehalem",   "Sandybridge",
                                        "Haswell",   "Zen",        "Excavator", "Steamroller",
                                        "Bulldozer", "Piledriver", "Barcelona"};

    if ((features & ATTN_CPU_AVX512) == 0) return NULL;
    for (size_t i = 0; i < sizeof older / sizeof *older; i++)
        if (strcmp(detected, older[i]) == 0) return "SKYLAKEX";
    return NULL;
}

void attn_blas_core_correct(char **argv) {
    const char *detected = openblas_get_corename();
    const char *better = attn_blas_core_better(detected, attn_cpu_features());
    const char *self = "/proc/self/exe";
    char path[4096];
    ssize_t length;

    if (better == NULL || getenv(core_variable) != NULL) return;
    if (setenv(core_variable, better, 1) != 0 || setenv(replaced_variable, detected, 1) != 0)
        return;
    /* By its own path, after whose last part a process is named (ps, pgrep), where it has one. */
    length = readlink(self, path, sizeof path - 1);
    if (length > 0) {
        path[length] = '\0';
        execv(path, argv);
    }
    execv(self, argv);
    /* Still here: no such file system. The slower kernels compute the same result. */
    unsetenv(core_variable);
    unsetenv(replaced_variable);
}

void attn_blas_name(char *name, size_t bytes) {
    const char *config = openblas_get_config(); /* "OpenBLAS 0.3.21 NO_LAPACKE …" */
    const char *first = strchr(config, ' ');
    const char *second = first == NULL ? NULL : strchr(first + 1, ' ');
    int length = second == NULL ? (int)strlen(config) : (int)(second - config);

    snprintf(name, bytes, "%.*s (%s)", length, config, openblas_get_corename());
}

void attn_blas_core_reason(char *reason, size_t bytes) {
    const char *replaced = getenv(replaced_variable);

    if (replaced != NULL)
        snprintf(reason, bytes, "corrected: OpenBLAS chose %s on an AVX-512 CPU", replaced);
    else
        snprintf(reason, bytes, "%s",
                 getenv(core_variable) != NULL ? "set by OPENBLAS_CORETYPE" : "chosen by OpenBLAS");
}
