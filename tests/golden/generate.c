/* Writes the recording that every later version must still open: `make golden`.
 * Run it once when the schema gets a new number, and keep the files of the older ones. */
#include "tests/unit/heap_util.h"
#include "tests/unit/lock_util.h"
#include "tests/unit/talk_util.h"

int main(int argc, char **argv)
{
	struct pa_store *s;
	char err[300], path[512];

	if (argc != 2)
		return fprintf(stderr, "usage: generate DIRECTORY\n"), 2;
	snprintf(path, sizeof(path), "%s/schema-%d.pfa", argv[1], PA_STORE_SCHEMA);
	if (pa_store_create(path, &s, err, sizeof(err)))
		return fprintf(stderr, "%s\n", err), 1;
	store_fill(s, 300);
	heap_fill(s);
	talk_fill(s);
	lock_fill(s);
	if (pa_store_put_meta(s, "started", "2026-01-01T00:00:00Z") ||
	    pa_store_put_meta(s, "mode", "cpu,memory,db,http,lock") ||
	    pa_store_put_meta_u64(s, "exchange_slow_ns", 100 * TALK_MS) ||
	    pa_store_put_meta_u64(s, "lock_slow_ns", LOCK_MS) || pa_store_put_meta(s, "ended", "2026-01-01T00:00:01Z"))
		return 1;
	return pa_store_close(s, true) ? 1 : 0;
}
