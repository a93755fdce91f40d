/* SPDX-License-Identifier: MIT */
/* Lines of LuaJIT, in the interpreter and inside traces (lj_debug.c: lj_debug_line, v2.1). */
#include "frames.h"

#include <string.h>

#include "jit_place.h"
#include "lj_read.h"

#define MAX_CHUNK 1000

static bool line_of(const struct lj *p, uint64_t proto, uint64_t pc, uint64_t *ret)
{
	uint64_t code = lj_code(p, proto), n, first, lines, info, delta, pos;
	unsigned int width;

	if (!lj_get(p, proto, p->l->P_sizecode, &n) || !lj_get(p, proto, p->l->P_line, &first) ||
	    !lj_get(p, proto, p->l->P_numline, &lines) || !lj_get(p, proto, p->l->P_lineinfo, &info) ||
	    !info || pc < code)
		return false;
	pos = (pc - code) / 4;
	if (pos > n)
		return false;
	pos = pos ? pos - 1 : 0;
	*ret = pos == n ? first + lines : first;
	if (pos == 0 || pos == n)
		return true;
	width = lines < 256 ? 1 : lines < 65536 ? 2 : 4;
	if (!memread_uint(p->mem, info + width * (pos - 1), width, &delta))
		return false;
	*ret = first + delta;
	return true;
}

static bool chunk_of(const struct lj *p, uint64_t proto, char *out, size_t size)
{
	uint64_t name, len;

	if (!lj_get(p, proto, p->l->P_source, &name) || !lj_get(p, name, p->l->S_len, &len))
		return false;
	if (len >= size)
		len = size - 1;
	if (!memread_exact(p->mem, name + (uint64_t)p->l->size_str.off, out, len))
		return false;
	out[len] = '\0';
	return true;
}

static bool show(const struct lj *p, uint64_t proto, uint64_t pc, struct strpool *pool,
		 struct frame *ret)
{
	char chunk[MAX_CHUNK];
	uint64_t line, defined;

	if (!chunk_of(p, proto, chunk, sizeof(chunk)) || !lj_get(p, proto, p->l->P_line, &defined))
		return false;
	if (!pc || !line_of(p, proto, pc, &line) || !line) {
		line = defined; /* 0, a main chunk: then no line is shown */
		ret->approx = true;
	}
	ret->where = frames_text(pool, chunk, line);
	ret->line_defined = (uint32_t)defined;
	if (!defined)
		ret->name = strpool_add(pool, "main chunk");
	return ret->where != 0;
}

bool frames_luajit(const struct memread *mem, const struct lmt_layout *l, uint64_t g, uint64_t block,
		   const struct lmt_site *site, struct strpool *pool, struct frame *ret)
{
	struct lj p = { .mem = mem, .l = l, .g = g, .ref = l->gc64.off ? 8 : 4 };
	struct jit_place place;

	if (!(site->flags & LMT_SITE_JIT))
		return show(&p, site->proto, site->pc, pool, ret);
	if (site->pc && jit_place(&p, site->pc, block, &place) &&
	    show(&p, place.proto, place.pc, pool, ret)) {
		ret->approx |= !place.certain;
		return true;
	}
	ret->approx = true;
	return site->proto && show(&p, site->proto, LMT_SITE_PC(site), pool, ret);
}
