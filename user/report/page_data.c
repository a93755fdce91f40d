/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>

#include "base/fmt.h"
#include "page.h"
#include "xml.h"

#define STATES_DRAWN 12 /* the biggest: a page must stay below a megabyte */
#define MARKS_DRAWN 200

struct drawn {
	uint32_t state; /* position in report.states */
	size_t first, n; /* its points */
	uint64_t most;
};

static int biggest_first(const void *pa, const void *pb)
{
	const struct drawn *a = pa, *b = pb;

	return a->most == b->most ? (a->state > b->state) - (a->state < b->state) :
	       a->most > b->most ? -1 : 1;
}

/* Runs of points with the same state; NULL when out of memory. */
static struct drawn *find_runs(const struct report *r, size_t *n_ret)
{
	struct drawn *d = calloc(r->states.n + 1, sizeof(*d));
	size_t n = 0;

	for (size_t i = 0; d && i < r->series.n; i++) {
		const struct report_point *p = &r->series.v[i];

		if (!n || d[n - 1].state != p->state) {
			if (n == r->states.n)
				break;
			d[n++] = (struct drawn){ .state = p->state, .first = i };
		}
		d[n - 1].n++;
		if (p->heap_high > d[n - 1].most)
			d[n - 1].most = p->heap_high;
	}
	if (n)
		qsort(d, n, sizeof(*d), biggest_first);
	*n_ret = n;
	return d;
}

/* Milliseconds after the start: figures a browser can hold. */
static uint64_t ms_of(const struct report *r, uint64_t time_ns)
{
	return time_ns > r->start_realtime_ns ? (time_ns - r->start_realtime_ns) / 1000000 : 0;
}

/* {name, points: [[ms, low, high, live, cycles]…]} */
static void put_state(const struct report *r, const struct drawn *d, FILE *out)
{
	const struct report_state *s = &r->states.v[d->state];
	char name[400];

	snprintf(name, sizeof(name), "state %" PRIu32 "%s%.200s", s->state, s->label ? ", " : "",
		 s->label ? s->label : "");
	fprintf(out, "{\"n\":%" PRIu32 ",\"name\":", s->state);
	xml_put_json(name, out);
	if (r->processes.n > 1)
		fprintf(out, ",\"pid\":%d", s->pid);
	if (s->closed_realtime_ns)
		fprintf(out, ",\"closed\":%" PRIu64, ms_of(r, s->closed_realtime_ns));
	fputs(",\"points\":[", out);
	for (size_t i = d->first; i < d->first + d->n; i++) {
		const struct report_point *p = &r->series.v[i];

		fprintf(out, "%s[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu32 "]",
			i > d->first ? "," : "", ms_of(r, p->time_ns), p->heap_low, p->heap_high,
			p->live_bytes, p->gc_cycles);
	}
	fputs("]}", out);
}

static void put_marks(const struct report *r, FILE *out)
{
	size_t n = 0;

	vec_each(e, &r->events_log) {
		if (n == MARKS_DRAWN)
			break;
		fprintf(out, "%s{\"t\":%" PRIu64 ",\"kind\":", n++ ? "," : "", ms_of(r, e->time_ns));
		xml_put_json(e->kind, out);
		fputs(",\"text\":", out);
		xml_put_json(e->text ? e->text : "", out);
		fputs("}", out);
	}
	vec_each(f, &r->findings) {
		if (n == MARKS_DRAWN)
			break;
		fprintf(out, "%s{\"t\":%" PRIu64 ",\"kind\":\"%s\",\"state\":%" PRIu32 ",\"text\":",
			n++ ? "," : "", ms_of(r, f->realtime_ns), finding_kind_name(f->kind), f->state);
		xml_put_json(f->message, out);
		fputs("}", out);
	}
}

/* States that have a heap and are not drawn. */
static size_t left_out(const struct report *r, size_t drawn)
{
	size_t n = 0;

	vec_each(s, &r->states)
		n += s->state != 0;
	return n > drawn ? n - drawn : 0;
}

void page_put_data(const struct report *r, FILE *out)
{
	size_t n = 0;
	struct drawn *d = find_runs(r, &n);

	fprintf(out, "<script type=\"application/json\" id=\"series\">{\"start\":%" PRIu64 ",\"span\":%"
		PRIu64 ",\"states\":[", r->start_realtime_ns / 1000000, ms_of(r, r->end_realtime_ns));
	for (size_t i = 0; i < n && i < STATES_DRAWN; i++) {
		if (i)
			putc(',', out);
		put_state(r, &d[i], out);
	}
	fprintf(out, "],\"more\":%zu,\"marks\":[", left_out(r, n < STATES_DRAWN ? n : STATES_DRAWN));
	put_marks(r, out);
	fputs("]}</script>\n", out);
	free(d);
}
