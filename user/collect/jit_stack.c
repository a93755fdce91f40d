/* SPDX-License-Identifier: MIT */
/*
 * A snapshot is a list of (slot, flags, reference): which value of the trace goes into which slot
 * of the Lua stack. A frame takes two entries in GC64: its function, and its link, which is a
 * constant (the caller's pc, or a distance and a type). GC32 has one entry for the function, and
 * the links stand behind the entries, innermost first, after the pc.
 * (lj_snap.c: snapshot_slots, snapshot_framelinks; lj_jit.h, LuaJIT v2.1)
 */
#include "jit_stack.h"

#define MAX_FRAMES 60
#define SNAP_FRAME 0x010000u
#define SNAP_SLOT(e) ((e) >> 24)
#define REF_BIAS 0x8000u
#define LINK_TYPE 7
#define LINK_CONT 2
#define LINK_VARG 3

struct inlined {
	uint64_t fn;   /* function object; 0: not a constant of the trace */
	uint64_t link;
	uint64_t cont_pc; /* of a continuation frame */
};

struct reader {
	const struct lj *p;
	uint64_t map, ir;
	uint64_t nent;
	uint32_t e[256];
};

/* The 64-bit constant an entry refers to; false when it is none. */
static bool constant(const struct reader *r, uint32_t entry, unsigned int size, uint64_t *ret)
{
	uint64_t ref = entry & 0xffff;

	return ref && ref < REF_BIAS &&
	       memread_uint(r->p->mem, r->ir + 8 * (ref + (r->p->ref == 8)), size, ret);
}

static bool open_snapshot(struct reader *r, const struct jit_place *place)
{
	const struct lmt_layout *l = r->p->l;
	uint64_t snaps, map, mapofs, at;

	if (!lj_get(r->p, place->trace, l->tr_snap, &snaps) ||
	    !lj_get(r->p, place->trace, l->tr_snapmap, &map) ||
	    !lj_get(r->p, place->trace, l->tr_ir, &r->ir))
		return false;
	at = snaps + (uint64_t)l->size_snap.off * place->snap;
	if (!lj_get(r->p, at, l->snap_mapofs, &mapofs) || !lj_get(r->p, at, l->snap_nent, &r->nent) ||
	    r->nent > sizeof(r->e) / sizeof(r->e[0]))
		return false;
	r->map = map + 4 * mapofs;
	return memread_exact(r->p->mem, r->map, r->e, r->nent * sizeof(r->e[0]));
}

/* Two entries a frame. Outermost first. */
static size_t frames_fr2(const struct reader *r, struct inlined *in)
{
	size_t n = 0;

	for (uint64_t i = 0; i < r->nent && n < MAX_FRAMES; i++) {
		struct inlined f = { 0 };

		if (!(r->e[i] & SNAP_FRAME) || SNAP_SLOT(r->e[i]) < 2 ||
		    !constant(r, r->e[i], 8, &f.link))
			continue;
		for (uint64_t k = i; k-- > 0 && SNAP_SLOT(r->e[k]) + 3 >= SNAP_SLOT(r->e[i]);) {
			if (SNAP_SLOT(r->e[k]) + 1 == SNAP_SLOT(r->e[i]))
				constant(r, r->e[k], 8, &f.fn);
			else if (SNAP_SLOT(r->e[k]) + 2 == SNAP_SLOT(r->e[i]))
				constant(r, r->e[k], 8, &f.cont_pc);
		}
		in[n++] = f;
	}
	return n;
}

/* One entry a frame; the links are stored apart, after the pc, innermost first. */
static size_t frames_fr1(const struct reader *r, struct inlined *in)
{
	uint64_t link_at = r->map + 4 * r->nent + 4;
	size_t n = 0;

	for (uint64_t i = 0; i < r->nent && n < MAX_FRAMES; i++) {
		struct inlined f = { 0 };

		if (!(r->e[i] & SNAP_FRAME) || !SNAP_SLOT(r->e[i]))
			continue;
		constant(r, r->e[i], 4, &f.fn);
		in[n++] = f;
	}
	for (size_t i = n; i-- > 0; link_at += 4) {
		if (!memread_uint(r->p->mem, link_at, 4, &in[i].link))
			return 0;
		if ((in[i].link & LINK_TYPE) == LINK_CONT) {
			link_at += 4;
			memread_uint(r->p->mem, link_at, 4, &in[i].cont_pc);
		}
	}
	return n;
}

/* Where the frame below goes on, as far as the link of the one above tells; else 0. */
static uint64_t caller_pc(const struct inlined *f)
{
	if (!(f->link & 3))
		return f->link;
	return (f->link & LINK_TYPE) == LINK_CONT ? f->cont_pc : 0;
}

static uint64_t lua_frame(uint64_t proto)
{
	return proto | (uint64_t)LMT_FRAME_LUA << 48;
}

/* fn 0: the trace is not tied to one closure, but the bytecode tells the prototype. */
static uint64_t frame_of(const struct lj *p, uint64_t fn, uint64_t pc)
{
	uint64_t proto = lj_proto_of(p, fn);

	if (proto || (!fn && jit_proto_at(p, pc, &proto)))
		return lua_frame(proto);
	return fn ? fn | (uint64_t)LMT_FRAME_BUILT_IN << 48 : 0;
}

size_t jit_stack(const struct lj *p, const struct jit_place *place, struct lmt_frame *frames,
		 size_t max, uint64_t *base_pc_ret)
{
	struct reader r = { .p = p };
	struct inlined in[MAX_FRAMES];
	uint64_t pc = place->pc, at;
	bool below = place->caller_pc != 0;
	size_t n, out = 0;

	*base_pc_ret = 0;
	if (!place->trace || !open_snapshot(&r, place))
		return 0;
	n = p->ref == 8 ? frames_fr2(&r, in) : frames_fr1(&r, in);
	if (below && max) {
		frames[out++] = (struct lmt_frame){ lua_frame(place->proto), pc };
		pc = place->caller_pc;
	}
	for (size_t i = n; i-- > 0 && out < max;) {
		if ((in[i].link & LINK_TYPE) == LINK_VARG && i) /* a copy of the frame below */
			continue;
		if (!out)
			at = lua_frame(place->proto);
		else
			at = frame_of(p, in[i].fn, pc);
		if (at)
			frames[out++] = (struct lmt_frame){ at, pc };
		pc = caller_pc(&in[i]);
	}
	*base_pc_ret = out ? pc : 0;
	return out;
}
