/* Findings, for programs and for a person. */
#include "report/escape.h"
#include "report/findings.h"
#include "report/text.h"

#define WHAT_COLUMNS 100 /* of a statement */

static const struct {
	const char *name, *words;
} kinds[PA_FIND_KINDS] = {
    [PA_FIND_SLOW_ENDPOINT] = {"slow_endpoint", "slow endpoint"},
    [PA_FIND_N_PLUS_ONE] = {"n_plus_one", "N+1"},
    [PA_FIND_BLOCKED_LOOP] = {"blocked_loop", "blocked loop"},
    [PA_FIND_SMALL_POOL] = {"small_pool", "pool too small"},
};

int pa_findings_json(struct pa_json *j, const struct pa_report *r)
{
	struct pa_findings f;
	int err = pa_findings_get(r, &f);

	if (err)
		return err;
	pa_json_array(j, "findings");
	for (size_t i = 0; i < f.nr; i++) {
		const struct pa_finding *n = &f.list[i];

		pa_json_object(j, NULL);
		pa_json_text(j, "kind", kinds[n->kind].name);
		pa_json_text(j, "what", n->what);
		pa_json_text(j, "figure", n->figure);
		pa_json_text(j, "place", *n->place ? n->place : NULL);
		pa_json_u64(j, "count", n->count);
		pa_json_real(j, "ms", n->ms, 3);
		pa_json_real(j, "pct", n->pct, 3);
		pa_json_end_object(j);
	}
	pa_json_end_array(j);
	pa_findings_fini(&f);
	return 0;
}

int pa_findings_text(const struct pa_report *r, const struct pa_report_options *o, FILE *out)
{
	struct pa_style style;
	struct pa_findings f;
	int err = pa_findings_get(r, &f);

	if (err || !f.nr)
		return err;
	pa_style_get(o, &style);
	fprintf(out, "%sfindings%s\n", style.bold, style.plain);
	for (size_t i = 0; i < f.nr; i++) {
		const struct pa_finding *n = &f.list[i];

		fprintf(out, "  %s: ", kinds[n->kind].words);
		pa_escape_columns(out, PA_PLAIN, n->what, WHAT_COLUMNS);
		fputs(": ", out);
		pa_escape(out, PA_PLAIN, n->figure);
		if (*n->place) {
			fputs("; in ", out);
			pa_escape_columns(out, PA_PLAIN, n->place, WHAT_COLUMNS);
		}
		fputc('\n', out);
	}
	fputc('\n', out);
	pa_findings_fini(&f);
	return 0;
}
