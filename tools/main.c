/* perfagent COMMAND ...: one row per command. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tools/commands.h"
#include "tools/options.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
};

static const struct command commands[] = {
    {"record", pa_cmd_record, "run a command and record where it and its children spend CPU time"},
    {"attach", pa_cmd_attach, "record a process that runs already"},
    {"detach", pa_cmd_detach, "end what attach records"},
    {"list", pa_cmd_list, "which processes can be attached to, and which are being recorded"},
    {"report", pa_cmd_report, "what a recording says, as text or JSON"},
    {"flame", pa_cmd_flame, "a flame graph of a recording, as SVG or folded stacks"},
    {"leaks", pa_cmd_leaks, "what was not freed, or how a running program's heap grows"},
    {"diff", pa_cmd_diff, "what changed between two recordings, or two parts of one"},
    {"dump", pa_cmd_dump, "the stacks of all threads of a running process, now"},
    {"doctor", pa_cmd_doctor, "why a process or a command can or cannot be profiled"},
};
#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int help(void)
{
	struct pa_outfile f;
	if (!pa_outfile_open(&f, NULL))
		return PA_EXIT_ERROR;
	fputs("usage: perfagent COMMAND [OPTIONS]\n\n", f.stream);
	for (size_t i = 0; i < NR_COMMANDS; i++)
		fprintf(f.stream, "  %-8s %s\n", commands[i].name, commands[i].what);
	fputs("\n"
	      "  perfagent record -- ./program    then  perfagent report  and  perfagent flame\n"
	      "\n"
	      "`perfagent COMMAND --help` lists the options of a command; perfagent(1) has the rest.\n",
	      f.stream);
	return pa_outfile_close(&f, 0);
}

static int version(void)
{
	struct pa_outfile f;
	if (!pa_outfile_open(&f, NULL))
		return PA_EXIT_ERROR;
	fputs("perfagent " PA_VERSION "\n", f.stream);
	return pa_outfile_close(&f, 0);
}

/* A closed standard descriptor must not become the number of a file we open: what is printed would go there. The place
 * holders cannot be written to, so closed output stays an error, and a recorded command finds them closed. */
static void hold_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_CLOEXEC | (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
}

int main(int argc, char **argv)
{
	hold_standard_descriptors();
	if (argc < 2)
		return pa_fail("no command", "say which (see perfagent --help)");
	const char *name = argv[1];
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help"))
		return help();
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		return version();
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return pa_fail(name, "unknown %s (see perfagent --help)", name[0] == '-' ? "option" : "command");
}
