/* Any bytes as a program to be executed, and as the LD_PRELOAD that goes with it. Nothing is read outside them, what is
 * found lies within, and a list never grows by what is taken out of it. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/exec_env_hook.h"
#include "agent/exec_needed_hook.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *at;
	size_t len;
};

static size_t read_bytes(void *arg, void *to, size_t len, uint64_t offset)
{
	const struct bytes *file = arg;

	if (offset >= file->len)
		return 0;
	len = len < file->len - offset ? len : file->len - offset;
	memcpy(to, file->at + offset, len);
	return len;
}

static void as_program(const uint8_t *data, size_t size)
{
	struct bytes file = {data, size};
	char name[PA_PRELOAD_NAME_MAX];
	struct pa_exec_image image;
	const char *script;
	size_t len = pa_exec_script_hook((const char *)data, size, &script);

	if (len && (script < (const char *)data + 2 || len > size - (size_t)(script - (const char *)data)))
		abort();
	pa_exec_image_parse_hook(data, size, &image);
	if (pa_exec_needed_hook(read_bytes, &file, name) != (name[0] != 0) || !memchr(name, 0, sizeof(name)) ||
	    (name[0] && !pa_preload_is_runtime(name, strlen(name))))
		abort();
}

static void as_list(const uint8_t *data, size_t size)
{
	static const char variable[] = "LD_PRELOAD=";
	const size_t before = sizeof(variable) - 1;
	char *entry = malloc(before + size + 1), *out = malloc(size + 3);
	char *env[] = {entry, NULL};

	memcpy(entry, variable, before);
	memcpy(entry + before, data, size);
	entry[before + size] = 0;
	for (unsigned take = 0; take < 8; take++) {
		size_t len = pa_exec_env_strip_hook(entry + before, take, out, size + 3);

		if (len != strlen(out) || len > size)
			abort();
		memcpy(entry + before, out, len + 1);
		if ((take & PA_EXEC_TAKE_AGENT) && pa_exec_env_names_us_hook(env))
			abort();
		memcpy(entry + before, data, size);
		entry[before + size] = 0;
	}
	pa_exec_env_misfit_hook(env, "");
	pa_exec_env_misfit_hook(env, "libasan.so.8");
	free(out);
	free(entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_program(data, size);
	as_list(data, size);
	return 0;
}
