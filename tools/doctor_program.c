/* doctor: what a program file allows. World: plain. */
#include <stdio.h>
#include <string.h>

#include "tools/doctor.h"

static void check_script(const struct pa_subject *s, struct pa_finding *f)
{
	if (s->program.script[0])
		pa_finding_set(f, PA_FINE, "is a script: %s runs it, and is examined", s->program.path);
	else
		f->verdict = PA_SILENT;
}

static void check_preload(const struct pa_subject *s, struct pa_finding *f)
{
	const struct pa_program *p = &s->program;
	const char *refusal = pa_program_refusal(p);

	if (refusal)
		pa_finding_set(f, PA_BROKEN, "no: it %s", refusal);
	else if (p->is_loader)
		pa_finding_set(f, PA_FINE, "yes: it is the loader, which preloads for the program it is given");
	else
		pa_finding_set(f, PA_FINE, "yes: dynamically linked, loaded by %s", p->interp);
}

static void check_secure(const struct pa_subject *s, struct pa_finding *f)
{
	if (s->program.secure)
		pa_finding_set(f, PA_BROKEN, "%s: run it as the user or with the rights it would gain",
			       s->program.secure);
	else
		f->verdict = PA_SILENT;
}

static void check_go(const struct pa_subject *s, struct pa_finding *f)
{
	const struct pa_program *p = &s->program;

	if (p->go && p->interp[0])
		pa_finding_set(
		    f, PA_LIMITED,
		    "Go with cgo: signals are set by raw system calls and threads by raw clone, past the agent");
	else
		f->verdict = PA_SILENT;
}

static void check_sanitizer(const struct pa_subject *s, struct pa_finding *f)
{
	const struct pa_program *p = &s->program;

	if (!p->sanitizer)
		f->verdict = PA_SILENT;
	else if (p->runtime[0])
		pa_finding_set(
		    f, PA_LIMITED,
		    "built with %s, whose library must be the first: record loads it before the agent, and programs "
		    "that others start go without the agent",
		    p->sanitizer);
	else
		pa_finding_set(f, PA_LIMITED, "built with %s: figures are those of the instrumented program",
			       p->sanitizer);
}

static void check_debug(const struct pa_subject *s, struct pa_finding *f)
{
	const struct pa_program *p = &s->program;

	if (p->debug_info)
		pa_finding_set(f, PA_FINE, "in the file: functions, inlined functions and lines");
	else if (p->debug_file[0])
		pa_finding_set(f, PA_FINE, "in %s", p->debug_file);
	else if (p->symbols)
		pa_finding_set(f, PA_LIMITED, "none, only a symbol table: functions without lines (build with -g)");
	else
		pa_finding_set(f, PA_LIMITED,
			       "none, and stripped: only exported functions have names (install its -dbgsym package or "
			       "build with -g)");
}

const struct pa_check pa_doctor_program[] = {
    {"script", check_script},
    {"can be preloaded", check_preload},
    {"rights", check_secure},
    {"Go", check_go},
    {"sanitizer", check_sanitizer},
    {"debug information", check_debug},
    {NULL, NULL},
};
