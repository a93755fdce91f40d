/* SPDX-License-Identifier: MIT */
#include "top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/fmt.h"
#include "base/hashmap.h"

#define BOLD "\033[1m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define REVERSE "\033[7m"
#define RESET "\033[0m"

#define STATES_SHARE 3 /* of the rows, one part for states, the others for places */
#define MIN_ROWS 2

struct top {
	struct hashmap calls; /* state's number → its calls at the look before */
	uint64_t time_ns;     /* of that look */
};

struct page {
	struct top *t;
	const struct report *r;
	const struct top_screen *screen;
	FILE *out;
	unsigned int left; /* rows */
	double seconds;    /* since the look before; 0: this is the first */
};

int top_new(struct top **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void top_free(struct top *t)
{
	if (t)
		hashmap_deinit(&t->calls);
	free(t);
}

/* A row, cut to the screen: characters of UTF-8 are kept whole. */
static void row(struct page *p, const char *color, const char *format, ...)
{
	unsigned int columns = 0;
	char text[2000];
	size_t end = 0;
	va_list ap;

	if (p->left <= 1) /* the last is the note's */
		return;
	p->left--;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	while (text[end] && columns < p->screen->columns) {
		size_t len = escape_utf8_len(text + end);

		end += len ? len : 1;
		columns++;
	}
	fprintf(p->out, "%s%.*s%s\n", p->screen->color ? color : "", (int)end, text,
		p->screen->color && *color ? RESET : "");
}

static void write_head(struct page *p)
{
	const struct report *r = p->r;
	uint64_t heap = 0, live = 0, lost = 0;
	struct fmtbuf a, b, c, d;
	char how[80] = "nothing lost";

	vec_each(s, &r->states) {
		heap += s->heap_bytes;
		live += s->live_bytes;
	}
	for (unsigned int i = 0; i < LMT_STAT_MAX; i++)
		lost += r->lost[i];
	if (r->windows)
		snprintf(how, sizeof(how), "%.1f %% of the calls seen", r->seen_pct);
	else if (lost)
		snprintf(how, sizeof(how), "%s lost", fmt_count(&d, lost));
	row(p, BOLD, "luamemtrace top  %s  %s  %zu processes, %zu states", r->mode ? r->mode : "",
	    fmt_seconds(&a, r->end_realtime_ns - r->start_realtime_ns), r->processes.n,
	    r->states.n);
	row(p, "", "heaps %s, live since the attach %s; %s; %zu findings", fmt_bytes(&b, heap),
	    fmt_bytes(&c, live), how, r->findings.n);
}

static const char *comm_of(const struct report *r, pid_t pid)
{
	vec_each(p, &r->processes)
		if (p->pid == pid)
			return p->comm;
	return "";
}

/* Calls a second since the look before. */
static int call_rate(struct page *p, const struct report_state *s, char *text, size_t size)
{
	uint64_t calls = s->allocs + s->frees + s->reallocs, *before;

	before = hashmap_get_or_add(&p->t->calls, (uint64_t)s->pid << 32 | s->state);
	if (!before)
		return -ENOMEM;
	if (p->seconds > 0 && calls >= *before)
		snprintf(text, size, "%.0f", (double)(calls - *before) / p->seconds);
	*before = calls;
	return 0;
}

static int by_heap(const void *a, const void *b)
{
	const struct report_state *x = *(const struct report_state *const *)a;
	const struct report_state *y = *(const struct report_state *const *)b;

	return x->heap_bytes > y->heap_bytes ? -1 : x->heap_bytes < y->heap_bytes;
}

static int write_states(struct page *p)
{
	const struct report_state **order = calloc(p->r->states.n + 1, sizeof(*order));
	unsigned int room = p->left / STATES_SHARE;
	size_t n = 0;
	int rc = 0;

	if (!order)
		return -ENOMEM;
	vec_each(s, &p->r->states)
		if (s->state && !s->closed_realtime_ns)
			order[n++] = s;
	qsort(order, n, sizeof(*order), by_heap);
	row(p, "", "%s", "");
	row(p, REVERSE, "%8s %-15s %5s %11s %11s %9s %11s %7s  %s", "pid", "program", "state", "heap", "live",
	    "blocks", "calls/s", "cycles", "label");
	for (size_t i = 0; !rc && i < n; i++) {
		const struct report_state *s = order[i];
		char rate[32] = "", name[64], label[200];
		struct fmtbuf a, b, c;

		rc = call_rate(p, s, rate, sizeof(rate));
		if (i >= (room > MIN_ROWS ? room : MIN_ROWS))
			continue;
		escape_term(name, sizeof(name), comm_of(p->r, s->pid));
		escape_term(label, sizeof(label), s->label ? s->label : "");
		row(p, "", "%8d %-15.15s %5" PRIu32 " %11s %11s %9s %11s %7" PRIu32 "  %s", s->pid, name, s->state,
		    s->heap_known ? fmt_bytes(&a, s->heap_bytes) : "", fmt_bytes(&b, s->live_bytes),
		    fmt_count(&c, s->live_blocks), rate, s->gc_cycles, label);
	}
	free(order);
	return rc;
}

static void write_sites(struct page *p)
{
	row(p, "", "%s", "");
	row(p, REVERSE, "%-8s %11s %9s %14s %6s %5s %-8s  %s", "verdict", "live", "blocks", "growth", "cycles",
	    "state", "kind", "where");
	vec_each(s, &p->r->sites) {
		const char *lua = s->frame.lua ? s->frame.lua : "(no Lua code on the stack)";
		struct fmtbuf a, b, c;
		char growth[64] = "", where[400], name[200] = "";

		if (p->left <= 1)
			return;
		if (s->growth_bytes_per_s >= 1)
			snprintf(growth, sizeof(growth), "%s/s",
				 fmt_signed_bytes(&c, (int64_t)s->growth_bytes_per_s));
		escape_term(where, sizeof(where), fmt_chunk(lua));
		if (s->frame.name)
			escape_term(name, sizeof(name), s->frame.name);
		row(p,
		    s->verdict == VERDICT_LEAK ? RED BOLD :
		    s->verdict == VERDICT_GROWING ? YELLOW : "",
		    "%-8s %11s %9s %14s %6" PRIu32 " %5" PRIu32 " %-8s  %s%s%s",
		    verdict_name(s->verdict), fmt_bytes(&a, s->live_bytes),
		    fmt_count(&b, s->live_blocks), growth, s->survived_cycles, s->state, s->kind,
		    where, *name ? " in " : "", name);
	}
}

static void write_findings(struct page *p)
{
	size_t shown = 0;

	vec_each(f, &p->r->findings) {
		char message[1000];

		if (shown++ == 2)
			break;
		escape_term(message, sizeof(message), f->message);
		row(p, f->severity >= SEVERITY_ERROR ? RED BOLD : YELLOW, "%s %s: %s", severity_name(f->severity),
		    finding_kind_name(f->kind), message);
	}
}

int top_write(struct top *t, const struct report *r, const struct top_screen *screen, FILE *out)
{
	struct page p = { .t = t, .r = r, .screen = screen, .out = out, .left = screen->rows };
	int rc;

	if (t->time_ns && r->end_realtime_ns > t->time_ns)
		p.seconds = (double)(r->end_realtime_ns - t->time_ns) / 1e9;
	t->time_ns = r->end_realtime_ns;
	write_head(&p);
	write_findings(&p);
	rc = write_states(&p);
	write_sites(&p);
	if (screen->note)
		fprintf(out, "%.*s", (int)screen->columns, screen->note);
	return rc;
}
