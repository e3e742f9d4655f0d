#include "tools/pid.h"

#include "tools/options.h"

bool pa_parse_pid(const char *text, pid_t *pid)
{
	size_t number;

	if (!pa_parse_size(text, text, &number))
		return false;
	*pid = (pid_t)number;
	if (number && *pid > 0 && (size_t)*pid == number)
		return true;
	pa_fail(text, "no such process");
	return false;
}

bool pa_pid_operand(const struct pa_command_line *c, int argc, char **argv, pid_t *pid)
{
	if (optind == argc) {
		pa_fail(c->command, "which process? (see perfagent %s --help)", c->command);
		return false;
	}
	if (!pa_parse_pid(argv[optind], pid))
		return false;
	optind++;
	return pa_no_operands(c, argc, argv);
}
