/* Recordings in trouble: the writer killed, the disk full, a directory that cannot be written, an output that is no
 * file. Each case that needs a process of its own or other rights forks; a child ends with the line that failed. */
#include "tests/unit/store_util.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "collector/store_files.h"

#define SKIPPED 255
/* For children, where cmocka's own checks cannot be used. */
#define CHILD_CHECK(cond)                                                                                              \
	do {                                                                                                           \
		if (!(cond)) {                                                                                         \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                                     \
			_exit(1);                                                                                      \
		}                                                                                                      \
	} while (0)

/* Runs fn in a child; returns its exit status. */
static int in_child(void (*fn)(struct place *p), struct place *p)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		fn(p);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void assert_child(void (*fn)(struct place *p), struct place *p)
{
	int status = in_child(fn, p);

	if (status == SKIPPED)
		skip();
	assert_int_equal(status, 0);
}

/* Name, size, times and bytes of all files of a directory, in one number. */
static uint64_t look_at(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	uint64_t sum = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		uint64_t h = UINT64_C(0xcbf29ce484222325);
		char path[512];
		struct stat st;
		FILE *f;
		int c;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		assert_int_equal(stat(path, &st), 0);
		h = h * 31 + (uint64_t)st.st_mtim.tv_nsec + (uint64_t)st.st_mtim.tv_sec * 1000000007;
		h = h * 31 + (uint64_t)st.st_ctim.tv_nsec + st.st_ino;
		for (const char *n = e->d_name; *n; n++)
			h = (h ^ (uint8_t)*n) * UINT64_C(0x100000001b3);
		f = fopen(path, "rb");
		assert_non_null(f);
		while ((c = getc(f)) != EOF)
			h = (h ^ (uint64_t)c) * UINT64_C(0x100000001b3);
		fclose(f);
		sum += h;
	}
	closedir(d);
	return sum;
}

/* ---- killed ------------------------------------------------------------------------------------------------------ */

#define COMMITTED 5000

/* A writer in a process of its own that has committed COMMITTED samples and has 100 more in memory. */
static pid_t start_writer(struct place *p)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct pa_store *s;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a case that fails must not leave it waiting */
		CHILD_CHECK(!pa_store_create(p->file, &s, p->err, sizeof(p->err)));
		CHILD_CHECK(!pa_store_put_meta(s, "command", "killed"));
		for (uint32_t i = 0; i < COMMITTED; i++)
			CHILD_CHECK(!pa_store_add_sample(s, 1, i * UINT64_C(1000000), 1 + i % 100, 1));
		CHILD_CHECK(!pa_store_commit(s));
		for (uint32_t i = 0; i < 100; i++)
			CHILD_CHECK(!pa_store_add_sample(s, 1, i * UINT64_C(1000000), 1, 1));
		CHILD_CHECK(write(ready[1], "x", 1) == 1);
		pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end_writer(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void make_killed(struct place *p)
{
	end_writer(start_writer(p));
	assert_int_equal(files_in(p->dir), 3);
}

static void assert_read_leaves_all_as_it_was(struct place *p, int64_t samples)
{
	uint64_t before = look_at(p->dir);

	assert_int_equal(samples_in(p->file), samples);
	assert_true(look_at(p->dir) == before);
}

static void finished_recording_is_not_changed_by_reading(void **state)
{
	struct place *p = *state;
	struct pa_file_head head;
	struct pa_store *s = store_begin(p);

	store_fill(s, 1000);
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(pa_file_head_read(p->file, &head), 0);
	assert_false(head.wal); /* so that other programs can read it where they cannot write */
	assert_read_leaves_all_as_it_was(p, 1000);
}

static void killed_recording_has_all_commits_and_is_not_changed(void **state)
{
	struct place *p = *state;
	struct pa_recording *r;

	make_killed(p);
	assert_read_leaves_all_as_it_was(p, COMMITTED);
	assert_read_leaves_all_as_it_was(p, COMMITTED);
	r = recording_begin(p);
	assert_string_equal(pa_recording_meta(r, "command"), "killed");
	assert_null(pa_recording_meta(r, "ended"));
	pa_recording_close(r);
}

static void killed_recording_without_its_index_opens(void **state)
{
	struct place *p = *state;
	char shm[200];

	make_killed(p);
	snprintf(shm, sizeof(shm), "%s-shm", p->file);
	assert_int_equal(unlink(shm), 0);
	assert_read_leaves_all_as_it_was(p, COMMITTED);
}

/* Somebody copied only the main file away: what a checkpoint had put there is given. */
static void killed_recording_without_its_journal_opens(void **state)
{
	struct place *p = *state;
	char name[200];

	make_killed(p);
	snprintf(name, sizeof(name), "%s-shm", p->file);
	assert_int_equal(unlink(name), 0);
	snprintf(name, sizeof(name), "%s-wal", p->file);
	assert_int_equal(unlink(name), 0);
	assert_read_leaves_all_as_it_was(p, 0);
}

/* A commit that was cut half-way into the WAL does not exist; the ones before it do. */
static void cut_journal_gives_the_commits_before_the_cut(void **state)
{
	struct place *p = *state;
	char wal[200];
	struct stat st;

	make_killed(p);
	snprintf(wal, sizeof(wal), "%s-wal", p->file);
	assert_int_equal(stat(wal, &st), 0);
	for (off_t size = st.st_size - 1; size > 0; size -= 1 + st.st_size / 17) {
		int64_t nr;

		assert_int_equal(truncate(wal, size), 0);
		nr = samples_in(p->file);
		assert_true(nr == 0 || nr == COMMITTED);
	}
}

/* The report of another user: neither directory nor files can be written. */
static void read_as_nobody(struct place *p)
{
	if (getuid() == 0)
		CHILD_CHECK(!setgid(65534) && !setuid(65534));
	CHILD_CHECK(access(p->dir, W_OK) == -1);
	CHILD_CHECK(samples_in(p->file) == COMMITTED);
}

static void killed_recording_in_a_read_only_directory_opens(void **state)
{
	struct place *p = *state;
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char name[200];
	uint64_t before;

	make_killed(p);
	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "%s%s", p->file, suffixes[i]);
		assert_int_equal(chmod(name, 0444), 0);
	}
	assert_int_equal(chmod(p->dir, 0555), 0);
	before = look_at(p->dir);
	assert_child(read_as_nobody, p);
	assert_int_equal(unlink(name) == 0 || errno == EACCES, 1); /* the index: root can remove it */
	before = getuid() == 0 ? look_at(p->dir) : before;
	assert_child(read_as_nobody, p);
	assert_true(look_at(p->dir) == before);
	assert_int_equal(chmod(p->dir, 0755), 0);
}

static void killed_recording_is_overwritten_whole(void **state)
{
	struct place *p = *state;
	struct pa_store *s;

	make_killed(p);
	s = store_begin(p);
	store_fill(s, 10);
	assert_int_equal(samples_in(p->file), 0); /* not the journal of the old one */
	assert_int_equal(pa_store_close(s, true), 0);
	assert_int_equal(samples_in(p->file), 10);
	assert_int_equal(files_in(p->dir), 1);
}

static void recording_of_another_process_is_not_overwritten(void **state)
{
	struct place *p = *state;
	struct pa_store *s;
	pid_t pid = start_writer(p);

	assert_int_equal(pa_store_create(p->file, &s, p->err, sizeof(p->err)), -EBUSY);
	assert_non_null(strstr(p->err, "being written by another process"));
	end_writer(pid);
	assert_int_equal(samples_in(p->file), COMMITTED);
	s = store_begin(p);
	assert_int_equal(pa_store_close(s, true), 0);
}

/* SQLite's read lock on the bytes where a connection in WAL mode keeps it, seen from another process. */
static void lock_must_be_held(struct place *p)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0x40000002, .l_len = 510};
	int fd = open(p->file, O_RDWR);

	CHILD_CHECK(fd >= 0 && !fcntl(fd, F_GETLK, &lock));
	CHILD_CHECK(lock.l_type == F_RDLCK && lock.l_pid == getppid());
}

/* Closing any descriptor of the file would drop it; without it a passing sqlite3 may remove the WAL under the writer.
 */
static void reading_in_the_writers_process_keeps_its_lock(void **state)
{
	struct place *p = *state;
	struct pa_store *s = store_begin(p);

	store_fill(s, 10);
	assert_int_equal(pa_store_commit(s), 0);
	assert_child(lock_must_be_held, p);
	assert_int_equal(samples_in(p->file), 10);
	assert_int_equal(pa_store_create(p->file, &(struct pa_store *){NULL}, p->err, sizeof(p->err)), -EBUSY);
	assert_child(lock_must_be_held, p);
	assert_int_equal(pa_store_close(s, true), 0);
}

/* ---- read while written ------------------------------------------------------------------------------------------ */

#define BATCHES 150
#define BATCH   2500

static void write_batches(struct place *p)
{
	struct pa_store *s;

	CHILD_CHECK(!pa_store_create(p->file, &s, p->err, sizeof(p->err)));
	for (uint32_t b = 0; b < BATCHES; b++) {
		for (uint32_t i = 0; i < BATCH; i++)
			CHILD_CHECK(!pa_store_add_sample(s, 1, i * UINT64_C(1000000), i * 977 % 1000000, 1));
		for (uint32_t i = 1; i < 200; i++)
			CHILD_CHECK(!pa_store_put_frame(s, b * 200 + i, 1, i, NULL));
		CHILD_CHECK(!pa_store_commit(s));
		usleep(1000);
	}
	CHILD_CHECK(!pa_store_close(s, true));
}

/* A reader sees whole batches, never fewer than before, and does not keep the writer from ending in one file. */
static void readers_see_whole_batches_of_a_live_recording(void **state)
{
	struct place *p = *state;
	int64_t seen = 0, nr, reads = 0;
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		write_batches(p);
		_exit(0);
	}
	while (access(p->file, R_OK) && !waitpid(pid, &status, WNOHANG))
		usleep(200);
	while (!waitpid(pid, &status, WNOHANG)) {
		nr = samples_in(p->file);
		if (nr < 0 && seen == 0) /* the very first moments: no schema yet */
			continue;
		assert_int_equal(nr % BATCH, 0);
		assert_true(nr >= seen);
		seen = nr;
		reads++;
	}
	assert_int_equal(status, 0);
	assert_true(reads > 2);
	assert_int_equal(samples_in(p->file), BATCHES * BATCH);
	assert_int_equal(files_in(p->dir), 1);
}

/* ---- disk full --------------------------------------------------------------------------------------------------- */

/* A small file system of our own over p->dir. Skips where that is not allowed. */
static void mount_small(struct place *p, const char *options)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		_exit(SKIPPED);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", p->dir, "tmpfs", 0, options))
		_exit(SKIPPED);
}

static void fill_disk(struct place *p, char *filler, size_t size)
{
	static char block[4096];
	int fd;

	snprintf(filler, size, "%s/filler", p->dir);
	fd = open(filler, O_WRONLY | O_CREAT, 0600);
	CHILD_CHECK(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	CHILD_CHECK(errno == ENOSPC);
	close(fd);
}

static void full_then_room_again(struct place *p)
{
	struct pa_store *s;
	char filler[200];

	mount_small(p, "size=2m");
	CHILD_CHECK(!pa_store_create(p->file, &s, p->err, sizeof(p->err)));
	for (uint32_t i = 0; i < 1000; i++)
		CHILD_CHECK(!pa_store_add_sample(s, 1, i * UINT64_C(1000000), 1, 1));
	CHILD_CHECK(!pa_store_commit(s));
	fill_disk(p, filler, sizeof(filler));
	for (int second = 0; second < 5; second++) {
		for (uint32_t i = 0; i < 10000; i++)
			CHILD_CHECK(!pa_store_add_sample(s, 1, i * UINT64_C(1000000), 1, 1));
		CHILD_CHECK(!pa_store_put_frame(s, 1 + (uint32_t)second, 1, 1, "frame"));
		CHILD_CHECK(pa_store_commit(s) == -ENOSPC);
		CHILD_CHECK(samples_in(p->file) == 1000);
	}
	CHILD_CHECK(!unlink(filler));
	CHILD_CHECK(!pa_store_commit(s));
	CHILD_CHECK(samples_in(p->file) == 51000);
	CHILD_CHECK(!pa_store_close(s, true));
	CHILD_CHECK(samples_in(p->file) == 51000);
	CHILD_CHECK(files_in(p->dir) == 1);
}

static void full_disk_costs_nothing_once_there_is_room_again(void **state)
{
	assert_child(full_then_room_again, *state);
}

/* The same with a thread that writes: its errors are those of the next call, and rows keep their order. */
static void full_while_a_thread_writes(struct place *p)
{
	int refused = 0, before = 0, after = 0;
	struct pa_store *s;
	char filler[200];

	mount_small(p, "size=2m");
	CHILD_CHECK(!pa_store_create(p->file, &s, p->err, sizeof(p->err)));
	CHILD_CHECK(!pa_store_commit(s));
	fill_disk(p, filler, sizeof(filler));
	for (; before < 50 && !refused; before++) {
		for (uint32_t i = 0; i < 10000; i++)
			CHILD_CHECK(!pa_store_add_sample(s, 1, i * UINT64_C(1000000), 1, 1));
		refused = pa_store_commit_begin(s);
		usleep(20000);
	}
	CHILD_CHECK(refused == -ENOSPC && before > 1);
	CHILD_CHECK(samples_in(p->file) == 0);
	CHILD_CHECK(!unlink(filler));
	/* the first may tell of the full disk once more; a thread may be late */
	for (; after < 5000 && (refused || samples_in(p->file) < before * 10000); after++) {
		CHILD_CHECK(!pa_store_add_sample(s, 1, after * UINT64_C(1000000), 1, 1));
		refused = pa_store_commit_begin(s);
		usleep(2000);
	}
	CHILD_CHECK(after < 5000);
	CHILD_CHECK(!pa_store_commit(s));
	CHILD_CHECK(samples_in(p->file) == before * 10000 + after);
	CHILD_CHECK(!pa_store_close(s, true));
	CHILD_CHECK(samples_in(p->file) == before * 10000 + after);
	CHILD_CHECK(files_in(p->dir) == 1);
}

static void full_disk_under_a_writing_thread_costs_nothing(void **state)
{
	assert_child(full_while_a_thread_writes, *state);
}

static void full_until_the_end(struct place *p)
{
	struct pa_store *s;
	char filler[200];

	mount_small(p, "size=2m");
	CHILD_CHECK(!pa_store_create(p->file, &s, p->err, sizeof(p->err)));
	for (uint32_t i = 0; i < 1000; i++)
		CHILD_CHECK(!pa_store_add_sample(s, 1, i * UINT64_C(1000000), 1, 1));
	CHILD_CHECK(!pa_store_commit(s));
	fill_disk(p, filler, sizeof(filler));
	for (uint32_t i = 0; i < 100000; i++)
		CHILD_CHECK(!pa_store_add_sample(s, 1, i * UINT64_C(1000000), 1, 1));
	CHILD_CHECK(pa_store_close(s, true) == -ENOSPC);
	CHILD_CHECK(samples_in(p->file) == 1000);
}

static void full_disk_at_the_end_is_an_error_and_no_damage(void **state)
{
	assert_child(full_until_the_end, *state);
}

static void full_at_the_start(struct place *p)
{
	struct pa_store *s;
	char filler[200];

	mount_small(p, "size=1m");
	fill_disk(p, filler, sizeof(filler));
	CHILD_CHECK(pa_store_create(p->file, &s, p->err, sizeof(p->err)) == -ENOSPC);
	CHILD_CHECK(strstr(p->err, "full"));
	CHILD_CHECK(files_in(p->dir) == 1);
}

static void full_disk_at_the_start_leaves_nothing_behind(void **state)
{
	assert_child(full_at_the_start, *state);
}

static int count_loss(void *arg, uint32_t process, const char *reason, uint64_t count)
{
	(*(uint64_t *)arg)++;
	return 0;
}

#define HEAP_STACKS 400000

static void fill_deltas(struct pa_store_heap_delta *deltas, uint64_t calls)
{
	for (uint32_t i = 0; i < HEAP_STACKS; i++)
		deltas[i] = (struct pa_store_heap_delta){
		    .stack = 1 + i * 5, .calls = calls, .bytes = calls << 32, .frees = calls - 1, .freed = calls << 31};
}

struct heap_total {
	uint64_t rows, calls, last_ns;
};

static int sum_chunk(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
		     const struct pa_store_heap_delta *deltas, size_t nr)
{
	struct heap_total *t = arg;

	t->rows += nr;
	t->last_ns = last_ns;
	for (size_t i = 0; i < nr; i++)
		t->calls += deltas[i].calls;
	return 0;
}

/* Chunks until one is refused: that one has left nothing behind, others rows still go in, and once there is room it is
 * taken whole. */
static void full_while_the_heap_goes_on(struct place *p)
{
	struct pa_store_heap_delta *deltas = calloc(HEAP_STACKS, sizeof(*deltas));
	struct heap_total total = {0, 0, 0};
	struct pa_recording *r;
	struct pa_store *s;
	uint64_t taken = 0, losses = 0;
	char filler[200];

	mount_small(p, "size=200m");
	CHILD_CHECK(deltas);
	CHILD_CHECK(!pa_store_create(p->file, &s, p->err, sizeof(p->err)));
	fill_disk(p, filler, sizeof(filler));
	for (;; taken++) {
		fill_deltas(deltas, 1000);
		int ret = pa_store_add_heap_chunk(s, 1, taken, taken + 1, deltas, HEAP_STACKS);

		CHILD_CHECK(ret == 0 || ret == -ENOSPC);
		CHILD_CHECK(pa_store_commit(s) == -ENOSPC);
		if (ret)
			break;
	}
	CHILD_CHECK(taken > 2 && taken < 10);
	CHILD_CHECK(!pa_store_put_stack(s, 1, 0, 1));
	CHILD_CHECK(!unlink(filler));
	CHILD_CHECK(!pa_store_commit(s));
	fill_deltas(deltas, 2000); /* what was refused, and what came since */
	CHILD_CHECK(!pa_store_add_heap_chunk(s, 1, taken, 77, deltas, HEAP_STACKS));
	CHILD_CHECK(!pa_store_close(s, true));
	CHILD_CHECK(!pa_recording_open(p->file, &r, p->err, sizeof(p->err)));
	CHILD_CHECK(!pa_recording_heap_chunks(r, sum_chunk, &total));
	CHILD_CHECK(!pa_recording_losses(r, count_loss, &losses));
	CHILD_CHECK(total.rows == (taken + 1) * HEAP_STACKS && total.last_ns == 77);
	CHILD_CHECK(total.calls == (taken + 2) * 1000 * HEAP_STACKS);
	CHILD_CHECK(losses == 0);
	pa_recording_close(r);
	free(deltas);
}

static void full_disk_takes_heap_chunks_whole_or_not_at_all(void **state)
{
	assert_child(full_while_the_heap_goes_on, *state);
}

struct gap {
	uint64_t lost;
	int notes;
};

static int gap_loss(void *arg, uint32_t process, const char *reason, uint64_t count)
{
	struct gap *g = arg;

	if (!strcmp(reason, "disk full"))
		g->lost += count;
	return 0;
}

static int gap_note(void *arg, uint32_t process, uint64_t time_ns, const char *text)
{
	((struct gap *)arg)->notes += strstr(text, "disk full") != NULL;
	return 0;
}

/* The buffer has a limit; what did not fit is counted, exactly. */
static void full_for_long(struct place *p)
{
	uint64_t kept = 0, refused = 0, counted = 0;
	struct pa_recording *r;
	struct pa_store *s;
	struct gap gap = {0, 0};
	char filler[200];

	mount_small(p, "size=200m");
	CHILD_CHECK(!pa_store_create(p->file, &s, p->err, sizeof(p->err)));
	fill_disk(p, filler, sizeof(filler));
	while (refused < 10000) {
		int ret = pa_store_add_sample(s, 1, (kept + refused) * 1000000, UINT32_MAX, 2);

		CHILD_CHECK(ret == 0 || ret == -ENOSPC);
		kept += ret == 0;
		refused += ret != 0;
		CHILD_CHECK(kept < 64 << 20);
		if ((kept + refused) % 1000000 == 0)
			CHILD_CHECK(pa_store_commit(s) == -ENOSPC);
	}
	CHILD_CHECK(!unlink(filler));
	CHILD_CHECK(!pa_store_close(s, true));
	CHILD_CHECK(!pa_recording_open(p->file, &r, p->err, sizeof(p->err)));
	CHILD_CHECK(!pa_recording_samples(r, count_sample, &counted));
	CHILD_CHECK(!pa_recording_losses(r, gap_loss, &gap));
	CHILD_CHECK(!pa_recording_notes(r, gap_note, &gap));
	CHILD_CHECK(counted == kept);
	CHILD_CHECK(gap.lost == 2 * refused);
	CHILD_CHECK(gap.notes == 1);
	pa_recording_close(r);
}

static void full_disk_for_long_is_a_counted_gap(void **state)
{
	assert_child(full_for_long, *state);
}

/* ---- outputs that are no ordinary file --------------------------------------------------------------------------- */

/* Nothing of ours may stay in the temporary directory: it is p->dir/tmp for these cases. */
static void own_tmp(struct place *p)
{
	char tmp[200];

	snprintf(tmp, sizeof(tmp), "%s/tmp", p->dir);
	CHILD_CHECK(!mkdir(tmp, 0777));
	CHILD_CHECK(!setenv("TMPDIR", tmp, 1));
}

static size_t left_in_tmp(void)
{
	return files_in(getenv("TMPDIR"));
}

static void write_ten(struct place *p, const char *path)
{
	struct pa_store *s;
	int ret = pa_store_create(path, &s, p->err, sizeof(p->err));

	if (ret)
		fprintf(stderr, "%s\n", p->err);
	CHILD_CHECK(!ret);
	for (uint32_t i = 0; i < 10; i++)
		CHILD_CHECK(!pa_store_add_sample(s, 1, i * UINT64_C(1000000), 1, 1));
	CHILD_CHECK(!pa_store_commit(s));
	CHILD_CHECK(!pa_store_close(s, true));
}

static void dash(struct place *p)
{
	int fd = open(p->file, O_RDWR | O_CREAT, 0600);

	own_tmp(p);
	CHILD_CHECK(fd >= 0 && dup2(fd, 1) == 1);
	write_ten(p, "-");
	CHILD_CHECK(samples_in(p->file) == 10);
	CHILD_CHECK(left_in_tmp() == 0);
	write_ten(p, "/dev/null");
	CHILD_CHECK(left_in_tmp() == 0);
}

static void dash_is_standard_output(void **state)
{
	assert_child(dash, *state);
}

static void fifo(struct place *p)
{
	char name[200];
	pid_t reader;
	int status;

	own_tmp(p);
	snprintf(name, sizeof(name), "%s/fifo", p->dir);
	CHILD_CHECK(!mkfifo(name, 0600));
	reader = fork();
	if (reader == 0) {
		char buffer[4096];
		int in = open(name, O_RDONLY), out = open(p->file, O_WRONLY | O_CREAT, 0600);
		ssize_t n;

		while ((n = read(in, buffer, sizeof(buffer))) > 0)
			CHILD_CHECK(write(out, buffer, (size_t)n) == n);
		_exit(0);
	}
	write_ten(p, name);
	CHILD_CHECK(waitpid(reader, &status, 0) == reader && status == 0);
	CHILD_CHECK(samples_in(p->file) == 10);
	CHILD_CHECK(left_in_tmp() == 0);
}

static void fifo_gets_the_whole_recording(void **state)
{
	assert_child(fifo, *state);
}

/* As on a file system without shared mappings: the index cannot be made. */
static void without_wal(struct place *p)
{
	char shm[200], partial[200];

	own_tmp(p);
	snprintf(shm, sizeof(shm), "%s-shm", p->file);
	snprintf(partial, sizeof(partial), "%s.partial", p->file);
	CHILD_CHECK(!mkdir(shm, 0700));
	write_ten(p, p->file);
	CHILD_CHECK(!rmdir(shm));
	CHILD_CHECK(samples_in(p->file) == 10);
	CHILD_CHECK(access(partial, F_OK) == -1);
	CHILD_CHECK(left_in_tmp() == 0);
	CHILD_CHECK(files_in(p->dir) == 2); /* the recording and tmp */
}

static void file_system_without_wal_gets_a_copy_at_the_end(void **state)
{
	assert_child(without_wal, *state);
}

static void only_the_file_is_writable(struct place *p)
{
	int fd = open(p->file, O_WRONLY | O_CREAT, 0600);

	own_tmp(p);
	CHILD_CHECK(fd >= 0 && !fchmod(fd, 0666) && !chmod(getenv("TMPDIR"), 0777) && !chmod(p->dir, 0555));
	if (getuid() == 0)
		CHILD_CHECK(!setgid(65534) && !setuid(65534));
	write_ten(p, p->file);
	CHILD_CHECK(samples_in(p->file) == 10);
	CHILD_CHECK(left_in_tmp() == 0);
}

static void writable_file_in_a_read_only_directory_is_filled(void **state)
{
	struct place *p = *state;

	assert_child(only_the_file_is_writable, p);
	assert_int_equal(chmod(p->dir, 0755), 0);
}

static void closed_pipe(struct place *p)
{
	struct pa_store *s;
	int fds[2];

	own_tmp(p);
	signal(SIGPIPE, SIG_IGN);
	CHILD_CHECK(!pipe(fds) && dup2(fds[1], 1) == 1);
	close(fds[0]);
	close(fds[1]);
	CHILD_CHECK(!pa_store_create("-", &s, p->err, sizeof(p->err)));
	CHILD_CHECK(pa_store_close(s, true) == -EPIPE);
	CHILD_CHECK(left_in_tmp() == 1); /* the recording is kept */
}

static void output_that_fails_at_the_end_is_an_error(void **state)
{
	assert_child(closed_pipe, *state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, place_setup, place_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(finished_recording_is_not_changed_by_reading),
	    CASE(killed_recording_has_all_commits_and_is_not_changed),
	    CASE(killed_recording_without_its_index_opens),
	    CASE(killed_recording_without_its_journal_opens),
	    CASE(cut_journal_gives_the_commits_before_the_cut),
	    CASE(killed_recording_in_a_read_only_directory_opens),
	    CASE(killed_recording_is_overwritten_whole),
	    CASE(recording_of_another_process_is_not_overwritten),
	    CASE(reading_in_the_writers_process_keeps_its_lock),
	    CASE(readers_see_whole_batches_of_a_live_recording),
	    CASE(full_disk_costs_nothing_once_there_is_room_again),
	    CASE(full_disk_under_a_writing_thread_costs_nothing),
	    CASE(full_disk_takes_heap_chunks_whole_or_not_at_all),
	    CASE(full_disk_at_the_end_is_an_error_and_no_damage),
	    CASE(full_disk_at_the_start_leaves_nothing_behind),
	    CASE(full_disk_for_long_is_a_counted_gap),
	    CASE(dash_is_standard_output),
	    CASE(fifo_gets_the_whole_recording),
	    CASE(file_system_without_wal_gets_a_copy_at_the_end),
	    CASE(writable_file_in_a_read_only_directory_is_filled),
	    CASE(output_that_fails_at_the_end_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
