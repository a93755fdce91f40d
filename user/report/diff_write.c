/* SPDX-License-Identifier: MIT */
#include "diff.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/escape.h"
#include "base/fmt.h"
#include "heaps.h"
#include "jsonw.h"

static const struct {
	const char *name;  /* in JSON */
	const char *title; /* for people */
} sorts[] = {
	[DIFF_SITE] = { "site", "lines that grew" },
	[DIFF_KIND] = { "kind", "kinds of blocks that grew" },
	[DIFF_OBJECT] = { "object", "types of objects that grew on the heap, and who holds one of them" },
	[DIFF_STATE] = { "state", "heaps that grew" },
};

static void put_escaped(FILE *out, const char *s)
{
	char buf[400];

	escape_term(buf, sizeof(buf), s);
	fputs(buf, out);
}

static void put_what(const struct diff *d, const struct diff_row *r, FILE *out)
{
	if (r->of == DIFF_SITE && r->frame.lua)
		put_escaped(out, fmt_chunk(r->frame.lua));
	else if (r->of == DIFF_SITE)
		fputs("(no Lua code on the stack)", out);
	else if (r->of == DIFF_STATE && r->state)
		fprintf(out, "state %" PRIu32, r->state);
	else if (r->of == DIFF_STATE)
		fputs("all states", out);
	if (r->frame.name) {
		fputs(" in ", out);
		put_escaped(out, r->frame.name);
	}
	if (r->origin)
		put_escaped(out, r->origin);
	if (r->path) {
		fputs(r->origin ? ": " : "", out);
		put_escaped(out, r->path);
	}
	if (r->of != DIFF_KIND && d->b->processes.n < 2)
		return;
	fputs(r->of == DIFF_KIND ? "" : ", ", out);
	put_escaped(out, r->comm);
	if (r->pid)
		fprintf(out, " (%d)", r->pid);
}

static void write_row(const struct diff *d, const struct diff_row *r, FILE *out)
{
	struct fmtbuf a, b, c, n;

	fprintf(out, "  %11s %11s %11s %9s  %-8s ", fmt_signed_bytes(&c, diff_growth(r)),
		fmt_bytes(&a, r->before.bytes), fmt_bytes(&b, r->after.bytes),
		fmt_count(&n, r->after.blocks), r->kind ? r->kind : "");
	put_what(d, r, out);
	fputc('\n', out);
}

static void write_rows(const struct diff *d, enum diff_of of, size_t top,
		       const struct format_options *opt, FILE *out)
{
	size_t shown = 0, more = 0;

	vec_each(r, &d->rows[of]) {
		if (!diff_grew(d, r))
			continue;
		if (top && shown == top) {
			more++;
			continue;
		}
		if (!shown++)
			fprintf(out, "\n%s%s%s\n  %11s %11s %11s %9s  %-8s %s\n",
				opt->color ? "\033[1m" : "", sorts[of].title, opt->color ? "\033[0m" : "",
				"growth", "before", "after", "blocks", "kind", "where");
		write_row(d, r, out);
	}
	if (more)
		fprintf(out, "  … %zu more (-T, --top N shows more)\n", more);
}

static void write_loss(const struct report *r, const char *which, FILE *out)
{
	if (!report_complete(r))
		fprintf(out, "the %s report is not complete: see 'luamemtrace report'\n", which);
	if (r->detail_dropped)
		fprintf(out, "the details of the %s moment were given up for --max-size\n", which);
}

void diff_write_text(const struct diff *d, size_t top, const struct format_options *opt, FILE *out)
{
	struct fmtbuf a, b;

	fprintf(out, "from %s to %s%s\n", fmt_rfc3339(&a, d->a->end_realtime_ns),
		fmt_rfc3339(&b, d->b->end_realtime_ns), d->one_run ? "" : ", two recordings");
	for (enum diff_of of = DIFF_SITE; of < DIFF_MAX; of++)
		write_rows(d, of, top, opt, out);
	if (!diff_count_grown(d))
		fprintf(out, "\nno line grew by %s or more\n", fmt_bytes(&a, d->min_growth));
	fputc('\n', out);
	write_loss(d->a, "earlier", out);
	write_loss(d->b, "later", out);
}

static void write_record(const struct diff *d, const struct diff_row *r, FILE *out)
{
	struct jsonw w;

	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "diff");
	jsonw_str(&w, "of", sorts[r->of].name);
	jsonw_str_known(&w, "comm", r->comm);
	if (r->pid)
		jsonw_u64(&w, "pid", (uint64_t)r->pid);
	if (r->state)
		jsonw_u64(&w, "state", r->state);
	jsonw_str_known(&w, "kind", r->kind);
	jsonw_str_known(&w, "origin", r->origin);
	heaps_put_path(&w, r->path);
	jsonw_u64(&w, "before_bytes", r->before.bytes);
	jsonw_u64(&w, "after_bytes", r->after.bytes);
	jsonw_s64(&w, "growth_bytes", diff_growth(r));
	jsonw_u64(&w, "before_blocks", r->before.blocks);
	jsonw_u64(&w, "after_blocks", r->after.blocks);
	jsonw_bool(&w, "grew", diff_grew(d, r));
	if (r->of == DIFF_SITE) {
		jsonw_str(&w, "verdict", verdict_name(r->verdict));
		jsonw_array(&w, "stack");
		if (r->frame.lua) {
			jsonw_object(&w, NULL);
			jsonw_str(&w, "lua", r->frame.lua);
			jsonw_str_known(&w, "name", r->frame.name);
			jsonw_close(&w, '}');
		}
		jsonw_close(&w, ']');
	}
	jsonw_end(&w);
}

void diff_write_json(const struct diff *d, size_t top, FILE *out)
{
	struct fmtbuf b;
	struct jsonw w;

	json_write_header(d->b, out);
	for (enum diff_of of = DIFF_SITE; of < DIFF_MAX; of++)
		for (size_t i = 0; i < d->rows[of].n && (!top || i < top); i++)
			write_record(d, &d->rows[of].v[i], out);
	jsonw_begin(&w, out);
	jsonw_str(&w, "type", "end");
	jsonw_str(&w, "from", fmt_rfc3339(&b, d->a->end_realtime_ns));
	jsonw_str(&w, "to", fmt_rfc3339(&b, d->b->end_realtime_ns));
	jsonw_bool(&w, "complete", report_complete(d->a) && report_complete(d->b));
	jsonw_u64(&w, "grown", diff_count_grown(d));
	jsonw_end(&w);
}
