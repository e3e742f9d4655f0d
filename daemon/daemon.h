/* perfagentd: one loop, one listener, a recording for each tree of processes (or service). Files: daemon.c its life,
 * trees.c its recordings, roll.c their length, data.c what they take on the disk, attach.c dormant agents.
 * World: plain. */
#ifndef PA_DAEMON_H
#define PA_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collector/listener.h"
#include "collector/loop.h"
#include "collector/owner.h"
#include "collector/recorder.h"
#include "daemon/settings.h"
#include "remote/late.h"

#define PA_DAEMON_TREES_MAX 4096

#define PA_DAEMON_ANCESTORS 64

/* One recording. */
struct pa_tree {
	struct pa_daemon *d;
	struct pa_recorder *recorder;
	struct pa_owner owner;
	char *path;
	char *command; /* the recorder refers to it */
	char *name;    /* of the file, as datadir.h takes it */
	char *service; /* "": by descent */
	uint32_t pid;  /* of the process that came first */
	uint32_t modes;
	char *before;       /* the file that this one continues, "": none */
	uint32_t *expected; /* processes of the file before that have not come yet, or have */
	size_t nr_expected;
	bool succeeded;      /* the next file has been begun */
	uint64_t leaving_ns; /* its processes have been asked to go over to the next, 0: no */
	dev_t dev;
	ino_t ino;          /* of the file, 0: not made yet */
	uint64_t opened_ns; /* CLOCK_MONOTONIC */
	bool waits;         /* for its file to be made, and its first session with it */
	bool in_trouble;    /* its file cannot be written: said already */
	struct pa_tree *next;
};

struct pa_daemon {
	struct pa_daemon_settings *settings;
	const struct pa_setting *given; /* by the command line: a reload starts from them anew */
	size_t nr_given;
	struct pa_loop *loop;
	struct pa_listener *listener;
	struct pa_watch signals;
	struct pa_timer create_timer, data_timer, roll_timer, watchdog_timer;
	struct pa_daemon_attach *attach;
	struct pa_late late;
	uint64_t watchdog_ns;
	int data_fd; /* -1: all goes to one file */
	uint32_t uid;
	struct pa_tree *trees;
	uint32_t nr_trees;
	struct pa_tree *answering; /* whose grant is on its way */
	uint32_t answering_pid, answering_uid;
	bool answering_claimed;
	uint64_t refused; /* agents */
	uint64_t dropped; /* recordings */
	bool disk_low;
	uint32_t looks; /* at the disk */
	int status;
};

/* Runs until it is told to end. Returns the exit status. */
int pa_daemon_run(struct pa_daemon_settings *settings, const struct pa_setting *given, size_t nr_given);

/* ---- trees.c: decisions on agents, and recordings */
void pa_daemon_hello(void *arg, const struct pa_hello *hello, struct pa_peer *peer, struct pa_grant *grant);
void pa_daemon_answered(void *arg, bool ok);
/* The one recording of --output. Errors: false, said. */
bool pa_daemon_open_output(struct pa_daemon *d);
/* Whether this process may be recorded, and is wanted: enum pa_config_status. */
uint32_t pa_daemon_judge(const struct pa_daemon *d, uint32_t pid, uint32_t uid);
/* Ends a recording and frees t. */
void pa_daemon_finish(struct pa_tree *t);
void pa_daemon_finish_all(struct pa_daemon *d);

/* ---- data.c */
/* Drops what is too much, now and from then on every few seconds. */
void pa_daemon_watch_data(struct pa_daemon *d);

/* ---- roll.c */
/* Ends recordings that are old, and begins the next. */
void pa_daemon_watch_age(struct pa_daemon *d);

#endif
