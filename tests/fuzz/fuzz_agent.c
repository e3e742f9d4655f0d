/* An image in a stranger's memory, and what stands where its note points to: neither is believed. The input is the
 * memory, from address 0x10000 on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "remote/agent.h"
#include "remote/agent_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE 0x10000u

struct memory {
	const uint8_t *data;
	size_t size;
};

static int read_memory(void *arg, uint64_t address, void *out, size_t bytes)
{
	const struct memory *m = arg;

	if (address < BASE || address - BASE > m->size || bytes > m->size - (address - BASE))
		return -1;
	memcpy(out, m->data + (address - BASE), bytes);
	return 0;
}

static void judge(const struct pa_command *c)
{
	struct pa_agent_info info;
	char why[PA_AGENT_WHY];

	if (pa_agent_judge(c))
		return;
	pa_agent_inform(c, 7, &info);
	if (strnlen(info.session_path, sizeof(info.session_path)) == sizeof(info.session_path) ||
	    info.state > PA_AGENT_DISABLED || !pa_agent_state_name(info.state) ||
	    (info.nudge && info.nudge != 23 && info.nudge != 28))
		abort();
	pa_agent_ready(&info, c->kind, why, sizeof(why));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memory m = {data, size};
	struct pa_note_found found;
	struct pa_command c;

	if (pa_note_find(BASE, read_memory, &m, &found))
		return 0;
	if (found.command % 8 || !pa_note_holds(&found, found.command, 8) ||
	    !pa_note_holds(&found, found.command + sizeof(c) - 8, 8))
		abort();
	if (!read_memory(&m, found.command, &c, sizeof(c)))
		judge(&c);
	return 0;
}
