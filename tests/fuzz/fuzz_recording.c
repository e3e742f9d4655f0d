/* Arbitrary bytes as a recording: opened and read from end to end, as a report does. What may come out: rows or errors;
 * and the file is never changed.
 *
 * The input is one file, or with a first byte of 'W' a database and its WAL: u8 'W', u32 length of the database. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/store.h"
#include "collector/store_pool.h"
#include "collector/store_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[64], file[80], wal[96];
static volatile uint64_t used; /* what a report would do with the values: look at every byte */

static void use(const char *text)
{
	for (; text && *text; text++)
		used += (uint8_t)*text;
}

static int on_process(void *arg, const struct pa_store_process *p)
{
	if (p->id == 0)
		abort();
	use(p->command);
	use(p->exe);
	use(p->how);
	return 0;
}

static int on_thread(void *arg, const struct pa_store_thread *t)
{
	if (t->id == 0)
		abort();
	use(t->name);
	return 0;
}

static int on_module(void *arg, const struct pa_store_module *m)
{
	use(m->path);
	for (size_t i = 0; i < m->build_id_len; i++)
		used += m->build_id[i];
	return 0;
}

static int on_frame(void *arg, const struct pa_store_frame *f)
{
	use(f->name);
	return 0;
}

static int on_stack(void *arg, uint32_t id, uint32_t parent, uint32_t frame)
{
	used += id + parent + frame;
	return 0;
}

static int on_symbol(void *arg, const struct pa_store_symbol *s)
{
	use(s->function);
	use(s->file);
	return 0;
}

static int on_sample(void *arg, const struct pa_store_sample *s)
{
	used += s->thread + s->time_ns + s->stack + s->weight;
	return 0;
}

static int on_loss(void *arg, uint32_t process, const char *reason, uint64_t count)
{
	use(reason);
	return 0;
}

static int on_note(void *arg, uint32_t process, uint64_t time_ns, const char *text)
{
	use(text);
	return 0;
}

static int on_heap_chunk(void *arg, uint32_t process, uint64_t first_ns, uint64_t last_ns,
			 const struct pa_store_heap_delta *deltas, size_t nr)
{
	if (nr == 0)
		abort();
	for (size_t i = 0; i < nr; i++)
		used += deltas[i].stack + deltas[i].bytes + deltas[i].freed + (deltas[i].var_bytes > 0);
	used += process + first_ns + last_ns;
	return 0;
}

static int on_heap_peak(void *arg, uint32_t process, uint64_t time_ns, uint64_t calls, uint64_t bytes,
			const struct pa_store_heap_held *held, size_t nr)
{
	if (process == 0)
		abort();
	for (size_t i = 0; i < nr; i++)
		used += held[i].stack + held[i].calls + held[i].bytes;
	used += time_ns + calls + bytes;
	return 0;
}

static int on_heap_point(void *arg, const struct pa_store_heap_point *p)
{
	used += p->process + p->time_ns + p->live_bytes + p->libc_unused;
	return 0;
}

static int on_heap(void *arg, const struct pa_store_heap *h)
{
	if (h->process == 0)
		abort();
	for (int i = 0; i < PA_HEAP_LIFETIMES; i++)
		used += h->lifetime_calls[i] + h->lifetime_bytes[i];
	return 0;
}

static int on_heap_thread(void *arg, const struct pa_store_heap_thread *t)
{
	if (t->thread == 0)
		abort();
	used += t->freed;
	return 0;
}

static int on_pool_chunk(void *arg, const struct pa_store_pool_chunk *c)
{
	if (c->pool == 0 || c->short_ns > c->full_ns || c->last_ns < c->first_ns)
		abort();
	return 0;
}

static int on_pool_life(void *arg, const struct pa_store_pool_life *l)
{
	for (int i = 0; i < PA_LAG_BUCKETS; i++)
		used += l->connect[i] + l->life[i];
	return 0;
}

static int on_pool_held(void *arg, const struct pa_store_pool_held *h)
{
	if (h->kind >= PA_POOL_HELD_KINDS)
		abort();
	return 0;
}

static int on_request(void *arg, const struct pa_store_request *q)
{
	if (q->end_ns < q->start_ns)
		abort();
	used += q->exchange + q->thread + q->flags;
	return 0;
}

static int on_within(void *arg, const struct pa_store_exchange_within *w)
{
	if (w->exchange == 0)
		abort();
	used += w->count + w->total_ns;
	return 0;
}

static void read_all(struct pa_recording *r)
{
	use(pa_recording_meta(r, "command"));
	used += pa_recording_meta_u64(r, "period_ns", 1);
	pa_recording_processes(r, on_process, NULL);
	pa_recording_threads(r, on_thread, NULL);
	pa_recording_modules(r, on_module, NULL);
	pa_recording_frames(r, on_frame, NULL);
	pa_recording_stacks(r, on_stack, NULL);
	pa_recording_symbols(r, on_symbol, NULL);
	pa_recording_samples(r, on_sample, NULL);
	pa_recording_heap_chunks(r, on_heap_chunk, NULL);
	pa_recording_heap_peaks(r, on_heap_peak, NULL);
	pa_recording_heap_points(r, on_heap_point, NULL);
	pa_recording_heaps(r, on_heap, NULL);
	pa_recording_heap_threads(r, on_heap_thread, NULL);
	pa_recording_pool_chunks(r, on_pool_chunk, NULL);
	pa_recording_pool_lives(r, on_pool_life, NULL);
	pa_recording_pool_held(r, on_pool_held, NULL);
	pa_recording_requests(r, on_request, NULL);
	pa_recording_exchange_within(r, on_within, NULL);
	pa_recording_losses(r, on_loss, NULL);
	pa_recording_notes(r, on_note, NULL);
	use(pa_recording_error(r));
}

static void remove_directory(void)
{
	unlink(file);
	unlink(wal);
	rmdir(directory);
}

static void make_directory(void)
{
	strcpy(directory, "/dev/shm/pa-fuzz-XXXXXX");
	if (!mkdtemp(directory)) {
		strcpy(directory, "/tmp/pa-fuzz-XXXXXX");
		if (!mkdtemp(directory))
			abort();
	}
	setenv("TMPDIR", directory, 1);
	snprintf(file, sizeof(file), "%s/f.pfa", directory);
	snprintf(wal, sizeof(wal), "%s-wal", file);
	atexit(remove_directory);
}

static void put(const char *path, const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pa_recording *r;
	struct stat before, after;
	uint32_t split = 0;
	char err[300] = "";

	if (!directory[0])
		make_directory();
	unlink(wal);
	if (size >= 5 && data[0] == 'W') {
		memcpy(&split, data + 1, sizeof(split));
		data += 5;
		size -= 5;
		split = split < size ? split : (uint32_t)size;
		put(wal, data + split, size - split);
		size = split;
	}
	put(file, data, size);
	if (stat(file, &before))
		abort();
	if (pa_recording_open(file, &r, err, sizeof(err)) == 0) {
		read_all(r);
		pa_recording_close(r);
	} else if (!err[0] || strchr(err, '\n')) {
		abort();
	}
	if (stat(file, &after) || before.st_mtim.tv_nsec != after.st_mtim.tv_nsec || before.st_size != after.st_size)
		abort();
	return 0;
}
