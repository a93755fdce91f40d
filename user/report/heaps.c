/* SPDX-License-Identifier: MIT */
#include "heaps.h"

#include <inttypes.h>
#include <string.h>

#include "base/escape.h"
#include "base/fmt.h"
#include "jsonw.h"

static void write_census(const struct report_census *c, FILE *out)
{
	struct fmtbuf b;
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "census");
	jsonw_u64(&w, "pid", (uint64_t)c->pid);
	if (c->state)
		jsonw_u64(&w, "state", c->state);
	jsonw_str(&w, "time", fmt_rfc3339(&b, c->time_ns));
	jsonw_str(&w, "why", c->reason);
	jsonw_bool(&w, "counted", !c->why_not);
	jsonw_str_known(&w, "why_not", c->why_not);
	if (!c->why_not) {
		jsonw_u64(&w, "heap_bytes", c->heap_bytes);
		jsonw_u64(&w, "live_objects", c->held_objects);
		jsonw_u64(&w, "live_object_bytes", c->held_bytes);
		jsonw_u64(&w, "dead_objects", c->dead_objects);
		jsonw_u64(&w, "dead_bytes", c->dead_bytes);
	}
	jsonw_double(&w, "pause_ms", (double)c->pause_ns / 1e6);
	jsonw_end(&w);
}

void heaps_put_path(struct jsonw *w, const char *path)
{
	const char *arrow;

	if (!path)
		return;
	jsonw_array(w, "path");
	for (; path; path = arrow ? arrow + strlen(REPORT_ARROW) : NULL) {
		char step[1400];
		size_t len;

		arrow = strstr(path, REPORT_ARROW);
		len = arrow ? (size_t)(arrow - path) : strlen(path);
		len = len < sizeof(step) ? len : sizeof(step) - 1;
		memcpy(step, path, len);
		step[len] = '\0';
		jsonw_str(w, NULL, step);
	}
	jsonw_close(w, ']');
}

static void write_object(const struct report_object *o, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "object");
	jsonw_u64(&w, "pid", (uint64_t)o->pid);
	jsonw_u64(&w, "state", o->state);
	jsonw_str(&w, "kind", o->kind);
	jsonw_u64(&w, "count", o->count);
	jsonw_u64(&w, "bytes", o->bytes);
	jsonw_str_known(&w, "origin", o->origin);
	if (o->dead)
		jsonw_bool(&w, "dead", true);
	heaps_put_path(&w, o->path);
	jsonw_end(&w);
}

static void write_holder(const struct report_holder *h, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "holder");
	jsonw_u64(&w, "pid", (uint64_t)h->pid);
	jsonw_u64(&w, "state", h->state);
	jsonw_str(&w, "kind", h->kind);
	jsonw_u64(&w, "count", 1);
	jsonw_u64(&w, "bytes", h->bytes);
	jsonw_u64(&w, "retained_bytes", h->retained_bytes);
	jsonw_str_known(&w, "origin", h->origin);
	heaps_put_path(&w, h->path);
	jsonw_end(&w);
}

void heaps_write_json(const struct report *r, FILE *out)
{
	vec_each(c, &r->censuses)
		write_census(c, out);
	vec_each(o, &r->objects)
		write_object(o, out);
	vec_each(h, &r->holders)
		write_holder(h, out);
}

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RESET "\033[0m"

struct text {
	const struct report *r;
	bool color;
	size_t top; /* 0: all */
	FILE *out;
};

static void put(const struct text *t, const char *s)
{
	char buf[800];

	escape_term(buf, sizeof(buf), s);
	fputs(buf, t->out);
}

/* What it is, and on a line of its own who holds it. */
static void put_what(const struct text *t, const char *origin, const char *path)
{
	put(t, origin ? origin : "");
	if (path && origin)
		fprintf(t->out, "\n%*s%s", 37, "", t->color ? DIM : "");
	put(t, path ? path : "");
	fprintf(t->out, "%s\n", path && origin && t->color ? RESET : "");
}

static void text_objects(const struct text *t, const struct report_census *c)
{
	struct fmtbuf a, b;
	size_t shown = 0;

	fprintf(t->out, "  %s%12s %11s  %-8s %s%s\n", t->color ? BOLD : "", "bytes", "count", "kind",
		"what, and who holds one of them", t->color ? RESET : "");
	vec_each(o, &t->r->objects) {
		if (o->pid != c->pid || o->state != c->state || o->dead ||
		    (t->top && shown == t->top))
			continue;
		shown++;
		fprintf(t->out, "  %12s %11s  %-8s ", fmt_bytes(&a, o->bytes), fmt_count(&b, o->count),
			o->kind);
		put_what(t, o->origin, o->path);
	}
}

static void text_holders(const struct text *t, const struct report_census *c)
{
	struct fmtbuf a, b;
	size_t shown = 0;

	fprintf(t->out, "  %s%12s %11s  %-8s %s%s\n", t->color ? BOLD : "", "keeps alive", "itself",
		"", "held by", t->color ? RESET : "");
	vec_each(h, &t->r->holders) {
		if (h->pid != c->pid || h->state != c->state || (t->top && shown == t->top))
			continue;
		shown++;
		fprintf(t->out, "  %12s %11s  %-8s ", fmt_bytes(&a, h->retained_bytes),
			fmt_bytes(&b, h->bytes), h->kind);
		put(t, h->path ? h->path : "");
		fputc('\n', t->out);
	}
}

static void text_census(const struct text *t, const struct report_census *c)
{
	struct fmtbuf a, b, d, e;
	bool later = c->time_ns > t->r->end_realtime_ns;
	uint64_t ns =
		later ? c->time_ns - t->r->end_realtime_ns : t->r->end_realtime_ns - c->time_ns;

	fprintf(t->out, "\n%son the heap%s  ", t->color ? BOLD : "", t->color ? RESET : "");
	if (t->r->processes.n > 1)
		fprintf(t->out, "process %d, ", c->pid);
	if (c->state)
		fprintf(t->out, "state %" PRIu32 ", ", c->state);
	fprintf(t->out, "%s %s", fmt_seconds(&a, ns), later ? "later" : "before the end");
	if (c->why_not) {
		fputs(": not known, ", t->out);
		put(t, c->why_not);
		fputc('\n', t->out);
		return;
	}
	fprintf(t->out, ": %s in %s objects that somebody holds; %s of garbage\n",
		fmt_bytes(&b, c->held_bytes), fmt_count(&d, c->held_objects),
		fmt_bytes(&e, c->dead_bytes));
	text_objects(t, c);
	text_holders(t, c);
}

#define STATES_SHOWN 5

void heaps_write_text(const struct report *r, const struct format_options *opt, FILE *out)
{
	struct text t = {
		.r = r, .color = opt->color, .top = r->top ? (r->top + 1) / 2 : 0, .out = out
	};
	size_t shown = 0;

	vec_each(c, &r->censuses) {
		if (t.top && shown == STATES_SHOWN) {
			fprintf(out, "\n  … the heaps of %zu more states are in the file\n",
				r->censuses.n - shown);
			return;
		}
		text_census(&t, c);
		shown++;
	}
}
