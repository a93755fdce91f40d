/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "page.h"
#include "xml.h"

#define LINES_SHOWN 200
#define STATES_SHOWN 100

/* A cell that sorts by its number. */
static void put_number(uint64_t value, const char *text, FILE *out)
{
	fprintf(out, "<td class=\"n\" data-v=\"%" PRIu64 "\">%s</td>", value, text);
}

static void put_bytes(uint64_t bytes, FILE *out)
{
	struct fmtbuf b;

	put_number(bytes, fmt_bytes(&b, bytes), out);
}

static void put_count(uint64_t n, FILE *out)
{
	struct fmtbuf b;

	put_number(n, fmt_count(&b, n), out);
}

void page_open_table(const char *const *heads, FILE *out)
{
	fputs("<div class=\"scroll\"><table class=\"sorts\"><thead><tr>", out);
	for (; *heads; heads++) {
		bool number = !strncmp(*heads, "n:", 2);

		fprintf(out, "<th scope=\"col\"%s><button type=\"button\">%s</button></th>",
			number ? " class=\"n\"" : "", *heads + (number ? 2 : 0));
	}
	fputs("</tr></thead><tbody>\n", out);
}

void page_close_table(size_t all, size_t shown, const char *what, FILE *out)
{
	fputs("</tbody></table></div>\n", out);
	if (all > shown)
		fprintf(out, "<p class=\"dim\">%zu more %s are in the file.</p>\n", all - shown, what);
}

static void put_line(const struct report *r, const struct report_site *s, FILE *out)
{
	struct fmtbuf b;
	bool grows = s->growth_bytes_per_s >= 1;

	fprintf(out, "<tr class=\"%s\"><td data-v=\"%d\"><span class=\"verdict\">%s</span></td>",
		verdict_name(s->verdict), (int)s->verdict, verdict_name(s->verdict));
	put_bytes(s->live_bytes, out);
	put_count(s->live_blocks, out);
	fprintf(out, "<td class=\"n\" data-v=\"%.0f\">%s%s</td>", s->growth_bytes_per_s,
		grows ? fmt_signed_bytes(&b, (int64_t)s->growth_bytes_per_s) : "", grows ? "/s" : "");
	put_count(s->survived_cycles, out);
	put_bytes(s->alloc_bytes, out);
	fputs("<td>", out);
	xml_put(s->kind, out);
	fprintf(out, "</td><td class=\"n\" data-v=\"%" PRIu32 "\">", s->state);
	if (r->processes.n > 1)
		fprintf(out, "%d/", s->pid);
	fprintf(out, "%" PRIu32 "</td><td class=\"where\">", s->state);
	page_put_frame(&s->frame, out);
	fputs("</td></tr>\n", out);
}

void page_put_lines(const struct report *r, const struct page_source *from, FILE *out)
{
	static const char *const heads[] = { "verdict", "n:live", "n:blocks", "n:growth", "n:cycles",
					     "n:allocated", "kind", "n:state", "where", NULL };
	static const char *const views[] = { "v_sites", "v_site_series", NULL };
	size_t n = 0;

	page_open("lines", "Lines of Lua that allocate", out);
	fputs("<input type=\"search\" class=\"filter\" placeholder=\"filter lines\" "
	      "aria-label=\"filter lines\">\n", out);
	page_open_table(heads, out);
	vec_each(s, &r->sites)
		if (n++ < LINES_SHOWN)
			put_line(r, s, out);
	page_close_table(r->sites.n, LINES_SHOWN, "lines", out);
	page_close(from, views, out);
}

struct type {
	const char *kind;
	uint64_t live, blocks, old, allocs, bytes;
};

static int biggest_first(const void *pa, const void *pb)
{
	const struct type *a = pa, *b = pb;

	return a->live == b->live ? strcmp(a->kind, b->kind) : a->live > b->live ? -1 : 1;
}

#define MAX_TYPES 32 /* the VMs have about a dozen kinds; a forged file may say more */

static size_t sum_types(const struct report *r, struct type *types)
{
	size_t n = 0;

	vec_each(s, &r->sites) {
		size_t i = 0;

		while (i < n && strcmp(types[i].kind, s->kind))
			i++;
		if (i == MAX_TYPES)
			continue;
		if (i == n)
			types[n++] = (struct type){ .kind = s->kind };
		types[i].live += s->live_bytes;
		types[i].blocks += s->live_blocks;
		types[i].old += s->old_bytes;
		types[i].allocs += s->allocs;
		types[i].bytes += s->alloc_bytes;
	}
	if (n)
		qsort(types, n, sizeof(*types), biggest_first);
	return n;
}

void page_put_types(const struct report *r, const struct page_source *from, FILE *out)
{
	static const char *const heads[] = { "kind", "n:live", "share", "n:blocks", "n:old, survived GC",
					     "n:allocations", "n:allocated", NULL };
	static const char *const views[] = { "v_sites", NULL };
	struct type types[MAX_TYPES];
	size_t n = sum_types(r, types);
	uint64_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += types[i].live;
	page_open("types", "Types allocated since the attach", out);
	page_open_table(heads, out);
	for (size_t i = 0; i < n; i++) {
		double share = all ? 100.0 * (double)types[i].live / (double)all : 0;

		fputs("<tr><td>", out);
		xml_put(types[i].kind, out);
		fputs("</td>", out);
		put_bytes(types[i].live, out);
		fprintf(out, "<td data-v=\"%.3f\"><meter max=\"100\" value=\"%.1f\">%.1f %%</meter> %.1f %%</td>",
			share, share, share, share);
		put_count(types[i].blocks, out);
		put_bytes(types[i].old, out);
		put_count(types[i].allocs, out);
		put_bytes(types[i].bytes, out);
		fputs("</tr>\n", out);
	}
	page_close_table(0, 0, "", out);
	page_close(from, views, out);
}

static void put_state(const struct report *r, const struct report_state *s, FILE *out)
{
	struct fmtbuf b;

	fprintf(out, "<tr><td class=\"n\" data-v=\"%" PRIu32 "\">", s->state);
	if (r->processes.n > 1)
		fprintf(out, "%d/", s->pid);
	fprintf(out, "%" PRIu32 "</td><td>", s->state);
	xml_put(s->label ? s->label : s->state ? "" : "calls of no known state", out);
	fputs(s->closed_realtime_ns ? " <small>closed</small>" : "", out);
	fputs("</td>", out);
	put_number(s->heap_known ? s->heap_bytes : 0, s->heap_known ? fmt_bytes(&b, s->heap_bytes) : "",
		   out);
	put_bytes(s->live_bytes, out);
	put_count(s->live_blocks, out);
	put_count(s->allocs, out);
	put_count(s->frees, out);
	put_count(s->failures, out);
	put_count(s->gc_cycles, out);
	fputs("<td>", out);
	xml_put(s->allocator ? s->allocator : "", out);
	fputs("</td></tr>\n", out);
}

void page_put_states(const struct report *r, const struct page_source *from, FILE *out)
{
	static const char *const heads[] = { "n:state", "label", "n:heap", "n:live", "n:blocks",
					     "n:allocations", "n:frees", "n:refused", "n:GC cycles",
					     "allocator", NULL };
	static const char *const views[] = { "v_states", NULL };
	size_t n = 0;

	page_open("states", "States", out);
	page_open_table(heads, out);
	vec_each(s, &r->states)
		if (n++ < STATES_SHOWN)
			put_state(r, s, out);
	page_close_table(r->states.n, STATES_SHOWN, "states", out);
	page_close(from, views, out);
}

static void put_function(const struct report_function *f, FILE *out)
{
	fputs("<tr><td><code>", out);
	xml_put(f->name, out);
	fprintf(out, "</code></td><td class=\"%s\">%s</td><td>", f->probed ? "yes" : "dim",
		f->probed ? "probed" : "no");
	if (f->placed) {
		fprintf(out, "<code>+0x%" PRIx64, f->site_offset);
		fputs(" ", out);
		xml_put(f->insn ? f->insn : "", out);
		fprintf(out, "</code>%s", f->emulated ? "" : " <small>single-stepped</small>");
	}
	fputs("</td><td>", out);
	xml_put(f->probed || !f->why_not ? f->how ? f->how : "" : f->why_not, out);
	fputs("</td></tr>\n", out);
}

static void put_runtime(const struct report_runtime *rt, FILE *out)
{
	static const char *const heads[] = { "function", "probe", "where", "found how, or why not", NULL };

	fputs("<details class=\"card runtime\"><summary><b>", out);
	xml_put(rt->title, out);
	fputs("</b> ", out);
	if (rt->variant) {
		xml_put(rt->variant, out);
		fputs(" ", out);
	}
	fputs("in <code>", out);
	xml_put(rt->module, out);
	fprintf(out, "</code> <small>process %d</small></summary>\n<p class=\"dim\">", rt->pid);
	if (rt->build_id) {
		fputs("build-id <code>", out);
		xml_put(rt->build_id, out);
		fputs("</code> · ", out);
	}
	if (rt->layout) {
		fputs("layout ", out);
		xml_put(rt->layout, out);
		fputs(" · ", out);
	}
	xml_put(rt->evidence ? rt->evidence : "", out);
	fputs("</p>\n", out);
	if (rt->functions.n) {
		page_open_table(heads, out);
		vec_each(f, &rt->functions)
			put_function(f, out);
		page_close_table(0, 0, "", out);
	}
	fputs("</details>\n", out);
}

void page_put_runtimes(const struct report *r, const struct page_source *from, FILE *out)
{
	static const char *const views[] = { "v_runtimes", "v_plan", "v_processes", "v_maps", NULL };
	size_t n = 0;

	page_open("runtimes", "Runtimes and probe plan", out);
	vec_each(rt, &r->runtimes)
		if (n++ < 50)
			put_runtime(rt, out);
	page_close(from, views, out);
}
