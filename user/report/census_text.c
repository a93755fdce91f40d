/* SPDX-License-Identifier: MIT */
/* The census for people. May change freely. */
#include "census_report.h"

#include <inttypes.h>
#include <string.h>

#include "base/escape.h"
#include "base/fmt.h"

#define BOLD "\033[1m"
#define YELLOW "\033[33m"
#define RED "\033[31m"
#define RESET "\033[0m"

struct out {
	const struct census_report *cr;
	const struct census *c;
	FILE *f;
};

static const char *color(const struct out *o, const char *code)
{
	return o->cr->color ? code : "";
}

static void put(const struct out *o, const char *s)
{
	char buf[2000];

	escape_term(buf, sizeof(buf), s);
	fputs(buf, o->f);
}

static void put_path(const struct out *o, const struct census_path *p)
{
	char text[1500];

	census_path_text(o->c, p, text, sizeof(text));
	put(o, text);
}

static void write_kinds(const struct out *o, const struct census_state *s)
{
	uint64_t count[CENSUS_KIND_MAX][2] = { 0 }, bytes[CENSUS_KIND_MAX][2] = { 0 }, vm = 0;
	struct fmtbuf a, b, c, d;

	vec_each(g, &s->groups) {
		count[g->kind][g->dead] += g->count;
		bytes[g->kind][g->dead] += g->bytes;
	}
	fprintf(o->f, "\n  %s%-12s %14s %12s %14s %12s%s\n", color(o, BOLD), "kind", "held", "bytes",
		"garbage", "bytes", color(o, RESET));
	for (unsigned int k = 0; k < CENSUS_KIND_MAX; k++)
		if (count[k][0] || count[k][1])
			fprintf(o->f, "  %-12s %14s %12s %14s %12s\n", census_kind_name(k),
				fmt_count(&a, count[k][0]), fmt_bytes(&b, bytes[k][0]),
				fmt_count(&c, count[k][1]), fmt_bytes(&d, bytes[k][1]));
	for (unsigned int p = 0; p < CENSUS_PART_MAX; p++)
		vm += s->part_bytes[p];
	fprintf(o->f, "  %-12s %14s %12s\n", "the VM itself", "", fmt_bytes(&a, vm));
}

static void write_groups(const struct out *o, const struct census_state *s)
{
	struct fmtbuf a, b;
	size_t shown = 0, all = 0;

	vec_each(g, &s->groups)
		all += !g->dead;
	fprintf(o->f, "\n  %s%12s %12s  %-10s %s%s\n", color(o, BOLD), "bytes", "count", "kind",
		"what, and who holds one of them", color(o, RESET));
	vec_each(g, &s->groups) {
		if (g->dead || shown == o->cr->top)
			break;
		shown++;
		fprintf(o->f, "  %12s %12s  %-10s ", fmt_bytes(&a, g->bytes), fmt_count(&b, g->count),
			census_kind_name(g->kind));
		put(o, strpool_get(o->c->pool, g->origin));
		if (g->path.n) {
			fprintf(o->f, "%s", g->origin ? "\n                                         " : "");
			put_path(o, &g->path);
		}
		fputc('\n', o->f);
	}
	if (shown < all)
		fprintf(o->f, "  … %zu more (-T, --top N shows more)\n", all - shown);
}

static void write_holders(const struct out *o, const struct census_state *s)
{
	struct fmtbuf a, b;
	bool asked = false, title = false;

	vec_each(h, &s->holders)
		asked |= h->asked_for;
	vec_each(h, &s->holders) {
		if (asked && !h->asked_for)
			continue;
		if (!title)
			fprintf(o->f, "\n  %s%12s %12s  %s%s\n", color(o, BOLD), "keeps alive", "itself",
				"held by", color(o, RESET));
		title = true;
		fprintf(o->f, "  %12s %12s  ", fmt_bytes(&a, h->retained), fmt_bytes(&b, h->bytes));
		if (asked)
			fprintf(o->f, "%s at 0x%" PRIx64 ": ", census_kind_name(h->kind), h->uaddr);
		if (h->dead)
			fputs("nobody: garbage", o->f);
		put_path(o, &h->path);
		fputc('\n', o->f);
	}
}

static void write_findings(const struct out *o, const struct census_state *s)
{
	char text[1400];

	vec_each(f, &s->findings) {
		census_finding_text(o->c, f, text, sizeof(text));
		fprintf(o->f, "\n  %sfinding%s  %s (%s): ", color(o, RED), color(o, RESET),
			f->kind == CENSUS_FOREIGN_NODES ? "cross-runtime" : "use-after-free",
			f->kind == CENSUS_FOREIGN_NODES ? "likely" : "possible");
		put(o, text);
		if (f->path.n) {
			fputs("\n           ", o->f);
			put_path(o, &f->path);
		}
		fputc('\n', o->f);
	}
}

static void write_state(const struct out *o, const struct census_process *p,
			const struct census_state *s)
{
	const struct resolved_state *rs = &o->c->resolved->states.v[s->index];
	const char *label = strpool_get(o->c->pool, s->label);
	struct fmtbuf a, b, c, d;

	fprintf(o->f, "\n%sstate %" PRIu32 "%s  L 0x%" PRIx64 "%s", color(o, BOLD),
		p->first_state + s->index, color(o, RESET), rs->L, *label ? "  " : "");
	put(o, label);
	fputc('\n', o->f);
	if (!s->done) {
		fprintf(o->f, "  %snot counted%s: ", color(o, YELLOW), color(o, RESET));
		put(o, s->gone ? "it was closed meanwhile" : strpool_get(o->c->pool, s->refused));
		fputc('\n', o->f);
		return;
	}
	fprintf(o->f, "  %s in %s objects", fmt_bytes(&a, s->vm_bytes), fmt_count(&b, s->objects));
	if (s->difference)
		fprintf(o->f, ", %s of it not found",
			fmt_signed_bytes(&c, s->difference));
	else
		fputs(", every byte of it found", o->f);
	fprintf(o->f, "; %s coroutines; %s\n", fmt_count(&d, s->coroutines),
		s->stopped ? "copied while it was stopped" : "copied while it stood still");
	write_kinds(o, s);
	write_groups(o, s);
	write_holders(o, s);
	write_findings(o, s);
}

static void write_rss_breakdown(const struct out *o, const struct rss_breakdown *br)
{
	struct fmtbuf a;

	if (!br->rss_bytes)
		return;
	fprintf(o->f, "\n%sresident memory%s  %s, of it\n", color(o, BOLD), color(o, RESET),
		fmt_bytes(&a, br->rss_bytes));
	for (unsigned int i = 0; i < RSS_MAX; i++) {
		if (!br->bytes[i])
			continue;
		if (br->bytes[i] < 0)
			fprintf(o->f, "  %12s  %s\n", fmt_signed_bytes(&a, br->bytes[i]), rss_part_text(i));
		else
			fprintf(o->f, "  %12s  %s\n", fmt_bytes(&a, (uint64_t)br->bytes[i]), rss_part_text(i));
	}
}

void census_write_text(const struct census_report *cr, FILE *f)
{
	for (size_t i = 0; i < cr->n; i++) {
		const struct census_process *p = &cr->process[i];
		struct out o = { .cr = cr, .c = p->census, .f = f };

		fprintf(f, "%s%sprocess %d%s (", i ? "\n" : "", color(&o, BOLD), o.c->target->pid,
			color(&o, RESET));
		put(&o, o.c->target->info.comm);
		fputs(") ", f);
		put(&o, o.c->target->info.exe);
		fputc('\n', f);
		vec_each(s, &o.c->states)
			write_state(&o, p, s);
		write_rss_breakdown(&o, &p->rss_breakdown);
		if (o.c->copier.stops)
			fprintf(f, "\nstopped %u times, for %.1f ms at most\n", o.c->copier.stops,
				(double)o.c->copier.pause_ns / 1e6);
		if (p->failed || o.c->not_stopped) {
			fprintf(f, "\n%snot complete%s  ", color(&o, YELLOW), color(&o, RESET));
			put(&o, p->failed ? p->failed : o.c->not_stopped);
			fputc('\n', f);
		}
	}
}
