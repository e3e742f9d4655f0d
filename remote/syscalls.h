/* Names of system calls in which threads wait. World: plain. */
#ifndef PA_REMOTE_SYSCALLS_H
#define PA_REMOTE_SYSCALLS_H

/* "futex"; NULL for a number of no call that waits. Source: the kernel's headers, for this processor. */
const char *pa_syscall_name(long number);

#endif
