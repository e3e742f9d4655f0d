/* A program whose library did things before any preload was initialised. */
#include "tests/targets/target.h"
#include <signal.h>

extern int early_steps;

int main(void)
{
	struct sigaction old;
	sigset_t set;

	target_burn_ms(200);
	sigaction(SIGURG, NULL, &old);
	sigprocmask(SIG_BLOCK, NULL, &set);
	printf("steps %d, SIGURG handled %d, SIGUSR2 blocked %d, SIGPROF blocked %d\n", early_steps,
	       old.sa_handler != SIG_DFL, sigismember(&set, SIGUSR2), sigismember(&set, SIGPROF));
	return 0;
}
