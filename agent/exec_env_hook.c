/* See exec_env_hook.h. World: hook. */
#include "agent/exec_env_hook.h"

#include <elf.h>
#include <string.h>

#include "agent/sysdep.h"
#include "common/preload.h"

#define LIBRARY   "libperfagent.so"
#define PRELOAD   "LD_PRELOAD="
#define VARIABLES "PERFAGENT_"

static bool starts_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

static bool is_separator(char c)
{
	return c == ':' || c == ' ';
}

/* The next entry of a list; 0 at its end. Steps *at over it. */
static size_t next_entry(const char **at, const char **entry)
{
	while (is_separator(**at))
		(*at)++;
	*entry = *at;
	while (**at && !is_separator(**at))
		(*at)++;
	return (size_t)(*at - *entry);
}

static bool is_ours(const char *entry, size_t len)
{
	const size_t name = sizeof(LIBRARY) - 1;

	return len >= name && memcmp(entry + len - name, LIBRARY, name) == 0 &&
	       (len == name || entry[len - name - 1] == '/');
}

static bool list_names_us(const char *value)
{
	const char *entry;
	size_t len;

	while ((len = next_entry(&value, &entry)) != 0) {
		if (is_ours(entry, len))
			return true;
	}
	return false;
}

/* A runtime that record put there: the mark and then our entry follow it. */
static bool is_marked(const char *entry, size_t len)
{
	const char *after = entry + len;
	const char *next;
	size_t next_len;

	if (!pa_preload_is_runtime(entry, len) || !starts_with(after, PA_PRELOAD_MARK))
		return false;
	next_len = next_entry(&after, &next);
	return next == entry + len + strlen(PA_PRELOAD_MARK) && is_ours(next, next_len);
}

static unsigned misfit(const char *value, const char *runtime)
{
	const char *first;
	size_t len = next_entry(&value, &first);

	if (!is_marked(first, len))
		return *runtime && !pa_preload_is_runtime(first, len) ? PA_EXEC_TAKE_AGENT : 0;
	if (!*runtime)
		return PA_EXEC_TAKE_RUNTIME;
	/* record names it without a directory: another one's would be a second runtime */
	return len == strlen(runtime) && memcmp(first, runtime, len) == 0 ? 0 : PA_EXEC_TAKE_AGENT;
}

unsigned pa_exec_env_misfit_hook(char *const envp[], const char *runtime)
{
	unsigned take = 0;

	for (; envp && *envp; envp++) {
		if (starts_with(*envp, PRELOAD) && list_names_us(*envp + sizeof(PRELOAD) - 1))
			take |= misfit(*envp + sizeof(PRELOAD) - 1, runtime);
	}
	return take;
}

bool pa_exec_env_names_us_hook(char *const envp[])
{
	for (; envp && *envp; envp++) {
		if (starts_with(*envp, PRELOAD) && list_names_us(*envp + sizeof(PRELOAD) - 1))
			return true;
	}
	return false;
}

size_t pa_exec_env_count_hook(char *const envp[])
{
	size_t nr = 0;

	while (envp && envp[nr] && nr <= PA_EXEC_ENV_MAX)
		nr++;
	return nr;
}

static bool is_taken(const char *entry, size_t len, unsigned take)
{
	return ((take & PA_EXEC_TAKE_AGENT) && is_ours(entry, len)) ||
	       ((take & (PA_EXEC_TAKE_AGENT | PA_EXEC_TAKE_RUNTIME)) && is_marked(entry, len));
}

size_t pa_exec_env_strip_hook(const char *value, unsigned take, char *out, size_t size)
{
	const char *entry;
	size_t len, used = 0;

	while ((len = next_entry(&value, &entry)) != 0) {
		if (is_taken(entry, len, take))
			continue;
		if (used + len + 2 > size)
			return SIZE_MAX;
		if (used)
			out[used++] = ':';
		memcpy(out + used, entry, len);
		used += len;
	}
	if (used >= size)
		return SIZE_MAX;
	out[used] = '\0';
	return used;
}

bool pa_exec_env_without_hook(char *const envp[], unsigned take, char **copy, char *preload)
{
	size_t room = PA_EXEC_PRELOAD_MAX;

	for (; envp && *envp; envp++) {
		const size_t name = sizeof(PRELOAD) - 1;
		size_t len;

		if ((take & PA_EXEC_TAKE_VARIABLES) && starts_with(*envp, VARIABLES))
			continue;
		if (!starts_with(*envp, PRELOAD) || !list_names_us(*envp + name)) {
			*copy++ = *envp;
			continue;
		}
		if (room <= name)
			return false;
		memcpy(preload, PRELOAD, name);
		len = pa_exec_env_strip_hook(*envp + name, take, preload + name, room - name);
		if (len == SIZE_MAX)
			return false;
		if (len) {
			*copy++ = preload;
			preload += name + len + 1;
			room -= name + len + 1;
		}
	}
	*copy = NULL;
	return true;
}

size_t pa_exec_env_ours_hook(char *const envp[], const char **entry)
{
	for (; envp && *envp; envp++) {
		const char *value = *envp + sizeof(PRELOAD) - 1;
		size_t len;

		if (!starts_with(*envp, PRELOAD))
			continue;
		while ((len = next_entry(&value, entry)) != 0) {
			if (is_ours(*entry, len))
				return len;
		}
	}
	return 0;
}

bool pa_exec_env_has_hook(char *const envp[], const char *name)
{
	for (; envp && *envp; envp++) {
		if (starts_with(*envp, name))
			return true;
	}
	return false;
}

/* The first entry of the list in a variable; 0: it is no list, or an empty one. */
static size_t first_of(const char *variable, const char **first)
{
	if (!starts_with(variable, PRELOAD))
		return 0;
	variable += sizeof(PRELOAD) - 1;
	return next_entry(&variable, first);
}

bool pa_exec_env_has_list_hook(char *const envp[])
{
	const char *first;

	for (; envp && *envp; envp++) {
		if (first_of(*envp, &first))
			return true;
	}
	return false;
}

bool pa_exec_env_lacks_runtime_hook(char *const envp[], const char *runtime)
{
	const char *first;
	size_t len;

	for (; *runtime && envp && *envp; envp++) {
		len = first_of(*envp, &first);
		if (len && !pa_preload_is_runtime(first, len))
			return true;
	}
	return false;
}

static char *append(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	return out + len;
}

bool pa_exec_env_with_hook(char *const envp[], const char *ours, char **copy, char *preload)
{
	size_t room = PA_EXEC_PRELOAD_MAX, ours_len = strlen(ours), len, before, bytes;
	const char *first;
	bool behind;
	char *out;

	for (; envp && *envp; envp++) {
		len = first_of(*envp, &first);
		if (!len) {
			*copy++ = *envp;
			continue;
		}
		bytes = strlen(*envp) + 1 + ours_len + 1;
		if (bytes > room)
			return false;
		behind = pa_preload_is_runtime(first, len);
		before = (size_t)(first - *envp) + (behind ? len : 0);
		*copy++ = preload;
		out = append(preload, *envp, before);
		out = behind ? append(out, ":", 1) : out;
		out = append(out, ours, ours_len);
		out = behind ? out : append(out, ":", 1);
		append(out, *envp + before, strlen(*envp + before) + 1);
		preload += bytes;
		room -= bytes;
	}
	*copy = NULL;
	return true;
}

static void find_interpreter(const unsigned char *bytes, size_t len, const Elf64_Ehdr *head,
			     struct pa_exec_image *image)
{
	Elf64_Phdr segment;

	for (unsigned i = 0; i < head->e_phnum; i++) {
		uint64_t at = head->e_phoff + (uint64_t)i * sizeof(segment);

		if (head->e_phentsize != sizeof(segment) || at > len || len - at < sizeof(segment))
			return;
		memcpy(&segment, bytes + at, sizeof(segment));
		if (segment.p_type == PT_INTERP) {
			image->interpreter = segment.p_offset;
			image->interpreter_len = segment.p_filesz;
			return;
		}
	}
}

void pa_exec_image_parse_hook(const unsigned char *bytes, size_t len, struct pa_exec_image *image)
{
	Elf64_Ehdr head;

	memset(image, 0, sizeof(*image));
	/* class, data and e_machine stand at the same place in both classes */
	if (len < sizeof(head) || memcmp(bytes, ELFMAG, SELFMAG) != 0)
		return;
	memcpy(&head, bytes, sizeof(head));
	image->machine = (uint32_t)head.e_ident[EI_CLASS] << 16 | head.e_machine;
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
	    head.e_machine != PA_ARCH_MACHINE)
		image->refused = PA_EXEC_OTHER_MACHINE;
	else
		find_interpreter(bytes, len, &head, image);
}

bool pa_exec_loader_is_glibc_hook(const char *path, size_t len)
{
	static const char *const names[] = {"ld-linux", "ld.so", "ld-2.", "ld64.so"};
	const char *base = path;

	for (size_t i = 0; i < len; i++) {
		if (path[i] == '/')
			base = path + i + 1;
	}
	len -= (size_t)(base - path);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (len >= strlen(names[i]) && memcmp(base, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

size_t pa_exec_script_hook(const char *bytes, size_t len, const char **path)
{
	size_t from = 2, to;

	if (len < 3 || bytes[0] != '#' || bytes[1] != '!')
		return 0;
	while (from < len && is_blank(bytes[from]))
		from++;
	for (to = from; to < len && bytes[to] != '\n' && bytes[to] && !is_blank(bytes[to]); to++)
		;
	*path = bytes + from;
	return to < len ? to - from : 0;
}
