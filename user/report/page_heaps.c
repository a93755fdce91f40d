/* SPDX-License-Identifier: MIT */
/* What lay on the heaps, and who held it. */
#include <inttypes.h>
#include <string.h>

#include "base/fmt.h"
#include "page.h"
#include "xml.h"

#define STATES_SHOWN 8
#define OBJECTS_SHOWN 25
#define HOLDERS_SHOWN 12

/* registry → _LOADED.sessions → .by_token, each step a word of its own. */
static void put_path(const char *path, FILE *out)
{
	const char *arrow;

	fputs("<span class=\"path\">", out);
	for (; path && *path; path = arrow ? arrow + strlen(REPORT_ARROW) : NULL) {
		size_t len;
		char step[1400];

		arrow = strstr(path, REPORT_ARROW);
		len = arrow ? (size_t)(arrow - path) : strlen(path);
		len = len < sizeof(step) ? len : sizeof(step) - 1;
		memcpy(step, path, len);
		step[len] = '\0';
		fputs("<code>", out);
		xml_put(step, out);
		fprintf(out, "</code>%s", arrow ? "<i>→</i>" : "");
	}
	fputs("</span>", out);
}

static void put_bytes(uint64_t bytes, FILE *out)
{
	struct fmtbuf b;

	fprintf(out, "<td class=\"n\" data-v=\"%" PRIu64 "\">%s</td>", bytes, fmt_bytes(&b, bytes));
}

static void put_growth(const struct report_object *o, FILE *out)
{
	int64_t grown = (int64_t)(o->bytes - o->first_bytes);
	struct fmtbuf b;

	if (!o->first_known)
		fputs("<td class=\"n\"></td>", out);
	else
		fprintf(out, "<td class=\"n%s\" data-v=\"%" PRId64 "\">%s</td>",
			grown > 0 && (uint64_t)grown > o->bytes / 4 ? " grew" : "", grown,
			grown ? fmt_signed_bytes(&b, grown) : "0");
}

static void put_share(uint64_t part, uint64_t all, FILE *out)
{
	double share = all ? 100.0 * (double)part / (double)all : 0;

	fprintf(out, "<td data-v=\"%.3f\"><meter max=\"100\" value=\"%.1f\">%.1f %%</meter> %.1f %%</td>",
		share, share, share, share);
}

static void put_object(const struct report_census *c, const struct report_object *o, FILE *out)
{
	struct fmtbuf b;

	fputs("<tr><td>", out);
	xml_put(o->kind, out);
	fputs("</td>", out);
	put_bytes(o->bytes, out);
	put_share(o->bytes, c->held_bytes, out);
	put_growth(o, out);
	fprintf(out, "<td class=\"n\" data-v=\"%" PRIu64 "\">%s</td><td class=\"where\">", o->count,
		fmt_count(&b, o->count));
	if (o->origin) {
		fputs("<code class=\"origin\">", out);
		xml_put(o->origin + (*o->origin == '@'), out);
		fputs("</code> ", out);
	}
	put_path(o->path, out);
	fputs("</td></tr>\n", out);
}

/* A thousandth of the heap, or among the first few. */
static bool is_worth(uint64_t bytes, const struct report_census *c, size_t shown, size_t most)
{
	return shown < 3 || (shown < most && bytes >= c->held_bytes / 1000);
}

static void put_objects(const struct report *r, const struct report_census *c, FILE *out)
{
	static const char *const heads[] = { "kind", "n:bytes", "share", "n:since the first", "n:count",
					     "what, and who holds one of them", NULL };
	size_t n = 0, shown = 0;

	page_open_table(heads, out);
	vec_each(o, &r->objects) {
		if (o->pid != c->pid || o->state != c->state || o->dead)
			continue;
		n++;
		if (is_worth(o->bytes, c, shown, OBJECTS_SHOWN)) {
			put_object(c, o, out);
			shown++;
		}
	}
	page_close_table(n, shown, "types of objects", out);
}

static void put_holders(const struct report *r, const struct report_census *c, FILE *out)
{
	static const char *const heads[] = { "n:keeps alive", "share", "n:itself", "table", NULL };
	size_t n = 0, shown = 0;

	fputs("<h3 class=\"sub\">The tables that keep most alive</h3>\n", out);
	page_open_table(heads, out);
	vec_each(h, &r->holders) {
		if (h->pid != c->pid || h->state != c->state)
			continue;
		n++;
		if (!is_worth(h->retained_bytes, c, shown, HOLDERS_SHOWN))
			continue;
		shown++;
		fputs("<tr>", out);
		put_bytes(h->retained_bytes, out);
		put_share(h->retained_bytes, c->held_bytes, out);
		put_bytes(h->bytes, out);
		fputs("<td class=\"where\">", out);
		put_path(h->path, out);
		fputs("</td></tr>\n", out);
	}
	page_close_table(n, shown, "tables", out);
}

static void put_census(const struct report *r, const struct report_census *c, FILE *out)
{
	bool later = c->time_ns > r->end_realtime_ns;
	uint64_t ns = later ? c->time_ns - r->end_realtime_ns : r->end_realtime_ns - c->time_ns;
	struct fmtbuf a, b, d, e;

	fprintf(out, "<p><b>State %" PRIu32 "</b>", c->state);
	if (r->processes.n > 1)
		fprintf(out, " of process %d", c->pid);
	fprintf(out, ", %s %s: ", fmt_seconds(&a, ns), later ? "later" : "before the end");
	if (c->why_not) {
		fputs("not known, ", out);
		xml_put(c->why_not, out);
		fputs("</p>\n", out);
		return;
	}
	fprintf(out, "<b>%s</b> in %s objects that somebody holds, %s of garbage.",
		fmt_bytes(&b, c->held_bytes), fmt_count(&d, c->held_objects),
		fmt_bytes(&e, c->dead_bytes));
	if (c->pause_ns)
		fprintf(out, " <span class=\"dim\">The process was stopped for %.1f ms.</span>",
			(double)c->pause_ns / 1e6);
	fputs("</p>\n", out);
	put_objects(r, c, out);
	put_holders(r, c, out);
}

void page_put_heaps(const struct report *r, const struct page_source *from, FILE *out)
{
	static const char *const views[] = { "v_object_growth", "v_objects", "v_holders", "v_censuses",
					     NULL };
	size_t n = 0;

	if (!r->censuses.n)
		return;
	page_open("heaps", "On the heap, and who holds it", out);
	vec_each(c, &r->censuses)
		if (n++ < STATES_SHOWN)
			put_census(r, c, out);
	if (n > STATES_SHOWN)
		fprintf(out, "<p class=\"dim\">The heaps of %zu more states are in the file.</p>\n",
			n - STATES_SHOWN);
	page_close(from, views, out);
}

/* The most specific table that keeps at least half of the state's heap alive. */
static const struct report_holder *main_holder(const struct report *r,
					       const struct report_census *c)
{
	const struct report_holder *found = NULL;

	vec_each(h, &r->holders)
		if (h->pid == c->pid && h->state == c->state &&
		    h->retained_bytes > c->held_bytes / 2 &&
		    (!found || h->retained_bytes <= found->retained_bytes))
			found = h;
	return found;
}

void page_put_held(const struct report *r, pid_t pid, uint32_t state, FILE *out)
{
	vec_each(c, &r->censuses) {
		const struct report_holder *h = NULL;
		struct fmtbuf a, b;

		if (c->pid == pid && c->state == state && !c->why_not)
			h = main_holder(r, c);
		if (!h)
			continue;
		fprintf(out, "<p class=\"held\">%s of the %s on this heap hang on ",
			fmt_bytes(&a, h->retained_bytes), fmt_bytes(&b, c->held_bytes));
		put_path(h->path, out);
		fputs("</p>\n", out);
	}
}
