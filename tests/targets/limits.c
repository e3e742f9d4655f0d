/* Programs at the edge of what they may have: memory, descriptors, stack, locked memory (R54-R56, S3). */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/targets/target.h"

static void *burn_thread(void *arg)
{
	target_burn_ms(20);
	return NULL;
}

static void set_limit(int which, rlim_t value)
{
	struct rlimit limit;

	target_need(getrlimit(which, &limit) == 0, "getrlimit");
	limit.rlim_cur = value;
	target_need(setrlimit(which, &limit) == 0, "setrlimit");
}

static unsigned long status_kib(const char *field)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kib = 0;
	char line[256];

	target_need(f != NULL, "status");
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, field, strlen(field)))
			kib = strtoul(line + strlen(field) + 1, NULL, 10);
	fclose(f);
	return kib;
}

/* Under a limit that was there at the start (ulimit -v): the 32 MiB the program needs are there. */
static int mode_as(int argc, char **argv)
{
	char *p = malloc(32u << 20);

	target_burn_ms(100);
	printf("32 MiB: %s\n", p ? "there" : strerror(errno));
	errno = 0;
	printf("1 TiB: %d %s\n", malloc((size_t)1 << 40) != NULL, strerror(errno));
	target_burn_ms(100);
	free(p);
	return 0;
}

/* No mapping succeeds any more, threads included; sampling of what runs goes on or stops, the errors are the program's.
 */
static int mode_as_later(int argc, char **argv)
{
	pthread_t t;
	int r;

	target_burn_ms(100);
	printf("warm %d\n", fflush(stdout));
	set_limit(RLIMIT_AS, 4096);
	errno = 0;
	printf("mmap %d %s\n", mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED,
	       strerror(errno));
	r = pthread_create(&t, NULL, burn_thread, NULL);
	printf("thread %s\n", r ? strerror(r) : "made");
	target_burn_ms(150);
	r = fork();
	if (r == 0)
		_exit(0);
	printf("fork %s\n", r < 0 ? strerror(errno) : "made");
	if (r > 0)
		target_wait(r, &r);
	set_limit(RLIMIT_AS, RLIM_INFINITY);
	target_need(pthread_create(&t, NULL, burn_thread, NULL) == 0, "pthread_create");
	pthread_join(t, NULL);
	return 0;
}

/* All descriptors but one in use at exec: the loader needs that one, the handshake would need two. */
static int mode_nofile(int argc, char **argv)
{
	char *const args[] = {"limits", "nofile_full", NULL};

	set_limit(RLIMIT_NOFILE, 8);
	for (int fd = 3; fd < 7; fd++)
		target_need(dup(0) == fd, "dup");
	execv("/proc/self/exe", args);
	return 1;
}

static int mode_nofile_full(int argc, char **argv)
{
	struct stat st;
	int nr = 0;

	target_burn_ms(150);
	for (int fd = 0; fd < 64; fd++)
		nr += fstat(fd, &st) == 0;
	printf("open %d, next %d\n", nr, dup(0));
	errno = 0;
	printf("one more %d %s\n", dup(0), strerror(errno));
	target_burn_ms(100);
	return 0;
}

static int mode_nofile_zero(int argc, char **argv)
{
	set_limit(RLIMIT_NOFILE, 0);
	target_burn_ms(150);
	errno = 0;
	printf("open %d %s\n", open("/dev/null", O_RDONLY), strerror(errno));
	return 0;
}

static int mode_mlock(int argc, char **argv)
{
	FILE *f;

	target_need(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "mlockall");
	target_burn_ms(200);
	f = fopen("locked.txt", "w");
	target_need(f && fprintf(f, "%lu\n", status_kib("VmLck:")) > 0 && fclose(f) == 0, "locked.txt");
	printf("locked\n");
	return 0;
}

static const struct target_mode modes[] = {
    {"as", mode_as},
    {"as_later", mode_as_later},
    {"nofile", mode_nofile},
    {"nofile_full", mode_nofile_full},
    {"nofile_zero", mode_nofile_zero},
    {"mlock", mode_mlock},
    {0},
};

int main(int argc, char **argv)
{
	return target_main(modes, argc, argv);
}
