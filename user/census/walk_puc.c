/* SPDX-License-Identifier: MIT */
/*
 * The lists and sizes of PUC Lua 5.1 to 5.5 (lgc.c, lmem.c and the constructors of each release).
 *
 * Where objects are listed differs: strings have chains of their own up to 5.2 (short ones), open
 * upvalues hang on their thread up to 5.3, and in 5.3 upvalues are counted blocks without a header
 * that several closures share: those are kept in a set of their own.
 */
#include "walk.h"

#include "puc.h"

#define MAX_STRING (1ull << 32)
#define MAX_ARRAY (1ull << 28)
#define MAX_LOG_NODES 30
#define MAX_STACK (64ull << 20)
#define MAX_CALLS 1000000u
#define MAX_CONSTANTS (1ull << 26)
#define OPEN_NEXT_53 16 /* UpVal.u.open.next */

int puc_kind(const struct walk *w, uint8_t tag)
{
	tag &= 0x3f;
	if (tag == 4 || (tag == 20 && layout_has(w->c->tag_lngstr)))
		return CENSUS_STRING;
	if (tag == 5)
		return CENSUS_TABLE;
	if (tag == 6 || (tag == 38 && w->l->version > 501))
		return CENSUS_FUNCTION;
	if (tag == 7)
		return CENSUS_USERDATA;
	if (tag == 8)
		return CENSUS_THREAD;
	if (tag == w->l->K_proto.off)
		return CENSUS_PROTO;
	if (layout_has(w->c->K_upval) && tag == w->c->K_upval.off)
		return CENSUS_UPVALUE;
	return -1;
}

bool puc_is_c(const struct walk *w, const uint8_t *fn)
{
	if (layout_has(w->l->CCL_isC))
		return fn[w->l->CCL_isC.off] != 0;
	return (fn[8] & 0x3f) == w->c->tag_ccl.off;
}

/* 5.3: an upvalue that a closure or a thread's list holds. */
static bool note_shared(struct walk *w, uint64_t uaddr)
{
	uint64_t *known;

	if (!uaddr)
		return true;
	if (!image_at(w->im, uaddr, (uint64_t)w->c->size_upval.off))
		return walk_torn(w, uaddr, "an upvalue is not on the heap");
	known = hashmap_get_or_add(w->shared, uaddr);
	if (!known || w->shared->n > w->limit)
		return walk_torn(w, uaddr, "too many upvalues");
	if (*known)
		return true;
	*known = 1;
	return walk_mark(w, uaddr);
}

static bool mark_upvals_53(struct walk *w, uint64_t o, const uint8_t *fn)
{
	unsigned int n = (unsigned int)walk_get(fn, w->c->fn_nup);
	const uint8_t *p;

	if (puc_is_c(w, fn))
		return true;
	p = image_at(w->im, o, (uint64_t)w->c->fn_upvals.off + 8ull * n);
	if (!p)
		return walk_torn(w, o, "a function reaches out of the heap");
	for (unsigned int i = 0; i < n; i++)
		if (!note_shared(w, walk_u64(p + w->c->fn_upvals.off + 8 * i)))
			return false;
	return true;
}

/* Open upvalues of a thread, where they are listed nowhere else. */
static bool mark_open(struct walk *w, const uint8_t *thread)
{
	unsigned int next_at = w->l->version == 503 ? OPEN_NEXT_53 : 0;
	uint64_t uv = walk_get(thread, w->c->L_openupval);

	if (w->l->version > 503)
		return true;
	while (uv) {
		const uint8_t *p = image_at(w->im, uv, (uint64_t)w->c->size_upval.off);

		if (!p)
			return walk_torn(w, uv, "an open upvalue is not on the heap");
		if (w->l->version == 503) {
			uint64_t *known = hashmap_lookup(w->shared, uv);

			/* A ring would come back to what was met on this very list. */
			if (known && *known == 2)
				return walk_torn(w, uv, "a list of open upvalues is a ring");
			if (!note_shared(w, uv))
				return false;
			*hashmap_lookup(w->shared, uv) = 2;
		} else if (!walk_mark(w, uv)) {
			return false;
		}
		uv = walk_u64(p + next_at);
	}
	return true;
}

/* What hangs on an object and is on no list. */
static bool mark_more(struct walk *w, uint64_t o, const uint8_t *p, int kind)
{
	if (kind == CENSUS_THREAD) {
		p = image_at(w->im, o, (uint64_t)w->l->size_L.off);
		return p ? mark_open(w, p) : walk_torn(w, o, "a thread is cut off");
	}
	if (kind == CENSUS_FUNCTION && w->l->version == 503)
		return mark_upvals_53(w, o, p);
	return true;
}

static bool mark_object(struct walk *w, uint64_t o, uint64_t *next_ret)
{
	const uint8_t *p = image_at(w->im, o, 24);
	int kind;

	if (!p)
		return walk_torn(w, o, "a list leads out of the heap");
	kind = puc_kind(w, p[8]);
	if (kind < 0)
		return walk_torn(w, o, "an object of no known type");
	*next_ret = walk_u64(p);
	return walk_mark(w, o) && mark_more(w, o, p, kind);
}

static bool mark_list(struct walk *w, uint64_t o)
{
	struct walk_trail trail = { 0 };

	while (o) {
		walk_guess(w, &trail, o);
		if (!mark_object(w, o, &o))
			return false;
	}
	return true;
}

static bool mark_chains(struct walk *w)
{
	uint64_t n = walk_get(w->g, w->l->G_strsize);
	const uint8_t *hash = image_at(w->im, walk_get(w->g, w->l->G_hash), 8 * n);

	if (n > MAX_ARRAY || !hash)
		return walk_torn(w, w->G, "the string table is not on the heap");
	for (uint64_t i = 0; i < n; i++) {
		walk_look_ahead(w, hash, i, n);
		if (!mark_list(w, walk_u64(hash + 8 * i)))
			return false;
	}
	return true;
}

/* 5.1: userdata that wait for their finalizer, a ring entered at its last element. */
static bool mark_ring(struct walk *w, uint64_t last)
{
	uint64_t o = last;

	if (!last)
		return true;
	do {
		if (!mark_object(w, o, &o))
			return false;
	} while (o != last);
	return true;
}

static bool mark_puc(struct walk *w)
{
	const struct lmt_cell lists[] = { w->l->G_allgc, w->c->G_finobj, w->c->G_tobefnz,
					  w->c->G_fixedgc };
	uint64_t next;

	if (w->l->version == 503) {
		w->shared = calloc(1, sizeof(*w->shared));
		if (!w->shared)
			return walk_torn(w, 0, "out of memory");
	}
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (layout_has(lists[i]) && !mark_list(w, walk_get(w->g, lists[i])))
			return false;
	if (!layout_has(w->c->S_hnext) && !mark_chains(w))
		return false;
	if (layout_has(w->c->G_tmudata) && !mark_ring(w, walk_get(w->g, w->c->G_tmudata)))
		return false;
	/* 5.2 and 5.3 keep the main thread on no list. */
	return (w->l->version != 502 && w->l->version != 503) || mark_object(w, w->L, &next);
}

static bool measure_string(struct walk *w, const struct census_object *o, uint64_t *bytes)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->l->size_str.off > 32
					    ? 32 : (uint64_t)w->l->size_str.off);
	struct puc_text t;

	if (!p || !puc_text(w, o->uaddr, &t) || t.len > MAX_STRING)
		return walk_torn(w, o->uaddr, "an impossible string");
	*bytes = t.block;
	return true;
}

static bool measure_table(struct walk *w, const struct census_object *o, uint64_t *bytes)
{
	struct puc_table t;

	if (!puc_table(w, o->uaddr, &t) || t.array_n > MAX_ARRAY || t.log_nodes > MAX_LOG_NODES)
		return walk_torn(w, o->uaddr, "an impossible table");
	*bytes = t.block;
	return true;
}

static bool measure_function(struct walk *w, struct census_object *o, uint64_t *bytes)
{
	const uint8_t *p = image_at(w->im, o->uaddr, 32);
	uint64_t n;

	if (!p)
		return walk_torn(w, o->uaddr, "a function is cut off");
	n = walk_get(p, w->c->fn_nup);
	o->is_c = puc_is_c(w, p);
	*bytes = o->is_c ? (uint64_t)w->c->fn_cupvals.off + 16 * n
			   : (uint64_t)w->c->fn_upvals.off + 8 * n;
	return true;
}

static bool measure_userdata(struct walk *w, const struct census_object *o, uint64_t *bytes)
{
	const uint8_t *p = image_at(w->im, o->uaddr, 40);
	uint64_t len, n;

	len = p ? walk_get(p, w->c->U_len) : 0;
	if (!p || len > MAX_STRING)
		return walk_torn(w, o->uaddr, "an impossible userdata");
	*bytes = puc_userdata_head(w, p, &n) + len;
	return true;
}

/* CallInfos in the chain that begins at the one inside the thread. */
static bool count_calls(struct walk *w, uint64_t L, uint64_t *ret)
{
	uint64_t ci = L + (uint64_t)w->l->L_base_ci.off, n = 0;

	for (;;) {
		const uint8_t *p = image_at(w->im, ci, (uint64_t)w->l->size_ci.off);

		if (!p || n > MAX_CALLS)
			return false;
		ci = walk_get(p, w->c->ci_next);
		if (!ci)
			break;
		n++;
	}
	*ret = n;
	return true;
}

static bool measure_thread(struct walk *w, const struct census_object *o, uint64_t *bytes)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->l->size_L.off);
	uint64_t stack, last, slots, calls;

	if (!p)
		return walk_torn(w, o->uaddr, "a thread is cut off");
	stack = walk_get(p, w->l->L_stack);
	last = walk_get(p, w->l->L_stack_last);
	if (last < stack || last - stack > MAX_STACK)
		return walk_torn(w, o->uaddr, "an impossible stack");
	slots = layout_has(w->c->L_stacksize) ? walk_get(p, w->c->L_stacksize)
					      : stack ? (last - stack) / 16 + 5 : 0;
	if (layout_has(w->c->L_size_ci))
		calls = walk_get(p, w->c->L_size_ci);
	else if (!count_calls(w, o->uaddr, &calls))
		return walk_torn(w, o->uaddr, "an impossible chain of calls");
	if (slots * 16 > MAX_STACK || calls > MAX_CALLS)
		return walk_torn(w, o->uaddr, "an impossible stack");
	*bytes = (uint64_t)w->l->size_L.off + (w->l->version >= 503 ? 8 : 0) + 16 * slots +
		   calls * (uint64_t)w->l->size_ci.off;
	return true;
}

static bool measure_proto(struct walk *w, const struct census_object *o, uint64_t *bytes)
{
	const uint8_t *p = image_at(w->im, o->uaddr, (uint64_t)w->l->size_proto.off);
	uint64_t k, n, code, lines, abslines, locvars, upvals;

	if (!p)
		return walk_torn(w, o->uaddr, "a prototype is cut off");
	if (!layout_has(w->l->P_code))
		return walk_torn(w, o->uaddr, "its prototypes are shared between states: not known how");
	k = walk_get(p, w->c->P_sizek);
	n = walk_get(p, w->c->P_sizep);
	code = walk_get(p, w->l->P_sizecode);
	lines = walk_get(p, w->l->P_sizelineinfo) * (w->l->version >= 504 ? 1 : 4);
	abslines = layout_has(w->l->P_sizeabslineinfo) ? walk_get(p, w->l->P_sizeabslineinfo) : 0;
	locvars = walk_get(p, w->c->P_sizelocvars);
	upvals = walk_get(p, w->c->P_sizeupvalues) * (w->l->version == 501 ? 8 : 16);
	if ((k | n | code | abslines | locvars) > MAX_CONSTANTS)
		return walk_torn(w, o->uaddr, "an impossible prototype");
	/* 5.5: code of a precompiled chunk may lie in memory that is not Lua's. */
	if (w->l->version >= 505 && layout_has(w->c->P_flag) && walk_get(p, w->c->P_flag) & 4)
		code = lines = abslines = 0;
	*bytes = (uint64_t)w->l->size_proto.off + 16 * k + 8 * n + 4 * code + lines +
		   8 * abslines + 16 * locvars + upvals;
	return true;
}

static bool measure_puc(struct walk *w, struct census_object *o, uint64_t *bytes)
{
	const uint8_t *p = image_at(w->im, o->uaddr, 16);
	int kind;

	if (w->shared && hashmap_lookup(w->shared, o->uaddr)) {
		o->kind = CENSUS_UPVALUE;
		*bytes = (uint64_t)w->c->size_upval.off;
		return true;
	}
	kind = p ? puc_kind(w, p[8]) : -1;
	if (kind < 0)
		return walk_torn(w, o->uaddr, "an object of no known type");
	o->kind = (unsigned int)kind;
	switch (kind) {
	case CENSUS_STRING:
		return measure_string(w, o, bytes);
	case CENSUS_TABLE:
		return measure_table(w, o, bytes);
	case CENSUS_FUNCTION:
		return measure_function(w, o, bytes);
	case CENSUS_USERDATA:
		return measure_userdata(w, o, bytes);
	case CENSUS_THREAD:
		return measure_thread(w, o, bytes);
	case CENSUS_PROTO:
		return measure_proto(w, o, bytes);
	default:
		*bytes = (uint64_t)w->c->size_upval.off;
		return true;
	}
}

/* The first CallInfo of a thread hangs on one inside of it. */
static void ahead_puc(const struct walk *w, uint64_t uaddr)
{
	const uint8_t *p = image_at(w->im, uaddr, (uint64_t)w->l->size_L.off);

	if (p && layout_has(w->c->ci_next) && (p[8] & 0x3f) == 8)
		image_prefetch(w->im, walk_get(p + w->l->L_base_ci.off, w->c->ci_next));
}

static void count_puc(struct walk *w)
{
	w->part_bytes[CENSUS_PART_STRINGS] = 8 * walk_get(w->g, w->l->G_strsize);
	w->part_bytes[CENSUS_PART_STATE] = (uint64_t)w->l->size_G.off;
	if (w->l->version >= 505) /* the main thread, an object, lies inside */
		w->part_bytes[CENSUS_PART_STATE] -= (uint64_t)w->l->size_L.off + 8;
	if (layout_has(w->c->G_buffsize))
		w->part_bytes[CENSUS_PART_BUFFER] = walk_get(w->g, w->c->G_buffsize);
}

const struct walk_family walk_puc = {
	.mark = mark_puc,
	.measure = measure_puc,
	.ahead = ahead_puc,
	.count_parts = count_puc,
};
