/* SPDX-License-Identifier: MIT */
/*
 * A snapshot is a list of (slot, flags, reference): which value of the trace goes into which slot
 * of the Lua stack. A frame takes two entries in GC64: its function, and its link, which is a
 * constant (the caller's pc, or a distance and a type). GC32 has one entry for the function, and
 * the links stand behind the entries, innermost first, after the pc.
 * (lj_snap.c: snapshot_slots, snapshot_framelinks; lj_jit.h; lj_ir.h, LuaJIT v2.1)
 */
#include "jit_trace.h"

#define MAX_TRACES (1u << 16)
#define MAX_SNAPS (1u << 16)
#define MAX_TRACE_SNAPS 1000 /* twice what LuaJIT makes unless told otherwise… */
#define MAX_CONSTANTS 2000   /* …as here */
#define SNAP_FRAME 0x010000u
#define SNAP_SLOT(e) ((e) >> 24)
#define REF_BIAS 0x8000u /* below: constants (lj_ir.h) */
#define LINK_TYPE 7
#define LINK_CONT 2
#define LINK_VARG 3
#define SCAN_WORDS 256 /* bytecodes read at once, searching a function's header… */
#define SCAN_CHUNKS 64 /* …and how often */
#define IRT_TYPE 0x1f  /* of a constant of the trace (lj_ir.h) */
#define IRT_FUNC 8
#define IRT_POINTER 9
#define GCT_PROTO 7

struct reader {
	const struct lj *p;
	uint64_t map, ir;
	uint64_t nent;
	uint32_t e[256];
};

uint64_t jit_trace_at(const struct lj *p, uint64_t mcode_pc, uint64_t *mcode_ret)
{
	uint64_t J = p->g + (uint64_t)(int64_t)(p->l->GG_J.off - p->l->GG_G.off), refs, n;

	if (!layout_has(p->l->GG_J) || !lj_get(p, J, p->l->J_trace, &refs) ||
	    !lj_get(p, J, p->l->J_sizetrace, &n) || n > MAX_TRACES)
		return 0;
	for (uint64_t i = 1; i < n; i++) {
		uint64_t tr, mcode, size;

		if (!memread_uint(p->mem, refs + p->ref * i, p->ref, &tr))
			return 0;
		if (tr && lj_get(p, tr, p->l->tr_mcode, &mcode) &&
		    lj_get(p, tr, p->l->tr_szmcode, &size) && mcode_pc > mcode &&
		    mcode_pc - mcode <= size) {
			*mcode_ret = mcode;
			return tr;
		}
	}
	return 0;
}

bool jit_snap_at(const struct lj *p, uint64_t tr, uint64_t ofs, uint64_t *ret)
{
	uint64_t snaps, n;

	if (!lj_get(p, tr, p->l->tr_snap, &snaps) || !lj_get(p, tr, p->l->tr_nsnap, &n) || !n ||
	    n > MAX_SNAPS || !layout_has(p->l->snap_mcofs))
		return false;
	*ret = 0;
	for (uint64_t i = 1; i < n; i++) {
		uint64_t mcofs;

		if (!lj_get(p, snaps + (uint64_t)p->l->size_snap.off * i, p->l->snap_mcofs, &mcofs) ||
		    mcofs > ofs)
			break;
		*ret = i;
	}
	return true;
}

/*
 * The prototype that holds a bytecode, from the bytecode alone: its first one is a function
 * header, and the GCproto lies right before that. Found backwards and checked.
 */
bool jit_proto_at(const struct lj *p, uint64_t pc, uint64_t *proto_ret)
{
	int funcf = p->l->K_BC_FUNCF.off;
	uint32_t words[SCAN_WORDS];

	for (int chunk = 0; chunk < SCAN_CHUNKS && pc && layout_has(p->l->K_BC_FUNCF); chunk++) {
		pc -= sizeof(words);
		if (!memread_exact(p->mem, pc, words, sizeof(words)))
			return false;
		for (size_t i = SCAN_WORDS; i-- > 0;) {
			uint64_t proto = pc + 4 * i - (uint64_t)p->l->size_proto.off, gct;

			if ((uint8_t)words[i] < funcf || (uint8_t)words[i] > funcf + 7)
				continue;
			if (memread_uint(p->mem, proto + p->ref + 1, 1, &gct) && gct == GCT_PROTO &&
			    lj_proto_holds(p, proto, pc + 4 * i + 4)) {
				*proto_ret = proto;
				return true;
			}
		}
	}
	return false;
}

/* The 64-bit constant an entry refers to; false when it is none. */
static bool constant(const struct reader *r, uint32_t entry, unsigned int size, uint64_t *ret)
{
	uint64_t ref = entry & 0xffff;

	return ref && ref < REF_BIAS &&
	       memread_uint(r->p->mem, r->ir + 8 * (ref + (r->p->ref == 8)), size, ret);
}

static bool open_snapshot(struct reader *r, uint64_t tr, uint64_t i)
{
	const struct lmt_layout *l = r->p->l;
	uint64_t snaps, map, mapofs, at, n;

	if (!lj_get(r->p, tr, l->tr_nsnap, &n) || i >= n || !lj_get(r->p, tr, l->tr_snap, &snaps) ||
	    !lj_get(r->p, tr, l->tr_snapmap, &map) || !lj_get(r->p, tr, l->tr_ir, &r->ir))
		return false;
	at = snaps + (uint64_t)l->size_snap.off * i;
	if (!lj_get(r->p, at, l->snap_mapofs, &mapofs) || !lj_get(r->p, at, l->snap_nent, &r->nent) ||
	    r->nent > sizeof(r->e) / sizeof(r->e[0]))
		return false;
	r->map = map + 4 * mapofs;
	return memread_exact(r->p->mem, r->map, r->e, r->nent * sizeof(r->e[0]));
}

/* Two entries a frame. Outermost first. */
static size_t frames_fr2(const struct reader *r, struct jit_frame *in)
{
	size_t n = 0;

	for (uint64_t i = 0; i < r->nent && n < JIT_FRAMES; i++) {
		struct jit_frame f = { .slot = SNAP_SLOT(r->e[i]) };

		if (!(r->e[i] & SNAP_FRAME) || f.slot < 2 || !constant(r, r->e[i], 8, &f.link))
			continue;
		for (uint64_t k = i; k-- > 0 && SNAP_SLOT(r->e[k]) + 3 >= f.slot;) {
			if (SNAP_SLOT(r->e[k]) + 1 == f.slot)
				constant(r, r->e[k], 8, &f.fn);
			else if (SNAP_SLOT(r->e[k]) + 2 == f.slot)
				constant(r, r->e[k], 8, &f.cont_pc);
		}
		in[n++] = f;
	}
	return n;
}

/* One entry a frame; the links are stored apart, after the pc, innermost first. */
static size_t frames_fr1(const struct reader *r, struct jit_frame *in)
{
	uint64_t link_at = r->map + 4 * r->nent + 4;
	size_t n = 0;

	for (uint64_t i = 0; i < r->nent && n < JIT_FRAMES; i++) {
		struct jit_frame f = { .slot = SNAP_SLOT(r->e[i]) };

		if (!(r->e[i] & SNAP_FRAME) || !f.slot)
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

/* Where the trace is not tied to one closure, the bytecode itself tells whose it is. */
static bool innermost(const struct lj *p, uint64_t tr, struct jit_snap *s)
{
	uint64_t fn = s->n ? s->f[s->n - 1].fn : 0;

	s->proto = fn ? lj_proto_of(p, fn) : 0;
	if (s->proto && lj_proto_holds(p, s->proto, s->pc + 4))
		return true;
	if (lj_get(p, tr, p->l->tr_startpt, &s->proto) && lj_proto_holds(p, s->proto, s->pc + 4))
		return true;
	return jit_proto_at(p, s->pc + 4, &s->proto) && lj_proto_holds(p, s->proto, s->pc + 4);
}

bool jit_snap_read(const struct lj *p, uint64_t tr, uint64_t i, struct jit_snap *ret)
{
	struct reader r = { .p = p };
	uint64_t snaps, pc;

	if (!open_snapshot(&r, tr, i) || !lj_get(p, tr, p->l->tr_snap, &snaps) ||
	    !lj_get(p, snaps + (uint64_t)p->l->size_snap.off * i, p->l->snap_mcofs, &ret->mcofs) ||
	    !memread_uint(p->mem, r.map + 4 * r.nent, p->ref, &pc))
		return false;
	ret->pc = p->ref == 8 ? pc >> 8 : pc;
	ret->replaced = r.nent && SNAP_SLOT(r.e[0]) == 0;
	ret->n = p->ref == 8 ? frames_fr2(&r, ret->f) : frames_fr1(&r, ret->f);
	return innermost(p, tr, ret);
}

uint64_t jit_caller_pc(const struct jit_frame *f)
{
	if (!(f->link & 3))
		return f->link;
	return (f->link & LINK_TYPE) == LINK_CONT ? f->cont_pc : 0;
}

bool jit_is_vararg(const struct jit_frame *f)
{
	return (f->link & LINK_TYPE) == LINK_VARG;
}

/* The prototype of a Lua function that is a constant of the trace, or of its bytecode; or 0. */
static uint64_t constant_proto(const struct lj *p, uint64_t ir, uint64_t ref)
{
	uint64_t at = ir + 8 * ref, type, value, gct, proto;

	if (!memread_uint(p->mem, at + 4, 1, &type) ||
	    !memread_uint(p->mem, at + (p->ref == 8 ? 8 : 0), p->ref, &value))
		return 0;
	if ((type & IRT_TYPE) == IRT_FUNC)
		return lj_proto_of(p, value);
	proto = value - (uint64_t)p->l->size_proto.off;
	return (type & IRT_TYPE) == IRT_POINTER &&
	       memread_uint(p->mem, proto + p->ref + 1, 1, &gct) && gct == GCT_PROTO &&
	       lj_proto_holds(p, proto, value + 4) ? proto : 0;
}

struct set {
	uint64_t *v;
	size_t n, max;
};

static void set_remove(struct set *s, uint64_t proto)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i] == proto)
			s->v[i--] = s->v[--s->n];
}

/* False: no more room. */
static bool set_add(struct set *s, uint64_t proto)
{
	set_remove(s, proto);
	if (s->n == s->max)
		return false;
	s->v[s->n++] = proto;
	return true;
}

/* Takes those out whose functions some snapshot has on the stack. */
static bool remove_shown(const struct lj *p, uint64_t tr, uint64_t n_snaps, struct set *s)
{
	struct reader r = { .p = p };
	uint64_t fn, start;

	if (lj_get(p, tr, p->l->tr_startpt, &start))
		set_remove(s, start);
	for (uint64_t i = 0; i < n_snaps && s->n; i++) {
		if (!open_snapshot(&r, tr, i))
			return false;
		for (uint64_t k = 0; k < r.nent; k++) {
			bool frame = r.e[k] & SNAP_FRAME;

			if (p->ref == 8) /* the function is in the entry before */
				frame = k + 1 < r.nent && r.e[k + 1] & SNAP_FRAME;
			if (frame && constant(&r, r.e[k], p->ref, &fn))
				set_remove(s, lj_proto_of(p, fn));
		}
	}
	return true;
}

bool jit_hidden(const struct lj *p, uint64_t tr, uint64_t *protos, size_t max, size_t *n_ret)
{
	struct set s = { protos, 0, max };
	uint64_t ir, nk, n_snaps, proto;

	if (!lj_get(p, tr, p->l->tr_ir, &ir) || !lj_get(p, tr, p->l->tr_nk, &nk) || nk > REF_BIAS ||
	    REF_BIAS - nk > MAX_CONSTANTS || !lj_get(p, tr, p->l->tr_nsnap, &n_snaps) ||
	    n_snaps > MAX_TRACE_SNAPS)
		return false;
	for (uint64_t ref = nk; ref < REF_BIAS; ref++)
		if ((proto = constant_proto(p, ir, ref)) && !set_add(&s, proto))
			return false;
	if (!remove_shown(p, tr, n_snaps, &s))
		return false;
	*n_ret = s.n;
	return true;
}
