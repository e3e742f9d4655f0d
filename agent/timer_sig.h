/* One CPU-clock timer per thread, by raw system calls so that a handler may arm another thread's. World: signal. */
#ifndef PA_AGENT_TIMER_SIG_H
#define PA_AGENT_TIMER_SIG_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/thread.h"

/* CPU time of a thread of this process. Units: ns. Errors: 0 when it is gone. */
uint64_t pa_thread_cpu_sig(uint32_t tid);
uint64_t pa_process_cpu_sig(void);
uint64_t pa_now_sig(void); /* CLOCK_MONOTONIC, ns */

/* Finds the clock, and how many timers the host can spare. World: plain (constructor). */
void pa_timer_init(void);

/* From now on the host may queue so many signals (RLIMIT_SIGPENDING). */
void pa_timer_limit_sig(uint64_t limit);
/* Whether more timers are armed than that leaves us. */
bool pa_timer_excess_sig(void);

/* In a forked child: timers are not inherited. */
void pa_timer_forget_all_sig(void);

/* Creates and starts the block's timer with a first expiry of block->first_ns.
 * Shapes: block->tid, period_ns and first_ns are set.   Errors: -errno of timer_create or
 * timer_settime; -EAGAIN: half of RLIMIT_SIGPENDING is in use. */
int pa_timer_arm_sig(struct pa_block *block, int signal);

/* Deletes it. Ticks still on their way are ignored by the handler: they carry the old id. */
void pa_timer_disarm_sig(struct pa_block *block);

/* Periods that fell due on a CPU clock reading and came as no sample.
 * Source: first expiry uniform in one period makes the number due unbiased, docs/SAMPLING.md. */
uint32_t pa_timer_undelivered_sig(const struct pa_block *block, uint64_t cpu_ns);

#endif
