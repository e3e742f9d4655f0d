#include "daemon/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/escape.h"

#define LINE_MAX_BYTES 2048

static const char *name = "perfagentd";
static bool journal;

void pa_log_init(const char *program)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	name = program;
	journal = stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && !fstat(STDERR_FILENO, &st) &&
		  st.st_dev == dev && st.st_ino == ino;
}

void pa_log(int priority, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	char *line = NULL;
	size_t size = 0;
	va_list args;
	FILE *out;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* in one write: lines of others that share the terminal do not get between */
	out = open_memstream(&line, &size);
	if (!out)
		return;
	if (journal)
		fprintf(out, "<%d>", priority);
	else
		fprintf(out, "%s: ", name);
	pa_escape(out, PA_PLAIN, text);
	fputc('\n', out);
	if (!fclose(out) && write(STDERR_FILENO, line, size) < 0) {
		/* see the header */
	}
	free(line);
}
