#include "tools/reading.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "report/heap_table.h"
#include "report/requests.h"
#include "tools/quantity.h"

#define TERMINAL_WIDTH 100 /* when the terminal does not say */

static bool take_format(struct pa_reading *a)
{
	bool flame = !strcmp(a->command, "flame");
	const struct pa_output *format = pa_output_find(a->command, optarg);
	if (!format)
		pa_fail(a->command, "unknown format '%s': %s", optarg, flame ? "svg or folded" : "text or json");
	else
		a->format = format;
	return format != NULL;
}

static bool take_rows(struct pa_reading *a)
{
	if (!pa_parse_size("-n", optarg, &a->options.limit))
		return false;
	if (!a->options.limit)
		a->options.limit = SIZE_MAX;
	return true;
}

bool pa_reading_option(struct pa_reading *a, int option, bool *fine)
{
	*fine = true;
	switch (option) {
	case 'i':
		a->input = optarg;
		return true;
	case 'o':
		a->output = optarg;
		return true;
	case 'n':
		*fine = take_rows(a);
		return true;
	case 'f':
		*fine = take_format(a);
		return true;
	case PA_OPTION_FROM:
		*fine = pa_parse_time("--from", optarg, &a->window.from_ns);
		return true;
	case PA_OPTION_TO:
		*fine = pa_parse_time("--to", optarg, &a->window.to_ns);
		return true;
	default:
		return false;
	}
}

bool pa_reading_check(const struct pa_reading *a)
{
	if (a->window.from_ns < a->window.to_ns)
		return true;
	pa_fail(a->command, "--from must be before --to");
	return false;
}

struct pa_report *pa_reading_load(struct pa_reading *a)
{
	struct pa_report *r = NULL;
	char err[512] = "";

	if (!a->input && !(a->input = pa_newest_recording()))
		return NULL;
	if (pa_report_load_window(a->input, &a->window, &r, err, sizeof(err))) {
		pa_fail(a->input, "%s", err);
		return NULL;
	}
	if (!a->growing && a->window.from_ns && a->window.from_ns >= r->duration_ns) {
		pa_fail(a->input, "--from is behind the end: the recording is %.3f s long",
			(double)r->duration_ns / 1e9);
		pa_report_free(r);
		return NULL;
	}
	return r;
}

bool pa_reading_wants_heap(const struct pa_reading *a, const struct pa_report *r)
{
	if (r->heap.recorded)
		return true;
	if (strstr(pa_text(r, r->mode), "memory"))
		pa_fail(a->input, "no allocations were recorded; `perfagent report` says why in its notes");
	else
		pa_fail(a->input, "no allocations in this recording; record with --mode cpu,memory");
	return false;
}

bool pa_reading_wants_temporary(const struct pa_reading *a, const struct pa_report *r)
{
	if (pa_heap_knows_temporary(r))
		return true;
	pa_fail(a->input, "temporary allocations are not known of samples; record with --heap=exact");
	return false;
}

#define ENDPOINTS_SAID 10

bool pa_reading_wants_requests(const struct pa_reading *a, const struct pa_report *r)
{
	const struct pa_report_requests *q = r->requests;
	char known[1024] = "", name[256];
	size_t used = 0, more = 0;

	if (q->nr_moments && (!a->window.endpoint || q->wanted))
		return true;
	if (!q->nr_moments) {
		pa_fail(a->input, "no requests to a server in this recording; record with --mode cpu,http");
		return false;
	}
	for (uint32_t i = PA_LABEL_FIRST; i < q->nr_labels; i++) {
		if (i - PA_LABEL_FIRST >= ENDPOINTS_SAID || used + sizeof(name) + sizeof(", ''") >= sizeof(known) ||
		    !pa_requests_name(r, i, name, sizeof(name)))
			more++;
		else
			used += (size_t)sprintf(known + used, "%s'%s'", used ? ", " : "", name);
	}
	if (more)
		pa_fail(a->input, "no endpoint '%s': there are %s and %zu more", a->window.endpoint, known, more);
	else
		pa_fail(a->input, "no endpoint '%s': there are %s", a->window.endpoint, known);
	return false;
}

void pa_reading_fit_terminal(struct pa_reading *a)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize size;
	if ((a->output && strcmp(a->output, "-")) || !isatty(STDOUT_FILENO))
		return;
	a->options.width = !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : TERMINAL_WIDTH;
	a->options.color = !(no_color && *no_color) && term && strcmp(term, "dumb");
}
