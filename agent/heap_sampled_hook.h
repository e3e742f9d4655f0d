/* Sampled mode's own setting up, for heap_hook.c. What hooks call of it stands in heap_hook.h. World: see each. */
#ifndef PA_AGENT_HEAP_SAMPLED_HOOK_H
#define PA_AGENT_HEAP_SAMPLED_HOOK_H

/* A session begins: maps the set of addresses, takes the mean from the control page. Errors: -errno: no memory. */
int pa_sampled_start_hook(void);

/* A forked child: its own samples only, its own draws. World: hook. */
void pa_sampled_forget_hook(void);

#endif
