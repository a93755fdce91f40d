/* SPDX-License-Identifier: MIT */
/* For people: what, where, how much, how sure, what was not seen. May change freely. */
#include "format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "advice.h"
#include "base/escape.h"
#include "base/fmt.h"
#include "flame.h"
#include "findings.h"
#include "heaps.h"
#include "memory.h"
#include "sites_alike.h"

struct text {
	const struct report *r;
	const struct format_options *opt;
	FILE *out;
};

static const char *color(const struct text *t, const char *code)
{
	return t->opt->color ? code : "";
}

#define BOLD "\033[1m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define DIM "\033[2m"
#define RESET "\033[0m"

static const struct report_runtime *runtime_of(const struct report *r, pid_t pid, uint32_t id)
{
	vec_each(rt, &r->runtimes)
		if (rt->pid == pid && rt->runtime == id)
			return rt;
	return NULL;
}

/* Target text, escaped and cut to what fits a line. */
static void put_escaped(const struct text *t, const char *s)
{
	char buf[400];

	escape_term(buf, sizeof(buf), s);
	fputs(buf, t->out);
}

/* Where the memory is says little of the many small ones that -a meets. */
static bool is_among_largest(const struct report *r, const struct report_process *p)
{
	size_t larger = 0;

	vec_each(other, &r->processes)
		larger += other->memory.now.rss > p->memory.now.rss;
	return !r->top || larger < r->top;
}

static void write_title(const struct text *t)
{
	const struct report *r = t->r;
	struct fmtbuf b;

	fprintf(t->out, "%sluamemtrace %s%s", color(t, BOLD), LMT_VERSION, color(t, RESET));
	if (r->mode)
		fprintf(t->out, " · %s · %s", r->mode,
			fmt_seconds(&b, r->end_realtime_ns - r->start_realtime_ns));
	fputc('\n', t->out);
	vec_each(p, &r->processes) {
		fprintf(t->out, "process %d (", p->pid);
		put_escaped(t, p->comm);
		fputs(") ", t->out);
		put_escaped(t, p->exe);
		fputc('\n', t->out);
		if (is_among_largest(r, p))
			memory_write_text(&p->memory, color(t, BOLD), color(t, RESET), t->out);
	}
}

/* Where no finding says it: that all is well, or what would tell more. */
static void write_advice(const struct text *t)
{
	char text[256];

	if (advice_calm(t->r))
		fprintf(t->out, "%snothing grows%s  no process, and no line keeps ever more\n",
			color(t, BOLD), color(t, RESET));
	for (size_t i = 0; advice_text(t->r, i, text, sizeof(text)); i++)
		if (*text)
			fprintf(t->out, "%snext%s      %s\n", color(t, BOLD), color(t, RESET), text);
}

/* First of all: then no verdict means what it usually does. */
static void write_stalls(const struct text *t)
{
	struct fmtbuf b;

	vec_each(s, &t->r->states) {
		if (!s->collector)
			continue;
		fprintf(t->out, "%sstate %" PRIu32 " of process %d%s  ", color(t, YELLOW), s->state, s->pid,
			color(t, RESET));
		fprintf(t->out, strcmp(s->collector, "stopped")
				? "no collection was completed in %.0f s; the heap grew by %s/s\n"
				: "the program has stopped the collector, for %.0f s at least: nothing is "
				  "freed, the heap grows by %s/s\n",
			s->still_s, fmt_bytes(&b, (uint64_t)s->growth_bytes_per_s));
	}
}

static void write_state_head(const struct text *t, const struct report_state *s)
{
	const struct report_runtime *rt = runtime_of(t->r, s->pid, s->runtime);
	struct fmtbuf b, c, d;

	if (!s->state) {
		fprintf(t->out, "\n%sprocess %d, no state%s  allocator calls that belong to no known state\n",
			color(t, BOLD), s->pid, color(t, RESET));
		return;
	}
	fprintf(t->out, "\n%sstate %" PRIu32 "%s  %s", color(t, BOLD), s->state, color(t, RESET),
		rt ? rt->title : "unknown runtime");
	if (rt) {
		fputs(" in ", t->out);
		put_escaped(t, rt->module);
	}
	if (t->r->processes.n > 1)
		fprintf(t->out, ", process %d", s->pid);
	if (s->label) {
		fputs("  ", t->out);
		put_escaped(t, s->label);
	}
	fputs(s->closed_realtime_ns ? "  closed" : s->before_attach ? "" : "  born while traced", t->out);
	fputc('\n', t->out);
	if (s->heap_known) {
		fprintf(t->out, "  heap      %s as the VM counts", fmt_bytes(&b, s->heap_bytes));
		if (s->gc_known)
			fprintf(t->out, "; %s GC cycles seen", fmt_count(&c, s->gc_cycles));
		fprintf(t->out, "%s%s", s->gc_state ? "; collector in " : "",
			s->gc_state ? s->gc_state : "");
		if (s->threads_known)
			fprintf(t->out, "; %s coroutines", fmt_count(&d, s->threads));
		fputc('\n', t->out);
	}
	if (s->allocator) {
		fputs("  allocator ", t->out);
		put_escaped(t, s->allocator);
		fputc('\n', t->out);
	}
}

static void write_state(const struct text *t, const struct report_state *s)
{
	struct fmtbuf a, b, c, d, e;

	write_state_head(t, s);
	if (!t->r->active)
		return;
	fprintf(t->out, "  traced    %s blocks allocated (%s), %s freed, %s reallocated, %s refused%s\n",
		fmt_count(&a, s->allocs), fmt_bytes(&b, s->alloc_bytes), fmt_count(&c, s->frees),
		fmt_count(&d, s->reallocs), s->failures ? fmt_count(&e, s->failures) : "none",
		t->r->windows ? " in windows" : "");
	fprintf(t->out, "  live      %s in %s blocks that were allocated since the attach%s",
		fmt_bytes(&a, s->live_bytes), fmt_count(&b, s->live_blocks),
		t->r->windows ? ", as windows and census tell" : "");
	if (s->before_attach && s->heap_known)
		fprintf(t->out, " (%s were there before)", fmt_bytes(&c, s->heap_at_attach));
	if (s->lost_blocks)
		fprintf(t->out, "\n            %sa lower bound%s: %s more blocks (%s) found no room",
			color(t, YELLOW), color(t, RESET), fmt_count(&a, s->lost_blocks),
			fmt_bytes(&b, s->lost_bytes));
	fputc('\n', t->out);
}

/* What a state has to say for itself: what of it was seen, or else its size. */
static uint64_t weight(const struct report_state *s)
{
	return s->allocs || s->live_bytes ? UINT64_MAX / 2 + s->live_bytes : s->heap_bytes;
}

static int heaviest_first(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x < y) - (x > y);
}

/*
 * The weight of the last state that is among the first --top, and how many of that weight are
 * among them.
 */
static uint64_t lightest_shown(const struct report *r, size_t *equals_ret)
{
	uint64_t *w, ret = 0;
	size_t n = 0;

	*equals_ret = r->states.n;
	if (!r->top || !r->active || r->states.n <= r->top)
		return 0;
	w = calloc(r->states.n, sizeof(*w));
	if (!w)
		return 0; /* all of them, then */
	vec_each(s, &r->states)
		w[n++] = weight(s);
	qsort(w, n, sizeof(*w), heaviest_first);
	ret = w[r->top - 1];
	for (n = r->top; n && w[n - 1] == ret; n--)
		;
	*equals_ret = r->top - n;
	free(w);
	return ret;
}

/* A server may have hundreds that do nothing. */
static void write_states(const struct text *t)
{
	size_t equals, left_out = 0;
	uint64_t least = lightest_shown(t->r, &equals), bytes = 0;
	struct fmtbuf b;

	vec_each(s, &t->r->states) {
		if (weight(s) > least || (weight(s) == least && equals && equals--)) {
			write_state(t, s);
		} else {
			left_out++;
			bytes += s->heap_known ? s->heap_bytes : 0;
		}
	}
	if (left_out)
		fprintf(t->out, "\n… %zu more state%s with %s in all (-T, --top N shows more)\n", left_out,
			left_out == 1 ? "" : "s", fmt_bytes(&b, bytes));
}

static const char *verdict_color(const struct text *t, enum verdict v)
{
	switch (v) {
	case VERDICT_LEAK:
		return color(t, RED BOLD);
	case VERDICT_GROWING:
		return color(t, YELLOW);
	case VERDICT_STABLE:
	case VERDICT_YOUNG:
		return "";
	}
	return "";
}

/* "@app.lua:12" is a file, which people write without the mark. */
static void put_where(const struct text *t, const struct report_site *s)
{
	if (!s->frame.lua) {
		fputs("(no Lua code on the stack)", t->out);
		return;
	}
	put_escaped(t, fmt_chunk(s->frame.lua));
	if (s->frame.name) {
		fputs(" in ", t->out);
		put_escaped(t, s->frame.name);
	}
	if (s->frame.approx)
		fputs("  (line approximate)", t->out);
}

/* n: of how many states it is the sum; many_states: there is a column for that. */
static void write_site(const struct text *t, const struct report_site *s, size_t n,
		       bool many_states)
{
	struct fmtbuf a, b, c, d;
	char growth[64] = "", state[40];

	if (s->growth_bytes_per_s >= 1)
		snprintf(growth, sizeof(growth), "%s/s",
			 fmt_signed_bytes(&d, (int64_t)s->growth_bytes_per_s));
	fprintf(t->out, "  %s%-8s%s %10s %9s %12s %6" PRIu32 "  %-8s ", verdict_color(t, s->verdict),
		verdict_name(s->verdict), t->opt->color ? RESET : "", fmt_bytes(&a, s->live_bytes),
		fmt_count(&b, s->live_blocks), growth, s->survived_cycles, s->kind);
	snprintf(state, sizeof(state), n > 1 ? "%s of them" : "%s", fmt_count(&c, n > 1 ? n : s->state));
	if (many_states)
		fprintf(t->out, "%12s ", state);
	put_where(t, s);
	fputc('\n', t->out);
}

#define CALLERS_SHOWN 3

/* Who made the line allocate: the nearest callers on its biggest stack. */
static void write_callers(const struct text *t, const struct report_site *s)
{
	const struct report_stack *st = s->n_stacks ? &t->r->stacks.v[s->first_stack] : NULL;
	uint32_t i = st && s->frame.lua ? report_frames_above(t->r, st) + 1 : 0, shown = 0;
	char label[1400], brief[1400];

	for (; st && i && i < st->n && shown < CALLERS_SHOWN; i++) {
		const struct report_frame *f = report_frame_at(t->r, st, i);

		if (!f->lua)
			continue;
		flame_frame_text(f, label, sizeof(label));
		flame_short_text(label, brief, sizeof(brief));
		fprintf(t->out, "%s%s", shown ? "" : color(t, DIM), shown ? " < " : "           from ");
		put_escaped(t, brief);
		shown++;
	}
	if (!shown)
		return;
	if (s->n_stacks > 1)
		fprintf(t->out, " and %u other ways", s->n_stacks - 1);
	fprintf(t->out, "%s\n", color(t, RESET));
}

/* The same line in several states is one row. */
static void write_sites(const struct text *t)
{
	const struct report *r = t->r;
	struct sites_alike alike;
	size_t shown = 0;
	bool many = false;

	if (!r->active || sites_alike(r, &alike))
		return;
	vec_each(s, &r->sites)
		many |= s->state != r->sites.v[0].state;
	if (alike.v.n)
		fprintf(t->out, "\n  %s%-8s %10s %9s %12s %6s  %-8s %s%s%s\n", color(t, BOLD), "verdict",
			"live", "blocks", "growth", "cycles", "kind", many ? "      states " : "", "where",
			color(t, RESET));
	else
		fputs("\nnothing allocated since the attach is live\n", t->out);
	vec_each(s, &alike.v) {
		if (r->top && shown == r->top)
			break;
		write_site(t, &s->sum, s->n, many);
		write_callers(t, &s->sum);
		shown++;
	}
	if (shown < alike.v.n)
		fprintf(t->out, "  … %zu more places (-T, --top N shows more)\n", alike.v.n - shown);
	sites_alike_deinit(&alike);
}

/* What a file did not keep; true when there was something. */
static bool write_file_limits(const struct text *t)
{
	struct fmtbuf a;

	if (t->r->left_out)
		fprintf(t->out, "%snot kept%s  %s states and lines had no room in the file (raise --max-size)\n",
			color(t, YELLOW), color(t, RESET), fmt_count(&a, t->r->left_out));
	if (t->r->detail_dropped)
		fprintf(t->out, "%snot kept%s  the lines of this moment: older than %s, given up for "
			"--max-size\n", color(t, YELLOW), color(t, RESET),
			fmt_rfc3339(&a, t->r->detail_since_ns));
	return t->r->left_out || t->r->detail_dropped;
}

/* "No leaks" means nothing without what was not seen beside it. */
static void write_completeness(const struct text *t)
{
	const struct report *r = t->r;
	struct fmtbuf a, b;
	bool lost = false;

	if (!r->active)
		return;
	fprintf(t->out, "\n%s allocator calls seen", fmt_count(&a, r->events));
	if (r->ns_per_event > 0)
		fprintf(t->out, ", about %.0f ns each: %.1f %% of one core", r->ns_per_event, r->cpu_pct);
	fputc('\n', t->out);
	for (unsigned int i = 0; i < LMT_STAT_MAX; i++) {
		if (!r->lost[i])
			continue;
		lost = true;
		fprintf(t->out, "%slost%s  %s %s\n", color(t, YELLOW), color(t, RESET),
			fmt_count(&a, r->lost[i]), report_lost_text(i));
	}
	vec_each(s, &r->blind_spots) {
		lost = true;
		fprintf(t->out, "%snot seen%s  ", color(t, YELLOW), color(t, RESET));
		put_escaped(t, *s);
		fputc('\n', t->out);
	}
	lost |= write_file_limits(t);
	if (r->windows) {
		lost = true;
		fprintf(t->out, "%sseen in windows%s  %.1f %% of the allocator calls; to see all of them would "
			"cost about %.0f %% (-m exact)\n", color(t, YELLOW), color(t, RESET), r->seen_pct,
			r->full_pct);
	}
	if (!lost)
		fputs("nothing was lost: every call since the attach is accounted for\n", t->out);
	if (r->predates_attach_bytes)
		fprintf(t->out, "%s of the heaps predate the attach: their lines are not known\n",
			fmt_bytes(&b, r->predates_attach_bytes));
	if (r->end_reason)
		fprintf(t->out, "%s\n", r->end_reason);
}

void text_write(const struct report *r, const struct format_options *opt, FILE *out)
{
	struct text t = { .r = r, .opt = opt, .out = out };

	if (!opt->first)
		fputc('\n', out);
	write_title(&t);
	write_advice(&t);
	write_stalls(&t);
	findings_write_text(r, opt, out);
	write_states(&t);
	write_sites(&t);
	heaps_write_text(r, opt, out);
	write_completeness(&t);
}
