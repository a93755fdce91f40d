/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <math.h>

#include "base/fmt.h"

#define SHOWN_BYTES (1u << 20) /* smaller parts are summed up as other ones */
#define SHOWN_SHARE 50
#define RATE_BYTES 1024        /* a second: less is no growth that people care for… */
#define RATE_SHARE 1e-4        /* …nor is that part of the whole a second… */
#define RATE_PART 0.02         /* …or that of what the whole grows by */

/*
 * The rest of the contract's parts: what they have in common is that Lua and malloc() are not in
 * them.
 */
static const enum memory_part others[] = { MEMORY_OVERHEAD, MEMORY_CODE, MEMORY_STACK, MEMORY_FILE,
					   MEMORY_SHARED, MEMORY_REST };
#define N_OTHERS (sizeof(others) / sizeof(others[0]))

static bool grows(const struct report_memory *m, double rate)
{
	return fabs(rate) >= RATE_BYTES && fabs(rate) >= RATE_SHARE * (double)m->now.rss &&
	       fabs(rate) >= RATE_PART * fabs(m->growth[MEMORY_MAX]);
}

double memory_limit_in_s(const struct report_memory *m)
{
	double rate = m->growth[MEMORY_MAX];

	return m->limit.what && rate > 0 && grows(m, rate) ? (double)m->limit.left / rate : 0;
}

static void put_duration(double s, FILE *out)
{
	if (s < 120)
		fprintf(out, "%.0f s", s);
	else if (s < 7200)
		fprintf(out, "%.0f min", s / 60);
	else if (s < 48 * 3600.0)
		fprintf(out, "%.0f h", s / 3600);
	else
		fprintf(out, "%.0f days", s / 86400);
}

static void put_rate(double rate, FILE *out)
{
	struct fmtbuf b;

	fprintf(out, " (%s/s)", fmt_signed_bytes(&b, (int64_t)rate));
}

static void put_part(const struct report_memory *m, const char *text, uint64_t bytes, double rate,
		     FILE *out)
{
	struct fmtbuf b;

	fprintf(out, " · %s %s", text, fmt_bytes(&b, bytes));
	if (grows(m, rate))
		put_rate(rate, out);
}

static bool is_shown(const struct report_memory *m, enum memory_part p)
{
	bool always = p == MEMORY_NATIVE || (p == MEMORY_FREE && m->free_known);

	return always || m->now.part[p] >= SHOWN_BYTES ||
	       m->now.part[p] > m->now.rss / SHOWN_SHARE ||
	       (grows(m, m->growth[p]) && m->now.part[p]);
}

static void write_parts(const struct report_memory *m, FILE *out)
{
	uint64_t small = 0;
	double rate = 0;
	struct fmtbuf b;

	fprintf(out, "  where     Lua %s", fmt_bytes(&b, m->now.part[MEMORY_LUA]));
	if (grows(m, m->growth[MEMORY_LUA]))
		put_rate(m->growth[MEMORY_LUA], out);
	for (unsigned int p = MEMORY_LUA + 1; p < MEMORY_REST; p++) {
		if (is_shown(m, p)) {
			put_part(m, memory_part_text(p), m->now.part[p], m->growth[p], out);
			continue;
		}
		small += m->now.part[p];
		rate += m->growth[p];
	}
	put_part(m, memory_part_text(MEMORY_REST), small + m->now.part[MEMORY_REST],
		 rate + m->growth[MEMORY_REST], out);
	fputc('\n', out);
}

void memory_write_text(const struct report_memory *m, const char *bold, const char *reset,
		       FILE *out)
{
	double end = memory_limit_in_s(m), rate = m->growth[MEMORY_MAX];
	struct fmtbuf a, b;

	if (!m->known)
		return;
	fprintf(out, "%smemory%s    %s resident", bold, reset, fmt_bytes(&a, m->now.rss));
	if (!m->growth_known)
		fputs(", not watched long enough to say whether it grows", out);
	else if (grows(m, rate))
		fprintf(out, ", %s by %s/s", rate > 0 ? "grows" : "shrinks", fmt_bytes(&b, (uint64_t)fabs(rate)));
	else
		fputs(", does not grow", out);
	if (m->limit.what)
		fprintf(out, "; limit %s (%s), %s left", fmt_bytes(&a, m->limit.bytes), m->limit.what,
			fmt_bytes(&b, m->limit.left));
	if (end > 0) {
		fputs(", reached in ", out);
		put_duration(end, out);
	}
	fputc('\n', out);
	write_parts(m, out);
}

void memory_write_json(const struct report_memory *m, struct jsonw *w)
{
	uint64_t other = 0;

	if (!m->known)
		return;
	jsonw_u64(w, "rss_bytes", m->now.rss);
	if (m->growth_known)
		jsonw_double(w, "rss_growth_bytes_per_s", m->growth[MEMORY_MAX]);
	for (unsigned int i = 0; i < N_OTHERS; i++)
		other += m->now.part[others[i]];
	jsonw_u64(w, "lua_bytes", m->now.part[MEMORY_LUA]);
	jsonw_u64(w, "lua_garbage_bytes", m->now.part[MEMORY_GARBAGE]);
	if (m->free_known)
		jsonw_u64(w, "allocator_free_bytes", m->now.part[MEMORY_FREE]);
	jsonw_u64(w, "native_bytes", m->now.part[MEMORY_NATIVE]);
	if (m->growth_known)
		jsonw_double(w, "native_growth_bytes_per_s", m->growth[MEMORY_NATIVE]);
	jsonw_u64(w, "other_bytes", other);
	for (unsigned int i = 0; i < N_OTHERS; i++)
		if (m->now.part[others[i]])
			jsonw_u64(w, memory_part_key(others[i]), m->now.part[others[i]]);
	if (m->limit.what) {
		jsonw_u64(w, "memory_limit_bytes", m->limit.bytes);
		jsonw_str(w, "memory_limit", m->limit.what);
	}
	if (memory_limit_in_s(m) > 0)
		jsonw_double(w, "limit_reached_in_s", memory_limit_in_s(m));
}
