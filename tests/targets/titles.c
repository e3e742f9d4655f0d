/* A prefork server that never executes anything: argv[1] workers, each with a title of its own that it takes on after
 * its first bit of work, and burning until the file "stop" lies in the working directory. The titles go where the
 * arguments stand, padded to their end: what follows argv[1] is room. */
#include <signal.h>
#include <sys/prctl.h>

#include "tests/targets/target.h"

static void set_title(int argc, char **argv, const char *title)
{
	char *end = argv[argc - 1] + strlen(argv[argc - 1]);
	size_t room = (size_t)(end - argv[0]), length = strlen(title);

	target_need(length < room, "room for a title");
	memcpy(argv[0], title, length);
	memset(argv[0] + length, 0, room - length);
}

static void work(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (access("stop", F_OK) != 0)
		target_burn_ms(5);
}

int main(int argc, char **argv)
{
	int nr = argc > 2 ? atoi(argv[1]) : 0;
	char title[64];

	target_need(nr > 0 && nr < 100, "1 to 99 workers, and room for their titles");
	for (int i = 1; i <= nr; i++) {
		if (fork())
			continue;
		target_burn_ms(5);
		snprintf(title, sizeof(title), "titles: worker %d", i);
		set_title(argc, argv, title);
		work();
		return 0;
	}
	set_title(argc, argv, "titles: master");
	while (wait(NULL) > 0)
		;
	return 0;
}
