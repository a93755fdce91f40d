/* SPDX-License-Identifier: MIT */
/*
 * The lists and sizes of LuaJIT 2.0, 2.1 and OpenResty's fork (lj_gc.c, lj_obj.h). Strings are
 * chained in their table, open upvalues hang on their thread, userdata follow the main thread.
 */
#include "luajit.h"

#define MAX_STRING (1ull << 32)
#define MAX_ARRAY (1ull << 28)
#define MAX_STACK (64ull << 20)
#define MAX_PROTO (1ull << 28)
#define MAX_STRINGS (1ull << 28)

static uint64_t next_of(const struct walk *w, const uint8_t *p)
{
	return walk_ref(w, p);
}

/* Only members of a thread up to its list of open upvalues are read here. */
static bool mark_open(struct walk *w, uint64_t L)
{
	const uint8_t *p = image_at(w->im, L, (uint64_t)w->l->size_L.off);
	uint64_t uv;

	if (!p)
		return walk_torn(w, L, "a thread is cut off");
	for (uv = walk_get(p, w->c->L_openupval); uv; uv = next_of(w, p)) {
		p = image_at(w->im, uv, (uint64_t)w->c->size_upval.off);
		if (!p || p[w->tag_at] != LJ_UPVALUE)
			return walk_torn(w, uv, "an open upvalue is none");
		if (!walk_mark(w, uv))
			return false;
	}
	return true;
}

static bool mark_list(struct walk *w, uint64_t o, bool only_strings)
{
	struct walk_trail trail = { 0 };

	while (o) {
		const uint8_t *p = image_at(w->im, o, 16);

		walk_guess(w, &trail, o);
		if (!p)
			return walk_torn(w, o, "a list leads out of the heap");
		if (lj_kind(p[w->tag_at]) < 0 || (only_strings && p[w->tag_at] != LJ_STRING))
			return walk_torn(w, o, "an object of no known type");
		if (!walk_mark(w, o) || (p[w->tag_at] == LJ_THREAD && !mark_open(w, o)))
			return false;
		o = next_of(w, p);
	}
	return true;
}

static bool mark_strings(struct walk *w)
{
	uint64_t n = walk_get(w->g, w->l->G_strmask) + 1, at = walk_get(w->g, w->l->G_strtab);
	const uint8_t *tab = n <= MAX_STRINGS ? image_at(w->im, at, w->ref * n) : NULL;

	if (!tab)
		return walk_torn(w, at, "the string table is not on the heap");
	for (uint64_t i = 0; i < n; i++) { /* low bits of an anchor are flags */
		walk_look_ahead(w, tab, i, n);
		if (!mark_list(w, walk_ref(w, tab + w->ref * i) & ~7ull, true))
			return false;
	}
	return true;
}

/* Userdata that wait for their finalizer, a ring entered at its last element. */
static bool mark_ring(struct walk *w, uint64_t last)
{
	uint64_t o = last;

	while (o) {
		const uint8_t *p = image_at(w->im, o, 16);

		if (!p || lj_kind(p[w->tag_at]) < 0)
			return walk_torn(w, o, "an object of no known type waits to be finalized");
		if (!walk_mark(w, o))
			return false;
		o = next_of(w, p);
		if (o == last)
			break;
	}
	return true;
}

static bool mark_luajit(struct walk *w)
{
	lj_find_ctypes(w);
	return mark_list(w, walk_get(w->g, w->l->G_root), false) && mark_strings(w) &&
	       mark_ring(w, walk_get(w->g, w->c->G_mmudata));
}

static uint64_t string_bytes(const struct walk *w, const uint8_t *p)
{
	uint64_t len = walk_get(p, w->l->S_len), head = (uint64_t)w->l->size_str.off;

	/* Until June 2020, when the allocator moved to the front, texts were not rounded up. */
	return w->l->G_alloc.off ? head + len + 1 : head + ((len + 4) & ~3ull);
}

static uint64_t trace_bytes(const struct walk *w, const uint8_t *p)
{
	uint64_t ins = walk_get(p, w->c->tr_nins) - walk_get(p, w->c->tr_nk);

	if (ins >> 24)
		return 0;
	return (((uint64_t)w->c->size_trace.off + 7) & ~7ull) + 8 * ins +
	       walk_get(p, w->l->tr_nsnap) * (uint64_t)w->l->size_snap.off +
	       walk_get(p, w->c->tr_nsnapmap) * 4;
}

static uint64_t function_bytes(const struct walk *w, const uint8_t *p, struct census_object *o)
{
	uint64_t n = walk_get(p, w->c->fn_nup);

	o->is_c = walk_get(p, w->l->fn_ffid) != 0;
	return o->is_c ? (uint64_t)w->c->fn_cupvals.off + 8 * n
		       : (uint64_t)w->c->fn_upvals.off + w->ref * n;
}

/* Bytes of the object's header that measuring reads. */
static uint64_t head_bytes(const struct walk *w, uint8_t gct)
{
	switch (gct) {
	case LJ_STRING:
		return (uint64_t)w->l->size_str.off;
	case LJ_THREAD:
		return (uint64_t)w->l->size_L.off;
	case LJ_PROTO:
		return (uint64_t)w->l->size_proto.off;
	case LJ_TRACE:
		return (uint64_t)w->c->size_trace.off;
	case LJ_USERDATA:
		return (uint64_t)w->c->size_udata.off;
	default:
		return 16;
	}
}

/* 0: impossible. */
static uint64_t bytes_of(struct walk *w, const uint8_t *p, struct census_object *o)
{
	struct lj_table t;
	struct lj_cdata cd;
	uint64_t n;

	switch (p[w->tag_at]) {
	case LJ_STRING:
		return string_bytes(w, p);
	case LJ_UPVALUE:
		return (uint64_t)w->c->size_upval.off;
	case LJ_THREAD:
		n = 8 * walk_get(p, w->c->L_stacksize);
		return n > MAX_STACK ? 0 : (uint64_t)w->l->size_L.off + n;
	case LJ_PROTO:
		n = walk_get(p, w->c->P_sizept);
		return n > MAX_PROTO ? 0 : n;
	case LJ_FUNCTION:
		return function_bytes(w, p, o);
	case LJ_TRACE:
		return trace_bytes(w, p);
	case LJ_CDATA:
		return lj_cdata(w, o->uaddr, &cd) ? cd.block : 0;
	case LJ_TABLE:
		return lj_table(w, o->uaddr, &t) && t.array_n <= MAX_ARRAY ? t.block : 0;
	case LJ_USERDATA:
		n = walk_get(p, w->c->U_len);
		if (!image_at(w->im, o->uaddr, (uint64_t)w->c->size_udata.off + n))
			return 0;
		return (uint64_t)w->c->size_udata.off + n + lj_buffer_bytes(w, p);
	default:
		return 0;
	}
}

static bool measure_luajit(struct walk *w, struct census_object *o, uint64_t *bytes)
{
	const uint8_t *p = image_at(w->im, o->uaddr, 16);

	if (p)
		p = image_at(w->im, o->uaddr, head_bytes(w, p[w->tag_at]));
	if (!p)
		return walk_torn(w, o->uaddr, "an object is cut off");
	o->kind = (unsigned int)lj_kind(p[w->tag_at]);
	*bytes = bytes_of(w, p, o);
	if (!*bytes || *bytes > MAX_STRING)
		return walk_torn(w, o->uaddr, "an object of impossible size");
	return true;
}

static uint64_t buffer_bytes(const struct walk *w, const uint8_t *buf)
{
	return layout_has(w->c->SBuf_sz) ? walk_get(buf, w->c->SBuf_sz)
					 : walk_get(buf, w->c->SBuf_e) - walk_get(buf, w->c->SBuf_b);
}

static uint64_t jit_bytes(const struct walk *w)
{
	uint64_t at = w->L + (uint64_t)w->l->GG_J.off;
	const uint8_t *j;

	if (!layout_has(w->l->GG_J))
		return 0;
	j = image_at(w->im, at, (uint64_t)(w->l->size_GG.off - w->l->GG_J.off));
	if (!j)
		return 0;
	return 8 * (uint64_t)(uint32_t)(walk_get(j, w->c->J_irtoplim) - walk_get(j, w->c->J_irbotlim)) +
	       (uint64_t)w->l->size_snap.off * walk_get(j, w->c->J_sizesnap) +
	       4 * walk_get(j, w->c->J_sizesnapmap) + w->ref * walk_get(j, w->l->J_sizetrace);
}

static uint64_t ctype_bytes(const struct walk *w)
{
	uint64_t cts = layout_has(w->c->G_ctype_state) ? walk_get(w->g, w->c->G_ctype_state) : 0;
	const uint8_t *p = cts ? image_at(w->im, cts, (uint64_t)w->c->size_CTState.off) : NULL;

	return p ? (uint64_t)w->c->size_CTState.off +
			   (uint64_t)w->c->size_CType.off * walk_get(p, w->c->CTState_sizetab)
		 : 0;
}

/* Segments of 64-bit light userdata: an array that doubles; its number is that of the last one. */
static uint64_t lightud_bytes(const struct walk *w)
{
	uint64_t n;

	if (!layout_has(w->c->G_lightudseg) || !walk_get(w->g, w->c->G_lightudseg))
		return 0;
	n = walk_get(w->g, w->c->G_lightudnum);
	return 4 * (n ? 2ull << (63 - __builtin_clzll(n)) : 2);
}

static void count_luajit(struct walk *w)
{
	/* The main thread, an object, lies inside GG_State. */
	w->part_bytes[CENSUS_PART_STATE] = (uint64_t)(w->l->size_GG.off - w->l->size_L.off);
	w->part_bytes[CENSUS_PART_STRINGS] = w->ref * (walk_get(w->g, w->l->G_strmask) + 1);
	w->part_bytes[CENSUS_PART_BUFFER] = buffer_bytes(w, w->g + w->c->G_tmpbuf.off) +
					    lightud_bytes(w);
	w->part_bytes[CENSUS_PART_JIT] = jit_bytes(w);
	w->part_bytes[CENSUS_PART_CTYPES] = ctype_bytes(w);
}

const struct walk_family walk_luajit = {
	.mark = mark_luajit,
	.measure = measure_luajit,
	.count_parts = count_luajit,
};
