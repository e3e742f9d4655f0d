/* Needed by the program `early`: its constructor runs before the agent's, and does there what a constructor should not:
 * loads and unloads a library, forks, starts a thread, sets a signal's handler and a mask. */
#include <dlfcn.h>

#include "tests/targets/target.h"
#include <signal.h>

extern int early_steps;
int early_steps;

static void on_prof(int sig)
{
	early_steps += 1000;
}

static void *early_thread(void *arg)
{
	early_steps++;
	return NULL;
}

__attribute__((constructor)) static void early(void)
{
	struct sigaction act = {.sa_handler = on_prof}, old;
	void *lib = dlopen("libm.so.6", RTLD_NOW);
	sigset_t set;
	pthread_t t;
	int status;
	pid_t pid;

	early_steps += lib != NULL && dlsym(lib, "cos") != NULL && dlclose(lib) == 0;
	if (pthread_create(&t, NULL, early_thread, NULL) == 0)
		pthread_join(t, NULL);
	pid = fork();
	if (pid == 0)
		_exit(5);
	early_steps += target_wait(pid, &status) == pid && WEXITSTATUS(status) == 5;
	early_steps += sigaction(SIGURG, &act, &old) == 0 && old.sa_handler == SIG_DFL;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	early_steps += sigprocmask(SIG_BLOCK, &set, NULL) == 0;
	/* and one thread that lives on: the agent starts in a process that is threaded already */
	if (pthread_create(&t, NULL, early_thread, NULL) == 0)
		pthread_detach(t);
}
