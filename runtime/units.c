#include "units.h"

#include <stdio.h>

const char *attn_units_bytes(double bytes, char *text) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    int unit = 0;

    while (bytes >= 1024 && unit < 5) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, ATTN_UNITS_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
    return text;
}

const char *attn_units_seconds(double seconds, char *text) {
    if (seconds < 1e-3)
        snprintf(text, ATTN_UNITS_BYTES, "%.3g us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(text, ATTN_UNITS_BYTES, "%.3g ms", seconds * 1e3);
    else if (seconds < 1000)
        snprintf(text, ATTN_UNITS_BYTES, "%.3g s", seconds);
    else
        snprintf(text, ATTN_UNITS_BYTES, "%.0f s", seconds);
    return text;
}
