/* Times and sizes on the command line. World: plain. */
#ifndef PA_TOOLS_QUANTITY_H
#define PA_TOOLS_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

/* "90", "1.5", "1m30s", "2h", "500ms": seconds unless a unit says otherwise; h, m and s follow each other.
 * Units: ns. Errors: false, said on stderr with the name of the option: negative, no time, beyond 100 years. */
bool pa_parse_time(const char *option, const char *text, uint64_t *ns);
/* "4096", "64k", "1.5MB", "2GiB": k, m, g and t are 1024 whatever follows.
 * Units: bytes. Errors: false, said on stderr. */
bool pa_parse_bytes(const char *option, const char *text, uint64_t *bytes);

#endif
