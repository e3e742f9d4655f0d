/* inject_try PID LIBRARY [LIMIT_MS]: loads the library into the process as `perfagent attach --inject` will.
 * One line on stdout: "ok" or "declined", then what was measured. Status 0, or 1 when it was declined. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/inject.h"

int main(int argc, char **argv)
{
	struct pa_injection in = {0};
	int error;

	if (argc < 3)
		return 99;
	in.pid = atoi(argv[1]);
	in.library = argv[2];
	in.limit_ns = argc > 3 ? (uint64_t)atoi(argv[3]) * 1000000 : 0;
	error = pa_inject_library(&in);
	printf("%s tries=%u pause_max_us=%" PRIu64 " pause_sum_us=%" PRIu64 " called_us=%" PRIu64
	       " tid=%d error=%s%s%s\n",
	       error ? "declined" : "ok", in.tries, in.pause_max_ns / 1000, in.pause_sum_ns / 1000, in.called_ns / 1000,
	       (int)in.tid, error ? strerrorname_np(-error) : "none", error ? " why=" : "", in.why);
	return error != 0;
}
