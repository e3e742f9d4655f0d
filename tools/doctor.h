/* The parts of `perfagent doctor`: what is examined, and one row per check. World: plain. */
#ifndef PA_TOOLS_DOCTOR_H
#define PA_TOOLS_DOCTOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "tools/program.h"

enum pa_verdict {
	PA_FINE,    /* works */
	PA_LIMITED, /* works, with something less or something to know */
	PA_BROKEN,  /* will not work */
	PA_SILENT,  /* nothing to say: the row is not printed */
};

struct pa_subject {
	const char *name; /* as given on the command line; NULL: only the system is examined */
	bool have_program;
	struct pa_program program; /* of the command, or of the process */
	pid_t pid;                 /* 0: not a process */
};

struct pa_finding {
	enum pa_verdict verdict;
	char text[512]; /* one clause; may hold text of the target, escaped when printed */
};

struct pa_check {
	const char *title; /* at most 22 columns; NULL ends a table */
	void (*run)(const struct pa_subject *s, struct pa_finding *f);
};

extern const struct pa_check pa_doctor_system[];
extern const struct pa_check pa_doctor_program[];
extern const struct pa_check pa_doctor_process[];

/* Sets a finding, printf style. */
__attribute__((format(printf, 3, 4))) void pa_finding_set(struct pa_finding *f, enum pa_verdict verdict,
							  const char *format, ...);

#endif
