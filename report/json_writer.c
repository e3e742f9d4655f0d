#include "report/json_writer.h"

#include <inttypes.h>
#include <math.h>

#include "report/escape.h"

static void newline(struct pa_json *j)
{
	fputc('\n', j->out);
	for (unsigned i = 0; i < j->depth; i++)
		fputs("  ", j->out);
}

static void name(struct pa_json *j, const char *key)
{
	if (j->filled[j->depth])
		fputs(j->flat[j->depth] ? ", " : ",", j->out);
	if (j->depth && !j->flat[j->depth])
		newline(j);
	j->filled[j->depth] = true;
	if (!key)
		return;
	fputc('"', j->out);
	pa_escape(j->out, PA_JSON, key);
	fputs("\": ", j->out);
}

static void begin(struct pa_json *j, const char *key, char bracket, bool flat)
{
	name(j, key);
	fputc(bracket, j->out);
	flat = flat || j->flat[j->depth];
	if (j->depth + 1 < PA_JSON_DEPTH)
		j->depth++;
	j->filled[j->depth] = false;
	j->flat[j->depth] = flat;
}

static void end(struct pa_json *j, char bracket)
{
	bool open = j->filled[j->depth] && !j->flat[j->depth];
	j->depth--;
	if (open)
		newline(j);
	fputc(bracket, j->out);
	if (!j->depth)
		fputc('\n', j->out);
}

void pa_json_object(struct pa_json *j, const char *key)
{
	begin(j, key, '{', false);
}

void pa_json_array(struct pa_json *j, const char *key)
{
	begin(j, key, '[', false);
}

void pa_json_row(struct pa_json *j, const char *key)
{
	begin(j, key, '{', true);
}

void pa_json_end_object(struct pa_json *j)
{
	end(j, '}');
}

void pa_json_end_array(struct pa_json *j)
{
	end(j, ']');
}

void pa_json_text(struct pa_json *j, const char *key, const char *text)
{
	name(j, key);
	if (!text) {
		fputs("null", j->out);
		return;
	}
	fputc('"', j->out);
	pa_escape(j->out, PA_JSON, text);
	fputc('"', j->out);
}

void pa_json_u64(struct pa_json *j, const char *key, uint64_t value)
{
	name(j, key);
	fprintf(j->out, "%" PRIu64, value);
}

void pa_json_i64(struct pa_json *j, const char *key, int64_t value)
{
	name(j, key);
	fprintf(j->out, "%" PRId64, value);
}

void pa_json_bool(struct pa_json *j, const char *key, bool value)
{
	name(j, key);
	fputs(value ? "true" : "false", j->out);
}

void pa_json_real(struct pa_json *j, const char *key, double value, unsigned decimals)
{
	name(j, key);
	if (isfinite(value))
		fprintf(j->out, "%.*f", (int)decimals, value);
	else
		fputs("null", j->out);
}

void pa_json_seconds(struct pa_json *j, const char *key, uint64_t ns)
{
	name(j, key);
	fprintf(j->out, "%" PRIu64 ".%09" PRIu64, ns / 1000000000, ns % 1000000000);
}
