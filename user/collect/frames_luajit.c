/* SPDX-License-Identifier: MIT */
/*
 * Lines of LuaJIT, in the interpreter and inside traces (lj_debug.c: lj_debug_line; lj_snap.c).
 *
 * In machine code nothing tells the bytecode's pc. The return address into the trace gives its
 * offset there, the last snapshot at or before that offset gives the pc that an exit would resume
 * at, and the snapshot's frame entries give the function, inlined callees included. That is the
 * last safe point before the allocation: the function is right, the line may be an earlier one.
 */
#include "frames.h"

#include <string.h>

#define MAX_BYTECODE (1u << 26)
#define MAX_CHUNK 1000
#define MAX_TRACES (1u << 16)
#define MAX_SNAPS (1u << 16)
#define SNAP_FRAME 0x010000u /* a snapshot entry that holds a frame's function (lj_jit.h) */
#define GCT_FUNCTION 8

struct lj {
	const struct memread *mem;
	const struct lmt_layout *l;
	uint64_t g;
	unsigned int ref; /* bytes of a reference */
};

static bool get(const struct lj *p, uint64_t base, struct lmt_cell c, uint64_t *ret)
{
	return layout_has(c) && c.size && c.size <= 8 &&
	       memread_uint(p->mem, base + (uint64_t)c.off, c.size, ret);
}

/* True when the pc (of the next instruction) lies in the prototype. */
static bool proto_holds(const struct lj *p, uint64_t proto, uint64_t pc)
{
	uint64_t n, code = proto + (uint64_t)p->l->size_proto.off;

	return get(p, proto, p->l->P_sizecode, &n) && n <= MAX_BYTECODE && pc > code &&
	       pc <= code + 4 * n;
}

static bool line_of(const struct lj *p, uint64_t proto, uint64_t pc, uint64_t *ret)
{
	uint64_t code = proto + (uint64_t)p->l->size_proto.off, n, first, lines, info, delta, pos;
	unsigned int width;

	if (!get(p, proto, p->l->P_sizecode, &n) || !get(p, proto, p->l->P_line, &first) ||
	    !get(p, proto, p->l->P_numline, &lines) || !get(p, proto, p->l->P_lineinfo, &info) ||
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

	if (!get(p, proto, p->l->P_source, &name) || !get(p, name, p->l->S_len, &len))
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

	if (!chunk_of(p, proto, chunk, sizeof(chunk)) || !get(p, proto, p->l->P_line, &defined))
		return false;
	if (!pc || !line_of(p, proto, pc, &line)) {
		line = defined;
		ret->approx = true;
	}
	ret->where = frames_text(pool, chunk, line);
	if (!defined)
		ret->name = strpool_add(pool, "main chunk");
	return ret->where != 0;
}

/* The prototype of a function object, or 0. */
static uint64_t proto_of(const struct lj *p, uint64_t fn)
{
	uint64_t gct, ffid, pc;

	if (!memread_uint(p->mem, fn + p->ref + 1, 1, &gct) || gct != GCT_FUNCTION ||
	    !get(p, fn, p->l->fn_ffid, &ffid) || ffid != 0 || !get(p, fn, p->l->fn_pc, &pc))
		return 0;
	return pc - (uint64_t)p->l->size_proto.off;
}

/* The trace whose machine code the return address points into (behind a call); 0 none. */
static uint64_t trace_of(const struct lj *p, uint64_t pc)
{
	uint64_t J = p->g + (uint64_t)(int64_t)(p->l->GG_J.off - p->l->GG_G.off), refs, n;

	if (!layout_has(p->l->GG_J) || !get(p, J, p->l->J_trace, &refs) ||
	    !get(p, J, p->l->J_sizetrace, &n) || n > MAX_TRACES)
		return 0;
	for (uint64_t i = 1; i < n; i++) {
		uint64_t tr, mcode, size;

		if (!memread_uint(p->mem, refs + p->ref * i, p->ref, &tr))
			return 0;
		if (tr && get(p, tr, p->l->tr_mcode, &mcode) && get(p, tr, p->l->tr_szmcode, &size) &&
		    pc > mcode && pc - mcode <= size)
			return tr;
	}
	return 0;
}

/* The last snapshot whose machine code begins at or before the offset; its address or 0. */
static uint64_t snapshot_at(const struct lj *p, uint64_t tr, uint64_t mcode_off)
{
	uint64_t snaps, n, best = 0;

	if (!get(p, tr, p->l->tr_snap, &snaps) || !get(p, tr, p->l->tr_nsnap, &n) ||
	    n > MAX_SNAPS || !layout_has(p->l->snap_mcofs))
		return 0;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = snaps + (uint64_t)p->l->size_snap.off * i, ofs;

		if (!get(p, at, p->l->snap_mcofs, &ofs) || (ofs > mcode_off && i))
			break;
		best = at;
	}
	return best;
}

/*
 * The innermost function of a snapshot: the last frame entry refers to a constant of the trace
 * that is the function (GC64: in the IR slot behind it). What is no function of this pc is passed
 * over, so a wrong guess at the encoding finds nothing rather than something else.
 */
static uint64_t snapshot_proto(const struct lj *p, uint64_t tr, uint64_t map, uint64_t n, uint64_t pc)
{
	uint64_t ir, start;

	if (get(p, tr, p->l->tr_ir, &ir)) {
		for (uint64_t i = n; i-- > 0;) {
			uint64_t entry, fn, proto;

			if (!memread_uint(p->mem, map + 4 * i, 4, &entry))
				break;
			if (!(entry & SNAP_FRAME) ||
			    !memread_uint(p->mem, ir + 8 * ((entry & 0xffff) + (p->ref == 8)), p->ref,
					  &fn))
				continue;
			proto = proto_of(p, fn);
			if (proto && proto_holds(p, proto, pc))
				return proto;
		}
	}
	/* The trace's own frame is below the first entry. */
	if (get(p, tr, p->l->tr_startpt, &start) && proto_holds(p, start, pc))
		return start;
	return 0;
}

/* The place inside a trace; false when the trace is gone or has no offsets (before 2021). */
static bool show_trace(const struct lj *p, const struct lmt_site *site, struct strpool *pool,
		       struct frame *ret)
{
	uint64_t tr = site->pc ? trace_of(p, site->pc) : 0, mcode, snap, map, mapofs, nent, pc, proto;

	if (!tr || !get(p, tr, p->l->tr_mcode, &mcode))
		return false;
	ret->approx = true;
	if ((snap = snapshot_at(p, tr, site->pc - mcode)) &&
	    get(p, tr, p->l->tr_snapmap, &map) && get(p, snap, p->l->snap_mapofs, &mapofs) &&
	    get(p, snap, p->l->snap_nent, &nent) &&
	    memread_uint(p->mem, map + 4 * (mapofs + nent), p->ref, &pc)) {
		pc = (p->ref == 8 ? pc >> 8 : pc) + 4; /* the instruction the exit resumes at */
		proto = snapshot_proto(p, tr, map + 4 * mapofs, nent, pc);
		if (proto)
			return show(p, proto, pc, pool, ret);
	}
	return get(p, tr, p->l->tr_startpt, &proto) && get(p, tr, p->l->tr_startpc, &pc) &&
	       show(p, proto, pc + 4, pool, ret);
}

bool frames_luajit(const struct memread *mem, const struct lmt_layout *l, uint64_t g,
		   const struct lmt_site *site, struct strpool *pool, struct frame *ret)
{
	struct lj p = { .mem = mem, .l = l, .g = g, .ref = l->gc64.off ? 8 : 4 };

	if (!(site->flags & LMT_SITE_JIT))
		return show(&p, site->proto, site->pc, pool, ret);
	if (show_trace(&p, site, pool, ret))
		return true;
	ret->approx = true;
	return site->proto && show(&p, site->proto, 0, pool, ret);
}
