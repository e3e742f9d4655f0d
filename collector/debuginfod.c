/* debuginfod, loaded only when somebody set DEBUGINFOD_URLS: it brings a HTTP client nobody else needs.
 * Its interface is bound by name (no header of it is needed to build). World: plain.
 * Source: debuginfod_find_debuginfo(3). */
#include "collector/symfile.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STALL_S      10
#define TOTAL_S      60
#define FAILURES_MAX 3

struct client;

static struct {
	struct client *(*begin)(void);
	void (*end)(struct client *);
	int (*find)(struct client *, const unsigned char *, int, char **);
	void (*set_progress)(struct client *, int (*)(struct client *, long, long));
} api;

static struct {
	struct timespec started, moved;
	long bytes;
} transfer;

static long seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - then->tv_sec;
}

/* Anything but 0 gives the transfer up: the library's own limit is 90 s for each file. */
static int check_progress(struct client *c, long done, long total)
{
	if (done != transfer.bytes) {
		transfer.bytes = done;
		clock_gettime(CLOCK_MONOTONIC, &transfer.moved);
	}
	return seconds_since(&transfer.moved) > STALL_S || seconds_since(&transfer.started) > TOTAL_S;
}

static bool load_api(void)
{
	static bool tried;
	void *lib;

	if (tried)
		return api.find != NULL;
	tried = true;
	lib = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return false;
	api.begin = (struct client * (*)(void)) dlsym(lib, "debuginfod_begin");
	api.end = (void (*)(struct client *))dlsym(lib, "debuginfod_end");
	api.set_progress =
	    (void (*)(struct client *, int (*)(struct client *, long, long)))dlsym(lib, "debuginfod_set_progressfn");
	if (api.begin && api.end && api.set_progress)
		api.find = (int (*)(struct client *, const unsigned char *, int, char **))dlsym(
		    lib, "debuginfod_find_debuginfo");
	return api.find != NULL;
}

int pa_debuginfod_fetch(const uint8_t *build_id, size_t len)
{
	static int failures;
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct client *client;
	int fd;

	if (!urls || !urls[0] || failures >= FAILURES_MAX || !load_api())
		return -ENOTSUP;
	client = api.begin();
	if (!client)
		return -ENOMEM;
	clock_gettime(CLOCK_MONOTONIC, &transfer.started);
	transfer.moved = transfer.started;
	transfer.bytes = -1;
	api.set_progress(client, check_progress);
	fd = api.find(client, build_id, (int)len, NULL);
	api.end(client);
	if (fd < 0 && fd != -ENOENT) /* a server that answers "no" is no trouble */
		failures++;
	return fd;
}
