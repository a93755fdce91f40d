/* SPDX-License-Identifier: MIT */
#include "jsonw.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"

static void put_key(struct jsonw *w, const char *key)
{
	if (w->comma)
		putc(',', w->out);
	if (key)
		fprintf(w->out, "\"%s\":", key);
	w->comma = true;
}

void jsonw_begin(struct jsonw *w, FILE *out)
{
	w->out = out;
	w->comma = false;
	putc('{', out);
}

void jsonw_end(struct jsonw *w)
{
	fputs("}\n", w->out);
}

void jsonw_object(struct jsonw *w, const char *key)
{
	put_key(w, key);
	putc('{', w->out);
	w->comma = false;
}

void jsonw_array(struct jsonw *w, const char *key)
{
	put_key(w, key);
	putc('[', w->out);
	w->comma = false;
}

void jsonw_close(struct jsonw *w, char bracket)
{
	putc(bracket, w->out);
	w->comma = true;
}

void jsonw_str(struct jsonw *w, const char *key, const char *value)
{
	size_t size = strlen(value) * 6 + 1;
	auto_free char *text = malloc(size);

	put_key(w, key);
	if (text)
		escape_json(text, size, value);
	fprintf(w->out, "\"%s\"", text ? text : "");
}

void jsonw_str_known(struct jsonw *w, const char *key, const char *value)
{
	if (value && *value)
		jsonw_str(w, key, value);
}

void jsonw_u64(struct jsonw *w, const char *key, uint64_t value)
{
	put_key(w, key);
	fprintf(w->out, "%" PRIu64, value);
}

void jsonw_i64(struct jsonw *w, const char *key, int64_t value)
{
	put_key(w, key);
	fprintf(w->out, "%" PRId64, value);
}

void jsonw_bool(struct jsonw *w, const char *key, bool value)
{
	put_key(w, key);
	fputs(value ? "true" : "false", w->out);
}

void jsonw_double(struct jsonw *w, const char *key, double value)
{
	put_key(w, key);
	fprintf(w->out, "%.3f", isfinite(value) ? value : 0.0);
}

void jsonw_addr(struct jsonw *w, const char *key, uint64_t uaddr)
{
	put_key(w, key);
	fprintf(w->out, "\"0x%" PRIx64 "\"", uaddr);
}
