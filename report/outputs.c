#include "report/report.h"

#include <string.h>

#include "report/model.h"

const struct pa_output pa_outputs[] = {
    {"text", "report", NULL, pa_write_text},
    {"json", "report", NULL, pa_write_json},
    {"svg", "flame", "svg", pa_write_svg},
    {"folded", "flame", NULL, pa_write_folded},
    {NULL, NULL, NULL, NULL},
};

const struct pa_output *pa_output_find(const char *command, const char *name)
{
	for (const struct pa_output *o = pa_outputs; o->name; o++)
		if (!strcmp(o->command, command) && (!name || !strcmp(o->name, name)))
			return o;
	return NULL;
}

const char *pa_report_name(const struct pa_report *r)
{
	return pa_text(r, r->name);
}
