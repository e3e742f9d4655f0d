/* The ELF note that leads a collector to pa_command (common/command.h). Data only; nobody in the process reads it.
 * World: plain. */
#include "agent/command_sig.h"

#define TEXT(x)  TEXT1(x)
#define TEXT1(x) #x

#define COMMAND_BYTES 288
#define MAJOR         1
_Static_assert(sizeof(struct pa_command) == COMMAND_BYTES, "the note says so");
_Static_assert(PA_COMMAND_MAJOR == MAJOR && PA_NOTE_COMMAND == 1, "the note says so");
_Static_assert(sizeof(PA_NOTE_OWNER) == 10 && sizeof(struct pa_agent_note) == 16, "the note says so");

__asm__("	.pushsection .note.perfagent, \"a\", %note\n"
	"	.balign 4\n"
	"	.long 10, 16, 1\n"
	"	.asciz \"" PA_NOTE_OWNER "\"\n"
	"	.balign 4\n"
	"1:	.long " TEXT(MAJOR) ", " TEXT(COMMAND_BYTES) "\n"
							     "	.quad pa_command - 1b\n"
							     "	.popsection\n");
