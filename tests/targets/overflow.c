/* overflow PID: stops that process (the collector), burns for long on a deep stack so that the ring must overflow, lets
 * it go on, burns a little more. */
#include <signal.h>

#include "tests/targets/target.h"

static TARGET_NOINLINE unsigned deep(unsigned depth, pid_t collector)
{
	unsigned r;

	if (depth == 0) {
		target_burn_ms(100);
		kill(collector, SIGSTOP);
		target_burn_ms(1500);
		kill(collector, SIGCONT);
		target_burn_ms(100);
		return 1;
	}
	r = deep(depth - 1, collector);
	target_sink += r;
	return r + 1;
}

int main(int argc, char **argv)
{
	target_need(argc == 2 && atoi(argv[1]) > 1, "overflow PID");
	printf("depth %u\n", deep(470, atoi(argv[1])));
	return 0;
}
