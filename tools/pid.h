/* A process id on the command line. World: plain. */
#ifndef PA_TOOLS_PID_H
#define PA_TOOLS_PID_H

#include <stdbool.h>
#include <sys/types.h>

/* Whether there is such a process is not asked. Errors: false, said on stderr. */
bool pa_parse_pid(const char *text, pid_t *pid);
/* The one operand of a command. Errors: false, said on stderr. */
struct pa_command_line;
bool pa_pid_operand(const struct pa_command_line *c, int argc, char **argv, pid_t *pid);

#endif
