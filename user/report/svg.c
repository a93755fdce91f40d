/* SPDX-License-Identifier: MIT */
/*
 * A flame graph as one SVG file: the root at the bottom, biggest callee first. Every frame is
 * drawn and has a tooltip without any script; the script only zooms and searches.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/embed.h"
#include "base/escape.h"
#include "base/fmt.h"
#include "flame.h"
#include "xml.h"

EMBED(svg_css, "user/report/assets/svg.css");
EMBED(svg_js, "user/report/assets/svg.js");

#define WIDTH 1200.0
#define MARGIN 12.0
#define ROW 18
#define TOP 64       /* title and controls */
#define BOTTOM 34    /* legend */
#define MIN_WIDTH 0.15
#define LETTER_WIDTH 7.3
#define MAX_DEPTH 300

struct svg {
	const struct flame *f;
	enum metric m;
	FILE *out;
	double scale; /* pixels a unit */
	uint32_t rows;
	double height;
};

static const char *const class_names[] = { "root", "lua", "jit", "c", "gc", "note" };

static const char *amount(struct fmtbuf *b, enum metric m, uint64_t v)
{
	return m == METRIC_INUSE_SPACE || m == METRIC_ALLOC_SPACE ? fmt_bytes(b, v)
								  : fmt_count(b, v);
}

/* A few shades a class, so that neighbours differ; the same frame has the same everywhere. */
static unsigned int shade(uint32_t label)
{
	return label * 2654435761u >> 29 & 3;
}

static void put_label(const struct svg *s, const char *label, double width)
{
	int fits = (int)((width - 6) / LETTER_WIDTH);
	char text[400], brief[1600];
	size_t len;

	if (fits < 3)
		return;
	if (strlen(label) > (size_t)fits) {
		flame_short_text(label, brief, sizeof(brief));
		label = brief;
	}
	len = escape_term(text, (size_t)fits + 1 < sizeof(text) ? (size_t)fits + 1 : sizeof(text),
			  label);
	xml_put_escaped(text, len, s->out);
}

static void put_node(const struct svg *s, uint32_t i, double x)
{
	const struct flame_node *n = &s->f->nodes.v[i];
	double width = (double)n->total[s->m] * s->scale, y;
	const char *label = strpool_get(s->f->text, n->label);
	uint64_t all = s->f->nodes.v[0].total[s->m];
	struct fmtbuf b;

	y = s->height - BOTTOM - (n->depth + 1) * (double)ROW;
	fprintf(s->out, "<g class=\"f %s s%u\" data-x=\"%.3f\" data-w=\"%.3f\"><title>",
		class_names[n->class], shade(n->label), x, width);
	xml_put(label, s->out);
	fprintf(s->out, "\n%s, %.2f %%</title><rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\" "
		"rx=\"2\"/><text x=\"%.2f\" y=\"%.1f\">", amount(&b, s->m, n->total[s->m]),
		all ? 100.0 * (double)n->total[s->m] / (double)all : 100.0, MARGIN + x, y,
		width > 0.6 ? width - 0.5 : width, ROW - 1, MARGIN + x + 4, y + ROW - 5.5);
	put_label(s, label, width);
	fputs("</text></g>\n", s->out);
}

struct order {
	uint32_t node;
	uint64_t total;
};

static int bigger_first(const void *pa, const void *pb)
{
	const struct order *a = pa, *b = pb;

	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	return a->node < b->node ? -1 : a->node > b->node;
}

/* Children of a node, the biggest first, into order[]; how many. */
static size_t sort_children(const struct svg *s, uint32_t node, struct order *order)
{
	size_t n = 0;

	for (uint32_t c = s->f->nodes.v[node].first_child; c; c = s->f->nodes.v[c].next)
		order[n++] = (struct order){ c, s->f->nodes.v[c].total[s->m] };
	qsort(order, n, sizeof(*order), bigger_first);
	return n;
}

/* Places of all nodes, parents first: x is the parent's plus what its bigger children take. */
static void place_nodes(struct svg *s, double *x)
{
	auto_free struct order *order = calloc(s->f->nodes.n, sizeof(*order));

	for (uint32_t i = 0; order && i < s->f->nodes.n; i++) {
		size_t n = sort_children(s, i, order);
		double at = x[i];

		for (size_t k = 0; k < n; k++) {
			x[order[k].node] = at;
			at += (double)order[k].total * s->scale;
		}
		if ((double)s->f->nodes.v[i].total[s->m] * s->scale >= MIN_WIDTH &&
		    s->f->nodes.v[i].depth >= s->rows)
			s->rows = s->f->nodes.v[i].depth + 1;
	}
}

static void put_head(const struct svg *s, const struct report *r)
{
	const struct report_process *p = r->processes.n ? &r->processes.v[0] : NULL;
	struct fmtbuf a, b;

	fprintf(s->out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"100%%\" "
		"role=\"img\">\n<title>luamemtrace flame graph</title>\n<style>\n%s</style>\n"
		"<rect class=\"bg\" width=\"100%%\" height=\"100%%\"/>\n<text class=\"title\" x=\"%.0f\" "
		"y=\"28\">", WIDTH, s->height, svg_css, MARGIN);
	if (p) {
		xml_put(p->comm, s->out);
		if (r->processes.n > 1)
			fprintf(s->out, " and %zu more", r->processes.n - 1);
		else
			fprintf(s->out, " (%d)", p->pid);
	}
	fprintf(s->out, "</text>\n<text class=\"sub\" x=\"%.0f\" y=\"47\">%s: %s, traced for %s%s</text>\n"
		"<text class=\"sub\" id=\"hit\" x=\"%.0f\" y=\"47\" text-anchor=\"end\"></text>\n",
		MARGIN, metric_title(s->m), amount(&a, s->m, s->f->nodes.v[0].total[s->m]),
		fmt_seconds(&b, r->end_realtime_ns - r->start_realtime_ns),
		report_complete(r) ? "" : r->windows ? ", estimated from windows" :
						       ", not everything was seen", WIDTH - MARGIN);
	fprintf(s->out, "<text class=\"act\" id=\"reset\" x=\"%.0f\" y=\"28\" text-anchor=\"end\" "
		"visibility=\"hidden\">reset zoom</text>\n<text class=\"act\" id=\"search\" x=\"%.0f\" "
		"y=\"28\" text-anchor=\"end\" visibility=\"hidden\">search</text>\n",
		WIDTH - MARGIN - 60, WIDTH - MARGIN);
}

static void put_legend(const struct svg *s)
{
	static const char *const names[] = { "Lua", "Lua in a JIT trace", "C", "finalizer" };
	static const char *const classes[] = { "lua", "jit", "c", "gc" };
	double x = MARGIN, y = s->height - 20;

	for (int i = 0; i < 4; x += 48 + LETTER_WIDTH * (double)strlen(names[i++]))
		fprintf(s->out, "<g class=\"key %s s1\"><rect x=\"%.0f\" y=\"%.0f\" width=\"12\" "
			"height=\"12\" rx=\"2\"/><text class=\"sub\" x=\"%.0f\" y=\"%.0f\">%s</text></g>\n",
			classes[i], x, y, x + 18, y + 10.5, names[i]);
}

void svg_write(const struct flame *f, const struct report *r, enum metric m, FILE *out)
{
	struct svg s = { .f = f, .m = m, .out = out, .rows = 1 };
	uint64_t all = f->nodes.v[0].total[m];
	auto_free double *x = calloc(f->nodes.n, sizeof(*x));

	if (!x)
		return;
	s.scale = all ? (WIDTH - 2 * MARGIN) / (double)all : 0;
	place_nodes(&s, x);
	s.height = TOP + BOTTOM + (double)s.rows * ROW;
	put_head(&s, r);
	fprintf(out, "<g id=\"frames\" data-width=\"%.0f\" data-margin=\"%.0f\">\n", WIDTH - 2 * MARGIN,
		MARGIN);
	for (uint32_t i = 0; i < f->nodes.n; i++)
		if (!i || (double)f->nodes.v[i].total[m] * s.scale >= MIN_WIDTH)
			put_node(&s, i, x[i]);
	fputs("</g>\n", out);
	put_legend(&s);
	fprintf(out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", svg_js);
}
