/* Programs that confine themselves while they are sampled (R39, S10). */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "tests/targets/target.h"

/* Arithmetic only: in strict mode no clock may be read, not even by the program itself. */
static TARGET_NOINLINE void blind_spin(void)
{
	for (int i = 0; i < 100; i++)
		target_spin(1000000);
}

static int mode_strict(int argc, char **argv)
{
	target_burn_ms(100);
	printf("going strict\n");
	fflush(stdout);
	target_need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0, "seccomp");
	blind_spin();
	if (write(1, "strict\n", 7) != 7)
		syscall(SYS_exit, 1);
	syscall(SYS_exit, 18);
	return 0;
}

#define KILL_IF(name)                                                                                                  \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

/* What a sandbox would not expect of its program: everything an agent could want kills the process. */
static struct sock_filter killing[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    KILL_IF(timer_create),
    KILL_IF(timer_settime),
    KILL_IF(timer_delete),
    KILL_IF(gettid),
    KILL_IF(getpid),
    KILL_IF(sendmsg),
    KILL_IF(recvmsg),
    KILL_IF(socket),
    KILL_IF(connect),
    KILL_IF(memfd_create),
    KILL_IF(mmap),
    KILL_IF(mremap),
    KILL_IF(process_vm_readv),
    KILL_IF(rt_sigprocmask),
    KILL_IF(rt_sigaction),
    KILL_IF(clock_gettime),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static struct sock_fprog program = {.len = sizeof killing / sizeof *killing, .filter = killing};

static int filtered_end(void)
{
	blind_spin();
	blind_spin();
	if (write(1, "filtered\n", 9) != 9)
		return 1;
	return 19;
}

static int mode_filter(int argc, char **argv)
{
	target_burn_ms(100);
	target_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	target_need(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
	return filtered_end();
}

static int mode_syscall(int argc, char **argv)
{
	target_burn_ms(100);
	target_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	target_need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0, "seccomp");
	return filtered_end();
}

static void *other_thread(void *arg)
{
	/* burns without a system call: the filter comes upon it by SECCOMP_FILTER_FLAG_TSYNC */
	for (;;)
		blind_spin();
	return NULL;
}

static int mode_tsync(int argc, char **argv)
{
	pthread_t t;

	target_need(pthread_create(&t, NULL, other_thread, NULL) == 0, "pthread_create");
	target_burn_ms(100);
	target_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	target_need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0, "seccomp");
	blind_spin();
	_exit(filtered_end());
}

/* In place before the program starts: what the agent does at start is answered by an error. */
static struct sock_filter refusing[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_timer_create, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* A kernel without memfd_create (R58). */
static struct sock_filter no_memfd[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* No process or thread that its maker waits for (CLONE_VFORK). */
static struct sock_filter no_vfork[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_VFORK, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static int exec_under(struct sock_filter *filter, unsigned short len, char **argv)
{
	struct sock_fprog refuse = {.len = len, .filter = filter};

	target_need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	target_need(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &refuse) == 0, "seccomp");
	target_burn_ms(50);
	execv(argv[1], argv + 1);
	return 1;
}

static int mode_before(int argc, char **argv)
{
	return exec_under(refusing, sizeof refusing / sizeof *refusing, argv);
}

static int mode_no_memfd(int argc, char **argv)
{
	return exec_under(no_memfd, sizeof no_memfd / sizeof *no_memfd, argv);
}

static int mode_no_vfork(int argc, char **argv)
{
	return exec_under(no_vfork, sizeof no_vfork / sizeof *no_vfork, argv);
}

static const struct target_mode modes[] = {
    {"strict", mode_strict}, {"filter", mode_filter},     {"syscall", mode_syscall},   {"tsync", mode_tsync},
    {"before", mode_before}, {"no_memfd", mode_no_memfd}, {"no_vfork", mode_no_vfork}, {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
