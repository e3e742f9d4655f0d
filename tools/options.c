#include "tools/options.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "report/escape.h"

int pa_fail(const char *what, const char *why, ...)
{
	char *text = NULL;
	va_list arguments;
	va_start(arguments, why);
	int len = vasprintf(&text, why, arguments);
	va_end(arguments);
	fputs("perfagent: ", stderr);
	pa_escape(stderr, PA_PLAIN, what);
	fputs(": ", stderr);
	pa_escape(stderr, PA_PLAIN, len < 0 ? strerror(ENOMEM) : text);
	fputc('\n', stderr);
	if (len >= 0)
		free(text);
	return PA_EXIT_ERROR;
}

/* --help and --version are answers: an unwritable stdout is an error. */
static int say(const char *text)
{
	struct pa_outfile f;
	if (!pa_outfile_open(&f, NULL))
		return PA_EXIT_ERROR;
	fputs(text, f.stream);
	return pa_outfile_close(&f, 0);
}

int pa_option_next(const struct pa_command_line *c, int argc, char **argv, int *status)
{
	opterr = 0;
	int option = getopt_long(argc, argv, c->shorts, c->longs, NULL);

	switch (option) {
	case 'h':
		*status = say(c->help);
		return 0;
	case 'V':
		*status = say("perfagent " PA_VERSION "\n");
		return 0;
	case ':':
		*status = pa_fail(c->command, "option '%s' needs a value (see perfagent %s --help)", argv[optind - 1],
				  c->command);
		return 0;
	case '?':
		if (optopt > 0 && optopt < 128 && isprint(optopt) && strncmp(argv[optind - 1], "--", 2))
			*status =
			    pa_fail(c->command, "unknown option '-%c' (see perfagent %s --help)", optopt, c->command);
		else
			*status = pa_fail(c->command, "%s option '%s' (see perfagent %s --help)",
					  optopt ? "no value belongs to" : "unknown or ambiguous", argv[optind - 1],
					  c->command);
		return 0;
	default:
		return option;
	}
}

bool pa_no_operands(const struct pa_command_line *c, int argc, char **argv)
{
	if (optind == argc)
		return true;
	pa_fail(c->command, "unexpected argument '%s' (see perfagent %s --help)", argv[optind], c->command);
	return false;
}

bool pa_parse_size(const char *option, const char *text, size_t *value)
{
	char *end;
	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || number > SIZE_MAX) {
		pa_fail(option, "'%s' is no whole number", text);
		return false;
	}
	*value = (size_t)number;
	return true;
}

static bool is_recording(const char *name, struct stat *st)
{
	size_t len = strlen(name);
	return len > 4 && !strcmp(name + len - 4, ".pfa") && !stat(name, st) && S_ISREG(st->st_mode);
}

static bool newer(const struct stat *a, const struct stat *b)
{
	if (a->st_mtim.tv_sec != b->st_mtim.tv_sec)
		return a->st_mtim.tv_sec > b->st_mtim.tv_sec;
	return a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

char *pa_newest_recording(void)
{
	DIR *here = opendir(".");
	char *best = NULL;
	struct stat best_stat = {0}, st;

	if (!here) {
		pa_fail(".", "%s", strerror(errno));
		return NULL;
	}
	for (struct dirent *e; (e = readdir(here));) {
		if (!is_recording(e->d_name, &st))
			continue;
		if (best && !newer(&st, &best_stat) && (newer(&best_stat, &st) || strcmp(e->d_name, best) < 0))
			continue;
		free(best);
		best = strdup(e->d_name);
		best_stat = st;
		if (!best)
			break;
	}
	closedir(here);
	if (!best)
		pa_fail(
		    "no recording",
		    "there is no *.pfa file in this directory; make one with `perfagent record` or name it with -i");
	return best;
}
