/* perfagent doctor: what will and what will not work here, for a program or for a process, and why. World: plain. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/proc.h"
#include "report/escape.h"
#include "tools/commands.h"
#include "tools/doctor.h"
#include "tools/options.h"

enum { WILL_WORK = 0, WILL_NOT = 1 };

static const struct {
	const char *word, *colour;
} marks[] = {
    [PA_FINE] = {"ok  ", "32"},
    [PA_LIMITED] = {"warn", "33"},
    [PA_BROKEN] = {"no  ", "31"},
};

struct totals {
	unsigned limited, broken;
};

void pa_finding_set(struct pa_finding *f, enum pa_verdict verdict, const char *format, ...)
{
	va_list args;

	f->verdict = verdict;
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
}

static const char help[] =
    "usage: perfagent doctor [PID | COMMAND [ARGUMENT]...]\n"
    "Says what will and what will not work, and why: of this system, of a program, of a process.\n"
    "\n"
    "  -h, --help         -V, --version\n"
    "\n"
    "Exit status: 0 it can be profiled, 1 it cannot, 2 error or usage.\n";

static const struct option longs[] = {
    PA_OPTION_HELP,
    PA_OPTION_VERSION,
    {NULL, 0, NULL, 0},
};
/* "+": the options of COMMAND are its own */
static const struct pa_command_line line = {"doctor", help, "+:hV", longs};

static bool wants_colour(void)
{
	const char *term = getenv("TERM"), *none = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(none && *none) && !(term && !strcmp(term, "dumb"));
}

static void run_table(const char *heading, const struct pa_check *table, const struct pa_subject *s, struct totals *t)
{
	bool colour = wants_colour();

	pa_escape(stdout, PA_PLAIN, heading);
	putchar('\n');
	for (const struct pa_check *c = table; c->title; c++) {
		struct pa_finding f = {PA_BROKEN, ""};

		c->run(s, &f);
		if (f.verdict == PA_SILENT)
			continue;
		t->limited += f.verdict == PA_LIMITED;
		t->broken += f.verdict == PA_BROKEN;
		if (colour)
			printf("  \033[%sm%s\033[0m  %-22s", marks[f.verdict].colour, marks[f.verdict].word, c->title);
		else
			printf("  %s  %-22s", marks[f.verdict].word, c->title);
		pa_escape(stdout, PA_PLAIN, f.text);
		putchar('\n');
	}
}

/* A process id: digits only. A command of that name needs a slash. */
static bool is_pid(const char *arg, pid_t *pid)
{
	char *end;
	long value;

	if (arg[0] < '0' || arg[0] > '9')
		return false;
	errno = 0;
	value = strtol(arg, &end, 10);
	*pid = (pid_t)value;
	return !*end && !errno && value == *pid && value > 0;
}

static int examine_process(struct pa_subject *s)
{
	struct pa_proc_status status;
	char exe[64];
	int ret = pa_proc_status((uint32_t)s->pid, &status);

	if (ret < 0)
		return pa_fail(s->name, "%s", ret == -ENOENT || ret == -ESRCH ? "no such process" : strerror(-ret));
	/* through /proc: the file it runs, whatever stands at that path now and in whatever root it lives */
	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)s->pid);
	s->have_program = pa_program_examine(exe, &s->program) == 0;
	if (s->have_program)
		pa_proc_exe((uint32_t)s->pid, s->program.path, sizeof(s->program.path));
	s->program.secure = NULL; /* a process has its AT_SECURE to look at */
	return WILL_WORK;
}

static int examine_command(struct pa_subject *s)
{
	char path[PATH_MAX];
	int ret = pa_program_find(s->name, path);

	if (ret == -EACCES)
		return pa_fail(s->name, "not an executable file");
	if (ret < 0)
		return pa_fail(s->name, "%s", ret == -ENOENT ? "no such program" : strerror(-ret));
	ret = pa_program_examine(path, &s->program);
	if (ret < 0)
		return pa_fail(s->program.path, "%s", strerror(-ret));
	s->have_program = true;
	return WILL_WORK;
}

static void conclude(const struct pa_subject *s, const struct totals *t)
{
	pa_escape(stdout, PA_PLAIN, s->pid ? "process " : "");
	pa_escape(stdout, PA_PLAIN, s->name ? s->name : "a program that does not stand in its own way");
	if (t->broken)
		printf(" cannot be profiled: %u %s\n", t->broken, t->broken == 1 ? "reason above" : "reasons above");
	else if (t->limited)
		printf(" can be profiled, with %u %s\n", t->limited, t->limited == 1 ? "warning" : "warnings");
	else
		printf(" can be profiled\n");
}

static int diagnose(struct pa_subject *s)
{
	struct totals t = {0, 0};
	char heading[PATH_MAX + 32];
	int ret = WILL_WORK;

	if (s->name)
		ret = is_pid(s->name, &s->pid) ? examine_process(s) : examine_command(s);
	if (ret != WILL_WORK)
		return ret;
	run_table("this system", pa_doctor_system, s, &t);
	if (s->pid) {
		snprintf(heading, sizeof(heading), "process %d", (int)s->pid);
		run_table(heading, pa_doctor_process, s, &t);
	}
	if (s->have_program) {
		snprintf(heading, sizeof(heading), "program %s",
			 s->program.script[0] ? s->program.script : s->program.path);
		run_table(heading, pa_doctor_program, s, &t);
	}
	conclude(s, &t);
	if (fflush(stdout) || ferror(stdout))
		return pa_fail("standard output", "%s", strerror(errno));
	return t.broken ? WILL_NOT : WILL_WORK;
}

int pa_cmd_doctor(int argc, char **argv)
{
	struct pa_subject *s;
	int status = PA_EXIT_ERROR, option = pa_option_next(&line, argc, argv, &status);

	if (option >= 0)
		return status;     /* it has only options that end it */
	s = calloc(1, sizeof(*s)); /* some 12 KiB of paths */
	if (!s)
		return pa_fail("doctor", "out of memory");
	s->name = argv[optind];
	status = diagnose(s);
	free(s);
	return status;
}
