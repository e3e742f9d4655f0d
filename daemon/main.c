/* perfagentd's command line: every option but --help and --version is a setting; see settings.h.
 * World: plain. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/daemon.h"
#include "daemon/log.h"

#define EXIT_TROUBLE 2
#define GIVEN_MAX    256
#define MMAP_BYTES   (64 << 10)
#define CACHE_BYTES  (64 << 20)

static const char usage_text[] =
    "usage: perfagentd [OPTION]...\n"
    "Records programs that run with libperfagent.so, in the foreground: those of the same user, for root of any.\n\n"
    "      --socket PATH  where agents connect ($XDG_RUNTIME_DIR/perfagent/collector.sock,\n"
    "                     for root /run/perfagent/collector.sock)\n"
    "      --data DIR     where recordings go ($XDG_STATE_HOME/perfagent, for root /var/lib/perfagent)\n"
    "      --keep LIST    a size, an age or both, as in 1GiB,7d: the oldest recordings are dropped\n"
    "      --per WHAT     a recording for each tree of processes, or for each service (default tree)\n"
    "      --roll TIME    a recording that is so old ends, and a new one begins (default 1h; 0: never)\n"
    "  -o, --output FILE  one recording of everything, until the daemon is ended\n"
    "      --rule RULE    uid=USER,command=PATTERN,service=PATTERN: record what matches all; may be repeated\n"
    "      --attach       look for dormant agents, too\n"
    "  -F, --rate HZ      samples per second of CPU time and thread, 1 to 10000 (default 99)\n"
    "      --mode LIST    what is recorded: cpu, memory (default cpu)\n"
    "      --heap HOW     sampled[:SIZE] or exact, then ,mmap: as of perfagent record\n"
    "      --config FILE  a file of these settings, read again on SIGHUP\n"
    "      --help, --version\n";

static const struct option long_options[] = {
    {"socket", required_argument, NULL, 0},
    {"data", required_argument, NULL, 0},
    {"keep", required_argument, NULL, 0},
    {"per", required_argument, NULL, 0},
    {"roll", required_argument, NULL, 0},
    {"output", required_argument, NULL, 'o'},
    {"rule", required_argument, NULL, 0},
    {"attach", no_argument, NULL, 0},
    {"rate", required_argument, NULL, 'F'},
    {"mode", required_argument, NULL, 0},
    {"heap", required_argument, NULL, 0},
    {"config", required_argument, NULL, 0},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static int complain(const char *what, const char *why)
{
	pa_log(PA_LOG_ERROR, "%s: %s", what, why);
	return EXIT_TROUBLE;
}

struct command_line {
	struct pa_setting given[GIVEN_MAX];
	size_t nr;
};

/* -1: go on; else the exit status. */
static int take(struct command_line *line, int option, int index, char **argv)
{
	const char *name = option == 'o' ? "output" : option == 'F' ? "rate" : NULL;

	if (option == 'h') {
		fputs(usage_text, stdout);
		return 0;
	}
	if (option == 'v') {
		puts("perfagentd " PA_VERSION);
		return 0;
	}
	if (option == ':' || option == '?')
		return complain(argv[optind - 1], option == ':' ? "needs a value; see perfagentd --help"
								: "unknown option; see perfagentd --help");
	if (line->nr == GIVEN_MAX)
		return complain(argv[optind - 1], "too many options");
	line->given[line->nr++] = (struct pa_setting){name ? name : long_options[index].name, optarg ? optarg : ""};
	return -1;
}

int main(int argc, char **argv)
{
	static struct command_line line;
	struct pa_daemon_settings *settings;
	int option, index = 0, status = -1;
	char err[512] = "out of memory";

	pa_log_init("perfagentd");
	/* hundreds of recordings have tables of which they touch a page or two: what is that large is mapped, not
	 * taken from a heap where it would have to be cleared. Threads live for one batch: two heaps will do */
	mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
	mallopt(M_ARENA_MAX, 2);
	/* of a connection to SQLite: no memory ahead of what is needed, and together no more than that in caches */
	sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	sqlite3_soft_heap_limit64(CACHE_BYTES);
	opterr = 0;
	while (status == -1 && (option = getopt_long(argc, argv, ":o:F:", long_options, &index)) != -1)
		status = take(&line, option, index, argv);
	if (status == -1 && optind < argc)
		status = complain(argv[optind], "perfagentd takes options only");
	if (status != -1)
		return status;
	settings = malloc(sizeof(*settings));
	if (!settings || pa_daemon_settings_load(settings, line.given, line.nr, err, sizeof(err))) {
		pa_log(PA_LOG_ERROR, "%s", err);
		free(settings);
		return EXIT_TROUBLE;
	}
	return pa_daemon_run(settings, line.given, line.nr);
}
