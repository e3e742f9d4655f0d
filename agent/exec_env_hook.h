/* The environment of a program about to be executed: finding our entry in LD_PRELOAD, a copy without it (and without a
 * sanitizer's runtime that came with it, common/preload.h), and whether the image could load the agent at all. The pure
 * part of hooks_exec.c. World: hook. */
#ifndef PA_AGENT_EXEC_ENV_HOOK_H
#define PA_AGENT_EXEC_ENV_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PA_EXEC_ENV_MAX     4096 /* entries of an environment that is copied; a longer one is passed as it is */
#define PA_EXEC_PRELOAD_MAX 4096 /* bytes of LD_PRELOAD */

/* Whether some LD_PRELOAD in envp (NULL: empty) names our library, by its file name, in any directory. */
bool pa_exec_env_names_us_hook(char *const envp[]);

/* Number of entries, or PA_EXEC_ENV_MAX + 1 when there are more than that. */
size_t pa_exec_env_count_hook(char *const envp[]);

/* What is taken out of an environment. */
#define PA_EXEC_TAKE_RUNTIME   1u /* the runtime that record put before us */
#define PA_EXEC_TAKE_AGENT     2u /* us; the runtime goes along */
#define PA_EXEC_TAKE_VARIABLES 4u /* our own PERFAGENT_ variables */
/* ... and the agent put into a list that does not name it; never together with the others. */
#define PA_EXEC_PUT_AGENT 8u

/* What has to be taken out of envp for a program that needs this runtime to be first (file name; "": none): the agent,
 * when LD_PRELOAD would load it before the runtime; record's runtime, when the program does not need it. Shapes: envp
 * names us. Returns PA_EXEC_TAKE_* or 0. */
unsigned pa_exec_env_misfit_hook(char *const envp[], const char *runtime);

/* Copies a list of libraries without those to be taken out (PA_EXEC_TAKE_*).
 * Shapes: value as after "LD_PRELOAD=", entries separated by ':' or ' '; out has room for size bytes.
 * Returns the length without the terminator.   Errors: SIZE_MAX: out is too small. */
size_t pa_exec_env_strip_hook(const char *value, unsigned take, char *out, size_t size);

/* Copies the entries of envp without what is to be taken out; an LD_PRELOAD that is then empty is left out.
 * Shapes: copy has room for pa_exec_env_count_hook(envp) + 1 pointers, preload for PA_EXEC_PRELOAD_MAX bytes; both must
 * live as long as the copy is used. Errors: false: preload is too small, copy is of no use. */
bool pa_exec_env_without_hook(char *const envp[], unsigned take, char **copy, char *preload);

/* Finds our entry in the environment's lists. Returns its length, and where it is; 0: there is none. */
size_t pa_exec_env_ours_hook(char *const envp[], const char **entry);

/* Whether envp has a variable (name with its '='), and whether it has a list of libraries that is not empty. */
bool pa_exec_env_has_hook(char *const envp[], const char *name);
bool pa_exec_env_has_list_hook(char *const envp[]);

/* Whether we could not be put into a list for a program that needs this runtime ("": none) to be first: it begins with
 * something else. */
bool pa_exec_env_lacks_runtime_hook(char *const envp[], const char *runtime);

/* Copies the entries of envp, with `ours` put first into every list that is not empty; behind a runtime that insists on
 * being first. Shapes and errors as above. */
bool pa_exec_env_with_hook(char *const envp[], const char *ours, char **copy, char *preload);

/* What stands in the way of loading the agent into an image. */
struct pa_exec_image {
	uint32_t refused;     /* 0: nothing known; else PA_EXEC_* */
	uint32_t machine;     /* ELF class << 16 | e_machine */
	uint64_t interpreter; /* offset in the file of the loader's name, 0: there is none */
	uint64_t interpreter_len;
};

#define PA_EXEC_OTHER_MACHINE 1u
#define PA_EXEC_OTHER_LOADER  2u
#define PA_EXEC_RUNTIME_FIRST 3u /* needs a sanitizer's runtime before every other library */
#define PA_EXEC_ENVIRONMENT   4u /* the environment it is given has no list of libraries, or not our variables */

/* Reads an ELF header and its program headers, as far as they lie in the first len bytes of the file.
 * Errors: none; what is no ELF file, or is cut, refuses nothing. */
void pa_exec_image_parse_hook(const unsigned char *bytes, size_t len, struct pa_exec_image *image);

/* Whether a program's loader (path of len bytes) is glibc's, which skips a library it cannot load; others end the
 * program. Source: musl's loader fails on symbols of glibc that it lacks. */
bool pa_exec_loader_is_glibc_hook(const char *path, size_t len);

/* The interpreter in a script's first line.
 * Returns its length and sets *path to its beginning within bytes; 0: no script, or cut. */
size_t pa_exec_script_hook(const char *bytes, size_t len, const char **path);

#endif
