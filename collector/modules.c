#include "collector/modules.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector/proc.h"
#include "collector/symbolize.h"

#define BUCKETS        4096
#define ROOTS_MAX      16
#define READ_AHEAD_MAX (64u << 20)

struct root {
	int fd;
	uint64_t dev, inode;
};

struct pa_modules {
	struct pa_modfile **files; /* [id - 1] */
	uint32_t nr;
	uint32_t room;
	uint32_t open_fds;
	struct pa_modfile *buckets[BUCKETS];
	struct root roots[ROOTS_MAX];
	uint32_t nr_roots;
};

/* What is known of a file before it is in the list. */
struct sighting {
	uint32_t pid; /* 0: its process cannot be looked at */
	const char *path;
	uint64_t map_start, map_end; /* of one mapping of it; 0: unknown */
	uint64_t inode;              /* by /proc/PID/maps; 0: unknown */
	bool deleted;
	const uint8_t *build_id; /* by the loader */
	uint32_t build_id_len;
};

struct pa_modules *pa_modules_new(void)
{
	return calloc(1, sizeof(struct pa_modules));
}

void pa_modules_free(struct pa_modules *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->nr; i++) {
		if (m->files[i]->fd >= 0)
			close(m->files[i]->fd);
		free(m->files[i]->path);
		free(m->files[i]);
	}
	for (uint32_t i = 0; i < m->nr_roots; i++)
		close(m->roots[i].fd);
	free(m->files);
	free(m);
}

struct pa_modfile *pa_modules_get(const struct pa_modules *m, uint32_t id)
{
	return id >= 1 && id <= m->nr ? m->files[id - 1] : NULL;
}

uint32_t pa_modules_nr(const struct pa_modules *m)
{
	return m->nr;
}

uint32_t pa_modules_segments(int fd, struct pa_segment out[PA_SEGMENTS_MAX])
{
	Elf64_Phdr headers[64];
	Elf64_Ehdr elf;
	uint32_t nr = 0;
	size_t want;

	if (pread(fd, &elf, sizeof(elf), 0) != (ssize_t)sizeof(elf) || memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 ||
	    elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_phentsize != sizeof(Elf64_Phdr) || elf.e_phnum > 64 ||
	    elf.e_phoff > INT64_MAX)
		return 0;
	want = elf.e_phnum * sizeof(Elf64_Phdr);
	if (pread(fd, headers, want, (off_t)elf.e_phoff) != (ssize_t)want)
		return 0;
	for (uint32_t i = 0; i < elf.e_phnum && nr < PA_SEGMENTS_MAX; i++) {
		const Elf64_Phdr *h = &headers[i];

		if (h->p_type != PT_LOAD || h->p_memsz == 0 || h->p_vaddr + h->p_memsz < h->p_vaddr ||
		    h->p_offset + h->p_filesz < h->p_offset)
			continue;
		out[nr++] = (struct pa_segment){h->p_vaddr, h->p_offset, h->p_filesz, h->p_memsz};
	}
	return nr;
}

static uint32_t bucket_of(const char *path)
{
	uint32_t h = 2166136261u;

	for (; *path; path++)
		h = (h ^ (uint8_t)*path) * 16777619u;
	return h % BUCKETS;
}

/* Opens what a path of a target names, never anything but a regular file: opening a device has effects. */
static int open_regular(const char *path, struct stat *st)
{
	char again[64];
	int at = open(path, O_PATH | O_CLOEXEC);
	int fd = -1;

	if (at < 0)
		return -1;
	if (!fstat(at, st) && S_ISREG(st->st_mode)) {
		snprintf(again, sizeof(again), "/proc/self/fd/%d", at);
		fd = open(again, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	close(at);
	return fd;
}

static bool root_path(const struct sighting *s, char *out, size_t size)
{
	int n;

	if (s->path[0] != '/')
		return false;
	n = s->pid ? snprintf(out, size, "/proc/%u/root%s", s->pid, s->path) : snprintf(out, size, "%s", s->path);
	return n > 0 && (size_t)n < size;
}

/* The file as it was mapped, or -1. A path that now names another file is refused. */
static int open_sighting(const struct sighting *s, struct stat *st)
{
	char path[PA_PATH_MAX + 4096];
	int fd = -1;

	if (!s->deleted && root_path(s, path, sizeof(path))) {
		fd = open_regular(path, st);
		if (fd >= 0 && s->inode && st->st_ino != s->inode) {
			close(fd);
			fd = -1;
		}
	}
	if (fd < 0 && s->pid && s->map_start) {
		snprintf(path, sizeof(path), "/proc/%u/map_files/%lx-%lx", s->pid, s->map_start, s->map_end);
		fd = open_regular(path, st);
	}
	return fd;
}

static uint64_t mtime_of(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;
}

static bool same_build_id(const struct pa_modfile *f, const uint8_t *id, uint32_t len)
{
	return f->build_id_len == len && memcmp(f->build_id, id, len) == 0;
}

/* A file of the list that is the one seen, by build-id where the loader told it, else by what stat says. */
static struct pa_modfile *find_known(struct pa_modules *m, const struct sighting *s)
{
	char path[PA_PATH_MAX + 4096];
	struct stat st;
	bool have_stat = !s->deleted && root_path(s, path, sizeof(path)) && !stat(path, &st);

	for (struct pa_modfile *f = m->buckets[bucket_of(s->path)]; f; f = f->chain) {
		if (strcmp(f->path, s->path) != 0)
			continue;
		if (s->build_id_len && f->build_id_len) {
			if (same_build_id(f, s->build_id, s->build_id_len))
				return f;
			continue;
		}
		if (have_stat && f->inode == st.st_ino && f->dev == st.st_dev && f->mtime_ns == mtime_of(&st))
			return f;
		if (!have_stat && f->inode == s->inode)
			return f;
	}
	return NULL;
}

/* An O_PATH descriptor of the process's root when that is another one than ours: separate debug files are looked for
 * there after the process is gone. */
static int root_of(struct pa_modules *m, uint32_t pid)
{
	struct stat ours, theirs;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/root/.", pid);
	if (!pid || stat("/", &ours) || stat(path, &theirs) ||
	    (ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino))
		return -1;
	for (uint32_t i = 0; i < m->nr_roots; i++)
		if (m->roots[i].dev == theirs.st_dev && m->roots[i].inode == theirs.st_ino)
			return m->roots[i].fd;
	if (m->nr_roots == ROOTS_MAX)
		return -1;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		m->roots[m->nr_roots++] = (struct root){fd, theirs.st_dev, theirs.st_ino};
	return fd;
}

static struct pa_modfile *insert(struct pa_modules *m, const char *path)
{
	struct pa_modfile *f;

	if (m->nr == m->room) {
		uint32_t room = m->room ? m->room * 2 : 64;
		struct pa_modfile **files = realloc(m->files, room * sizeof(*files));

		if (!files)
			return NULL;
		m->files = files;
		m->room = room;
	}
	f = calloc(1, sizeof(*f));
	if (!f || !(f->path = strdup(path))) {
		free(f);
		return NULL;
	}
	f->fd = f->root_fd = -1;
	f->chain = m->buckets[bucket_of(path)];
	m->buckets[bucket_of(path)] = f;
	m->files[m->nr++] = f;
	f->id = m->nr;
	return f;
}

/* The walker reads unwind tables inside a signal handler of the target: not from disk, if we can help it (M4). */
static void read_ahead(const struct pa_modfile *f, int fd)
{
	for (uint32_t i = 0; i < f->nr_segments; i++) {
		const struct pa_segment *seg = &f->segments[i];
		uint64_t bytes = seg->file_bytes < READ_AHEAD_MAX ? seg->file_bytes : READ_AHEAD_MAX;

		posix_fadvise(fd, (off_t)seg->offset, (off_t)bytes, POSIX_FADV_WILLNEED);
	}
}

static void take_file(struct pa_modules *m, struct pa_modfile *f, const struct sighting *s, int fd,
		      const struct stat *st)
{
	uint8_t id[PA_BUILD_ID_MAX];
	int len = pa_elf_build_id(fd, id);

	/* the loader has another build-id than the file at that path: it was replaced, and is of no use */
	if (s->build_id_len && (len != (int)s->build_id_len || memcmp(id, s->build_id, s->build_id_len) != 0)) {
		close(fd);
		return;
	}
	if (len > 0) {
		memcpy(f->build_id, id, (size_t)len);
		f->build_id_len = (uint32_t)len;
	}
	f->dev = st->st_dev;
	f->inode = st->st_ino;
	f->mtime_ns = mtime_of(st);
	f->nr_segments = pa_modules_segments(fd, f->segments);
	f->root_fd = root_of(m, s->pid);
	read_ahead(f, fd);
	if (m->open_fds < PA_MODULES_FDS_MAX) {
		f->fd = fd;
		m->open_fds++;
	} else {
		close(fd);
	}
}

/* The list entry for a file, made at first sight. NULL: no room or no memory. */
static struct pa_modfile *know(struct pa_modules *m, const struct sighting *s)
{
	struct pa_modfile *f = find_known(m, s);
	struct stat st;
	int fd;

	if (f)
		return f;
	if (m->nr >= PA_MODULES_MAX)
		return NULL;
	f = insert(m, s->path);
	if (!f)
		return NULL;
	f->inode = s->inode;
	if (s->build_id_len) {
		memcpy(f->build_id, s->build_id, s->build_id_len);
		f->build_id_len = s->build_id_len;
	}
	fd = open_sighting(s, &st);
	if (fd >= 0)
		take_file(m, f, s, fd, &st);
	return f;
}

/* Where a file's image lies when the segment at file offset `offset` is mapped at `start`. */
static bool place(const struct pa_modfile *f, uint64_t start, uint64_t offset, struct pa_map_version *v)
{
	uint64_t lo = UINT64_MAX, hi = 0;
	bool found = false;

	for (uint32_t i = 0; i < f->nr_segments; i++) {
		const struct pa_segment *seg = &f->segments[i];
		uint64_t page_vaddr = seg->vaddr & ~UINT64_C(4095), page_offset = seg->offset & ~UINT64_C(4095);

		if (seg->vaddr < lo)
			lo = page_vaddr;
		if (seg->vaddr + seg->mem_bytes > hi)
			hi = seg->vaddr + seg->mem_bytes;
		if (!found && offset >= page_offset && offset < seg->offset + seg->file_bytes) {
			v->bias = start - (page_vaddr + (offset - page_offset));
			found = true;
		}
	}
	if (!found)
		return false;
	v->start = v->bias + lo;
	v->end = v->bias + ((hi + 4095) & ~UINT64_C(4095));
	return v->start < v->end && start >= v->start && start < v->end;
}

struct scan {
	struct pa_modules *m;
	struct pa_maps *maps;
	uint32_t pid;
	uint64_t time_ns;
};

static int scan_map(void *arg, const struct pa_proc_map *map)
{
	struct scan *scan = arg;
	struct pa_map_version v = {.from_ns = scan->time_ns, .start = map->start, .end = map->end};
	struct sighting s = {.pid = scan->pid,
			     .path = map->path,
			     .map_start = map->start,
			     .map_end = map->end,
			     .inode = map->inode,
			     .deleted = map->deleted};
	struct pa_modfile *f;

	if (!map->exec || (map->path[0] != '/' && strcmp(map->path, "[vdso]") != 0))
		return 0;
	f = know(scan->m, &s);
	if (!f)
		return 0;
	/* mapped, but not as a program: an offset into the file is the best address there is. The vDSO is linked at 0.
	 */
	if (!place(f, map->start, map->offset, &v))
		v.bias = map->start - map->offset;
	v.module = f->id;
	return pa_maps_add(scan->maps, &v) == -ENOMEM ? -ENOMEM : 0;
}

int pa_modules_scan(struct pa_modules *m, struct pa_maps *maps, uint32_t pid, uint64_t time_ns)
{
	struct scan scan = {m, maps, pid, time_ns};

	return pa_proc_maps(pid, scan_map, &scan);
}

struct find_map {
	uint64_t start, end;
	char path[PA_PATH_MAX];
	uint64_t map_start, map_end, inode;
	bool deleted;
};

/* The mapping of a file inside [start, end), for its true path and inode. */
static int find_map(void *arg, const struct pa_proc_map *map)
{
	struct find_map *f = arg;

	if (map->start < f->start || map->start >= f->end || !map->path[0] || strlen(map->path) >= sizeof(f->path))
		return 0;
	memcpy(f->path, map->path, strlen(map->path) + 1);
	f->map_start = map->start;
	f->map_end = map->end;
	f->inode = map->inode;
	f->deleted = map->deleted;
	return 1;
}

int pa_modules_learn(struct pa_modules *m, struct pa_maps *maps, uint32_t pid, const struct pa_module *record)
{
	struct pa_map_version v = {
	    .start = record->start, .end = record->end, .bias = record->bias, .from_ns = record->head.time_ns};
	const struct pa_map_version *now = pa_maps_find(maps, record->start, record->head.time_ns);
	struct find_map at = {.start = record->start, .end = record->end};
	struct sighting s = {.path = at.path, .build_id = record->build_id, .build_id_len = record->build_id_len};
	struct pa_modfile *f = now ? pa_modules_get(m, now->module) : NULL;

	/* the usual case: found by the scan at the start already */
	if (f && !now->until_ns && now->bias == record->bias &&
	    (!record->build_id_len || same_build_id(f, record->build_id, record->build_id_len)))
		return 0;
	if (pid && pa_proc_maps(pid, find_map, &at) == 1) {
		s.pid = pid;
		s.map_start = at.map_start;
		s.map_end = at.map_end;
		s.inode = at.inode;
		s.deleted = at.deleted;
	} else {
		memcpy(at.path, record->path, record->path_len < PA_PATH_MAX ? record->path_len : PA_PATH_MAX - 1);
		if (!at.path[0])
			memcpy(at.path, "[unknown]", 10);
	}
	f = know(m, &s);
	if (!f)
		return -ENOMEM;
	v.module = f->id;
	return pa_maps_add(maps, &v);
}
