/* Writes the recording that every later version must still open: `make golden` puts it to tests/golden/schema-N.pfa.
 * Run it once when the schema gets a new number, and keep the files of the older ones. */
#include "tests/unit/store_util.h"

int main(int argc, char **argv)
{
	struct pa_store *s;
	char err[300];

	if (argc != 2)
		return fprintf(stderr, "usage: generate FILE\n"), 2;
	if (pa_store_create(argv[1], &s, err, sizeof(err)))
		return fprintf(stderr, "%s\n", err), 1;
	store_fill(s, 300);
	if (pa_store_put_meta(s, "started", "2026-01-01T00:00:00Z") ||
	    pa_store_put_meta(s, "ended", "2026-01-01T00:00:01Z"))
		return 1;
	return pa_store_close(s, true) ? 1 : 0;
}
