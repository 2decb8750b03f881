/* units.h: figures for people. */
#ifndef ATTN_RUNTIME_UNITS_H
#define ATTN_RUNTIME_UNITS_H

#include <stddef.h>

enum { ATTN_UNITS_BYTES = 40 }; /* room that every text fits in */

/* "12.3 MiB", "950 B"; returns text. */
const char *attn_units_bytes(double bytes, char *text);

/* "1.23 s", "4.56 ms", "789 us"; returns text. */
const char *attn_units_seconds(double seconds, char *text);

#endif
