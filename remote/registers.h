/* The registers of a thread that ptrace(2) has stopped. One file per processor below arch/ answers. World: plain. */
#ifndef PA_REMOTE_REGISTERS_H
#define PA_REMOTE_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "collector/unwind.h"

/* Bytes below the stack pointer that belong to the function (System V AMD64 ABI, 3.2.2); enough for every processor. */
#define PA_REMOTE_RED_ZONE 128

struct pa_registers {
	struct user_regs_struct user; /* as the kernel hands them over; opaque outside of arch/ */
};

/* Of the calling thread's tracee. Errors: 0, -errno; -ENOEXEC: a 32-bit program's registers. */
int pa_registers_get(pid_t tid, struct pa_registers *out);
int pa_registers_set(pid_t tid, const struct pa_registers *registers);

uint64_t pa_registers_pc(const struct pa_registers *r);
uint64_t pa_registers_sp(const struct pa_registers *r);
/* In DWARF order, for the unwinder. */
void pa_registers_dwarf(const struct pa_registers *r, struct pa_unwind_registers *out);

/* The system call that the stop cut short and that the kernel will begin again; -1: none, or it cannot be told. */
long pa_registers_syscall(const struct pa_registers *r);

/* An argument of that system call, from 0. */
uint64_t pa_registers_argument(const struct pa_registers *r, unsigned index);

/* A few system calls answer EINTR to a stop, not only to a handler: signal(7), "Interruption of system calls and
 * library functions by stop signals". Changes the registers so that the kernel begins the call again if no handler
 * runs, and answers EINTR if one does. True: they were changed and have to be set. */
bool pa_registers_hide_stop(struct pa_registers *r);

/* Whether the stop cut short a wait whose rest of time the kernel keeps with the thread (poll, nanosleep, futex). It is
 * gone when the thread is made to do anything else, and the call would answer EINTR. */
bool pa_registers_timed(const struct pa_registers *r);

/* Changes the registers so that such a wait begins again with all of its time. Shapes: code: the bytes in front of the
 * pc, which tell which call it was when it has been resumed before. False: they do not, and nothing was changed. */
#define PA_REMOTE_CALL_BYTES 7
bool pa_registers_begin_anew(struct pa_registers *r, const uint8_t code[PA_REMOTE_CALL_BYTES]);

#endif
