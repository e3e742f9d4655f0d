/* What inject_try loads: a constructor that does what an agent's does, roughly: allocates, maps, opens, looks around.
 * PA_INJECTED_DO in the target's environment makes it misbehave: crash, abort, sleep (three seconds). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *kept[64];

static void misbehave(const char *how)
{
	volatile int *volatile nowhere = NULL;

	if (!strcmp(how, "crash"))
		*nowhere = 1;
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "sleep"))
		sleep(3);
}

__attribute__((constructor)) static void injected(void)
{
	const char *file = getenv("PA_INJECTED");
	char *page = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		kept[i] = malloc(i * 97 + 1);
	if (page != MAP_FAILED && fd >= 0)
		while (read(fd, page, 1 << 16) > 0)
			;
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i += 2)
		free(kept[i]);
	if (getenv("PA_INJECTED_DO"))
		misbehave(getenv("PA_INJECTED_DO"));
	if (file && (fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) >= 0) {
		if (write(fd, "injected\n", 9) != 9)
			abort();
		close(fd);
	}
	errno = EIO;
}
