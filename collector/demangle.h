/* Names of C++ and Rust functions as people write them. The demangler is libiberty's; what is ours is the bounds:
 * mangled names come out of files that nobody checked. World: plain. */
#ifndef PA_COLLECTOR_DEMANGLE_H
#define PA_COLLECTOR_DEMANGLE_H

#include <stddef.h>

#define PA_NAME_MAX    4096 /* bytes of a name that is shown, with its terminator */
#define PA_MANGLED_MAX 8192 /* longer names are shown as they are, cut */

/* Demangles name without its suffixes (pa_name_base_length); one that is not mangled, or that exceeds a limit, comes
 * out as it is, cut and cleaned. Shapes: name is terminated; out has PA_NAME_MAX bytes and is always terminated, valid
 * UTF-8, without control characters. Returns its length.   Units: at most some 50 ms of CPU and 256 MiB of (mostly
 * untouched) stack a name; one second in all for names that run into that limit, from then on such names come out raw.
 */
size_t pa_demangle(const char *name, char *out);

/* The length of name without what compilers append to the copies they make of a function (.cold, .part.0, .isra.1,
 * .constprop.2, .llvm.123), and without a symbol version: those copies are one function to whoever reads a report. */
size_t pa_name_base_length(const char *name);

/* Copies len bytes, cut to PA_NAME_MAX - 1; bytes that are no UTF-8 and control characters become '?'.
 * Returns the length of out, which is terminated. text need not be. */
size_t pa_name_clean(const char *text, size_t len, char *out);

#endif
