/* The files this process is writing; see the header. World: plain. */
#include "collector/store_inuse.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/stat.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pa_inuse *first;

int pa_inuse_add(struct pa_inuse *u, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	u->dev = st.st_dev;
	u->ino = st.st_ino;
	pthread_mutex_lock(&lock);
	u->next = first;
	first = u;
	pthread_mutex_unlock(&lock);
	return 0;
}

void pa_inuse_remove(struct pa_inuse *u)
{
	pthread_mutex_lock(&lock);
	for (struct pa_inuse **at = &first; *at; at = &(*at)->next) {
		if (*at != u)
			continue;
		*at = u->next;
		break;
	}
	pthread_mutex_unlock(&lock);
}

bool pa_inuse_here(const char *path)
{
	struct stat st;
	bool found = false;

	if (stat(path, &st))
		return false;
	pthread_mutex_lock(&lock);
	for (struct pa_inuse *u = first; u && !found; u = u->next)
		found = u->dev == st.st_dev && u->ino == st.st_ino;
	pthread_mutex_unlock(&lock);
	return found;
}
