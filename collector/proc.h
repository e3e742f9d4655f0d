/* What /proc tells about a process: read with a few system calls, bounded, and never believed to stay true.
 *
 * Every function takes the pid as the collector sees it. Errors are -errno; a process that is gone is -ESRCH or
 * -ENOENT. World: plain. */
#ifndef PA_COLLECTOR_PROC_H
#define PA_COLLECTOR_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pa_proc_status {
	uint32_t pid;       /* Tgid */
	uint32_t parent;    /* PPid */
	uint32_t uid;       /* real */
	uint32_t inner_pid; /* last field of NSpid: as the process sees itself */
	uint32_t ns_depth;  /* fields of NSpid */
	uint32_t seccomp;   /* 0 none, 1 strict, 2 filter */
	char state;         /* R S D Z ... */
};

int pa_proc_status(uint32_t pid, struct pa_proc_status *out);
/* When a process was started, in ticks of sysconf(_SC_CLK_TCK) since boot: only good to compare two processes; exec
 * does not change it. 0: not known. Source: proc(5), field 22 of /proc/PID/stat. */
uint64_t pa_proc_start_ticks(uint32_t pid);
/* A thread's number as it sees itself, 0: it is gone. */
uint32_t pa_proc_inner_tid(uint32_t pid, uint32_t tid);
/* Real user id; (uint32_t)-1 when it cannot be told. */
uint32_t pa_proc_uid(uint32_t pid);

/* Whether `ancestor` is pid itself or reached by parents. Bounded: 1024 steps. */
bool pa_proc_descends(uint32_t pid, uint32_t ancestor);

/* CPU time of a whole process, a zombie's too, ns, exact. Errors: -errno.
 * Source: clock_getcpuclockid(3) works on any visible process, clock_getres(2) "CPU-time clocks". */
int pa_proc_cpu_ns(uint32_t pid, uint64_t *cpu_ns);
/* CPU time of one thread, ns (first field of schedstat; the kernel counts a running thread up to its last tick). */
int pa_proc_thread_cpu_ns(uint32_t pid, uint32_t tid, uint64_t *cpu_ns);

/* Visits the thread ids of a process; a non-zero result of fn ends the visit. Errors: -errno or fn's result. */
int pa_proc_threads(uint32_t pid, int (*fn)(void *arg, uint32_t tid), void *arg);

/* argv joined by spaces into out, always terminated, cut at size. Errors: -errno, out is then "". */
int pa_proc_command(uint32_t pid, char *out, size_t size);
/* The path of the executable, as the target's file system names it. */
int pa_proc_exe(uint32_t pid, char *out, size_t size);
/* Thread name. */
int pa_proc_comm(uint32_t pid, uint32_t tid, char *out, size_t size);

/* One line of /proc/PID/maps. */
struct pa_proc_map {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	bool exec;
	bool deleted;     /* " (deleted)" was cut from the path */
	const char *path; /* lent for the call; "" when anonymous */
};

/* Resident memory of the mappings fn says yes to, KiB: anonymous and shared pages alike (Rss of smaps).
 * Errors: -errno. Walks the page tables of the target: not for every poll. */
int pa_proc_rss(uint32_t pid, bool (*fn)(void *arg, const struct pa_proc_map *map), void *arg, uint64_t *kib);

/* Resident memory, bytes: all, and what of it is of files and shared memory. Cheap. Source: proc(5), /proc/PID/statm.
 */
int pa_proc_resident(uint32_t pid, uint64_t *all, uint64_t *shared);

/* Visits the mappings in order of address; a non-zero result of fn ends the visit. Bounded: 65536 lines. */
int pa_proc_maps(uint32_t pid, int (*fn)(void *arg, const struct pa_proc_map *map), void *arg);
/* Whether the process maps the file of this inode whose name contains `name` (a memfd). */
bool pa_proc_maps_inode(uint32_t pid, uint64_t inode, const char *name);

/* Visits every process id of this pid namespace. */
int pa_proc_all(int (*fn)(void *arg, uint32_t pid), void *arg);

#endif
