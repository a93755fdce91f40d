/* SPDX-License-Identifier: MIT */
/* Lines of PUC Lua 5.1 to 5.5 (ldebug.c: luaG_getfuncline, currentline). */
#include "frames.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "names.h"

#define MAX_CODE (1u << 26)
#define MAX_CHUNK 1000 /* bytes of a chunk name looked at */
#define ABSLINE (-128) /* in lineinfo: look into abslineinfo */

struct puc {
	const struct memread *mem;
	const struct lmt_layout *l;
	uint64_t proto;
};

static bool get(const struct puc *p, uint64_t base, struct lmt_cell c, uint64_t *ret)
{
	return memread_uint(p->mem, base + (uint64_t)c.off, c.size, ret);
}

/* 5.4+: the last {pc, line} entry at or before the instruction; false: none, begin at the start. */
static bool last_absolute(const struct puc *p, uint64_t at, uint64_t *pc, uint64_t *line)
{
	uint64_t base, n, lo = 0, hi;

	if (!get(p, p->proto, p->l->P_abslineinfo, &base) ||
	    !get(p, p->proto, p->l->P_sizeabslineinfo, &n) || n > MAX_CODE)
		return false;
	for (hi = n; lo < hi;) {
		uint64_t mid = lo + (hi - lo) / 2, v;

		if (!memread_uint(p->mem, base + 8 * mid, 4, &v))
			return false;
		if (v <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && memread_uint(p->mem, base + 8 * (lo - 1), 4, pc) &&
	       memread_uint(p->mem, base + 8 * (lo - 1) + 4, 4, line);
}

/* 5.4+: signed differences from an absolute entry, at most a few hundred of them apart. */
static bool line_by_deltas(const struct puc *p, uint64_t lineinfo, uint64_t at, uint64_t *ret)
{
	uint64_t line, from = 0, abs_pc, abs_line, len;
	auto_free int8_t *delta = NULL;

	if (!get(p, p->proto, p->l->P_line, &line))
		return false;
	if (last_absolute(p, at, &abs_pc, &abs_line)) {
		line = abs_line;
		from = abs_pc + 1;
	}
	len = at + 1 - from;
	delta = malloc(len ? len : 1);
	if (!delta || !memread_exact(p->mem, lineinfo + from, delta, len))
		return false;
	for (uint64_t i = 0; i < len; i++)
		if (delta[i] != ABSLINE)
			line = line + (uint64_t)(int64_t)delta[i];
	*ret = line;
	return true;
}

static bool line_of(const struct puc *p, uint64_t pc, uint64_t *ret)
{
	uint64_t code, n, lineinfo, n_lines, at;

	if (!get(p, p->proto, p->l->P_code, &code) || !get(p, p->proto, p->l->P_sizecode, &n) ||
	    !get(p, p->proto, p->l->P_lineinfo, &lineinfo) ||
	    !get(p, p->proto, p->l->P_sizelineinfo, &n_lines))
		return false;
	if (pc < code || n > MAX_CODE || (pc - code) / 4 > n)
		return false;
	at = (pc - code) / 4;
	at = at ? at - 1 : 0; /* the saved pc is that of the next instruction */
	if (!lineinfo || at >= n_lines)
		return false; /* stripped by string.dump or luac -s */
	if (!layout_has(p->l->P_abslineinfo))
		return memread_uint(p->mem, lineinfo + 4 * at, 4, ret);
	return line_by_deltas(p, lineinfo, at, ret);
}

bool frames_puc(const struct memread *mem, const struct lmt_layout *l, const struct lmt_site *site,
		struct strpool *pool, struct frame *ret)
{
	struct puc p = { .mem = mem, .l = l, .proto = site->proto };
	char chunk[MAX_CHUNK];
	uint64_t source, line, defined;

	if (!layout_has(l->P_source) || !layout_has(l->P_code))
		return false; /* skynet up to 1.2 keeps them elsewhere */
	if (!get(&p, p.proto, l->P_source, &source) || !source ||
	    !puc_string(mem, l, source, chunk, sizeof(chunk)) || !get(&p, p.proto, l->P_line, &defined))
		return false;
	ret->approx = site->flags & LMT_SITE_STALE;
	if (!line_of(&p, site->pc, &line) || !line) {
		line = defined; /* 0, a main chunk: then no line is shown */
		ret->approx = true;
	}
	ret->where = frames_text(pool, chunk, line);
	ret->line_defined = (uint32_t)defined;
	if (!defined)
		ret->name = strpool_add(pool, "main chunk");
	return ret->where != 0;
}
