/* Where a thread may be made to call a function of ours: nowhere near the locks of the loader and of the allocator.
 *
 * A thread is safe when its stack can be walked to the end, it is in no signal handler, and none of its frames is in
 * the loader, in libc or in a module that has a malloc of its own, but for the outermost start frames, and the one
 * function of libc in which it sleeps, with our own in front of it. The world must be safe, too: while any thread is
 * inside the loader, nobody calls. Source: the rule that let 60 of 60 allocating programs live where 18 of 30 died
 * without it (S14). World: plain. */
#ifndef PA_REMOTE_SAFE_H
#define PA_REMOTE_SAFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/registers.h"
#include "remote/symbols.h"
#include "remote/walk.h"

#define PA_SAFE_MODULES 16
#define PA_SAFE_SLEEPS  64

struct pa_safety {
	struct pa_span loader[PA_SAFE_MODULES];    /* ld.so */
	struct pa_span libc[PA_SAFE_MODULES];      /* libc, and what was part of it once */
	struct pa_span allocator[PA_SAFE_MODULES]; /* others that define malloc */
	struct pa_span agent[PA_SAFE_MODULES];     /* ours, when it was put in front of libc before */
	size_t nr_loader, nr_libc, nr_allocator, nr_agent;
	struct pa_span sleeps[PA_SAFE_SLEEPS]; /* functions of libc in which threads wait and hold nothing */
	size_t nr_sleeps;
	struct pa_walker_module libc_module; /* the one that has the symbols; file NULL: none */
};

enum pa_verdict_of_thread {
	PA_SAFE,
	PA_UNSAFE_LOADER,    /* a frame in ld.so: nobody may call now */
	PA_UNSAFE_LIBC,      /* a frame in libc */
	PA_UNSAFE_ALLOCATOR, /* a frame in another module with a malloc */
	PA_UNSAFE_HANDLER,   /* in a signal handler */
	PA_UNSAFE_UNKNOWN,   /* its stack cannot be walked to the end */
	PA_UNSAFE_KERNEL,    /* inside a system call that is not one of those in which threads sleep */
	PA_UNSAFE_VERDICTS
};

/* Finds loader, libc and allocators. Errors: 0; -ENOENT: no libc with a loader (a static program, another libc). */
int pa_safety_learn(struct pa_safety *s, struct pa_walker *w);

/* Judges one stopped thread by its stack. */
enum pa_verdict_of_thread pa_safety_judge(const struct pa_safety *s, const struct pa_registers *registers,
					  const struct pa_walk *walk);
/* "in libc", for a sentence. */
const char *pa_safety_name(enum pa_verdict_of_thread verdict);

#endif
