/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "collect/frames.h"
#include "collect/names.h"
#include "luajit.h"
#include "puc.h"

#define MAX_CALLS 20000u /* a chain of them may be a ring */
#define NAME_BYTES 60

/* 5.4 and later: a call's extra arguments lie below a copy of the function. */
#define PROTO_VARARG_AT 11
#define PROTO_VARARG 1u
#define CI_EXTRA_AT 12 /* u.l.nextraargs, from u.l.savedpc */
#define MAX_EXTRA 1000000u

enum { LJ_FRAME_CONT = 2, LJ_FRAME_VARARG = 3 };

void calls_init(struct calls *c, const struct walk *w, uint64_t thread)
{
	const uint8_t *L = image_at(w->im, thread, (uint64_t)w->l->size_L.off);

	*c = (struct calls){ .w = w, .thread = thread };
	if (!L)
		return;
	c->at = w->l->family == LMT_FAMILY_PUC ? walk_get(L, w->l->L_ci) : walk_get(L, w->l->L_base) - 8;
}

static uint64_t extras_54(const struct walk *w, const struct call *call, const uint8_t *ci)
{
	const uint8_t *p = image_at(w->im, call->proto, (uint64_t)w->l->size_proto.off);
	uint32_t n = p && p[PROTO_VARARG_AT] & PROTO_VARARG ? walk_u32(ci + w->l->ci_pc.off + CI_EXTRA_AT)
							    : 0;

	return call->slot - 16ull * (n < MAX_EXTRA ? n : 0);
}

/* 5.1 keeps CallInfos in an array, the innermost pc in the thread and the base in front. */
static bool next_puc(struct calls *c, struct call *ret)
{
	const struct walk *w = c->w;
	const uint8_t *L = image_at(w->im, c->thread, (uint64_t)w->l->size_L.off);
	const uint8_t *ci = image_at(w->im, c->at, (uint64_t)w->l->size_ci.off), *p;
	bool is_51 = w->l->version == 501;
	uint64_t fn;

	if (!L || !ci)
		return false;
	ret->pc = is_51 && c->n == 1 ? walk_get(L, w->l->L_savedpc) : walk_get(ci, w->l->ci_pc);
	ret->slot = walk_get(ci, w->l->ci_func);
	ret->base = ret->slot + 16;
	ret->extras = ret->slot;
	if (is_51)
		ret->base = walk_u64(ci);
	c->at = is_51 ? c->at - (uint64_t)w->l->size_ci.off : walk_get(ci, w->l->ci_prev);
	if (is_51 && c->at < walk_get(L, w->l->L_base_ci))
		c->at = 0;
	p = image_at(w->im, ret->slot, 16);
	fn = p && (p[8] & 0xf) == 6 ? walk_u64(p) : 0;
	p = fn ? image_at(w->im, fn, 40) : NULL;
	if (!p || (p[8] & 0xf) != 6 || puc_is_c(w, p))
		return true;
	ret->proto = walk_get(p, w->l->LCL_p);
	if (w->l->version == 502 || w->l->version == 503) /* u.l.base, before u.l.savedpc */
		ret->base = walk_u64(ci + w->l->ci_pc.off - 8);
	if (w->l->version >= 504)
		ret->extras = extras_54(w, ret, ci);
	return true;
}

/* One slot (GC32) or two (GC64) hold a frame's function and link; the link is the way back. */
static bool next_luajit(struct calls *c, struct call *ret)
{
	const struct walk *w = c->w;
	bool wide = w->ref == 8;
	const uint8_t *p = image_at(w->im, wide ? c->at - 8 : c->at, wide ? 16 : 8);
	uint64_t fn, link;

	if (!p)
		return false;
	fn = wide ? walk_u64(p) & ((1ull << 47) - 1) : walk_u32(p);
	link = wide ? walk_u64(p + 8) : walk_u32(p + 4);
	ret->slot = ret->extras = wide ? c->at - 8 : c->at;
	ret->base = c->at + 8;
	ret->pc = c->pc;
	ret->extra = c->extra;
	p = image_at(w->im, fn, 48);
	if (!p || p[w->tag_at] != LJ_FUNCTION)
		return false;
	if (!walk_get(p, w->l->fn_ffid))
		ret->proto = walk_get(p, w->l->fn_pc) - (uint64_t)w->l->size_proto.off;
	c->pc = 0;
	c->extra = (link & 7) == LJ_FRAME_VARARG;
	if ((link & 3) == 0) { /* called from Lua: the link is the caller's pc */
		p = image_at(w->im, link - 4, 4);
		c->pc = link;
		c->at = p ? c->at - 8 * (1 + (wide ? 1 : 0) + (uint64_t)p[1]) : 0;
		return true;
	}
	if ((link & 7) == LJ_FRAME_CONT) { /* a metamethod: the pc lies before its frame */
		p = image_at(w->im, wide ? c->at - 16 : c->at - 8, 8);
		c->pc = !p ? 0 : wide ? walk_u64(p) : walk_u32(p + 4);
	}
	c->at = link & ~7ull ? c->at - (link & ~7ull) : 0;
	return true;
}

bool calls_next(struct calls *c, struct call *ret)
{
	*ret = (struct call){ 0 };
	if (!c->at || ++c->n > MAX_CALLS)
		return false;
	return c->w->l->family == LMT_FAMILY_PUC ? next_puc(c, ret) : next_luajit(c, ret);
}

uint32_t calls_origin(const struct walk *w, const struct call *call, struct strpool *pool)
{
	struct lmt_site site = { .proto = call->proto, .pc = call->pc };
	struct image_reader reader = { .im = w->im };
	struct memread mem = image_memread(&reader);
	struct frame f = { 0 };

	return frames_resolve(&mem, w->l, w->G, 0, &site, pool, &f) ? f.where : 0;
}

/* A for loop's own variables have names that say nothing. */
static bool local_name(const struct walk *w, const struct call *call, uint64_t n, char *out, size_t size)
{
	struct image_reader reader = { .im = w->im };
	struct memread mem = image_memread(&reader);
	bool (*find)(const struct memread *, const struct lmt_layout *, uint64_t, uint64_t, unsigned int,
		     char *, size_t) = w->l->family == LMT_FAMILY_PUC ? names_puc_local
								      : names_luajit_local;

	return call->pc && find(&mem, w->l, call->proto, call->pc, (unsigned int)n, out, size) &&
	       *out && *out != '(';
}

static void put_name(const struct walk *w, const struct call *call, uint64_t at, unsigned int step,
		     char *out, size_t size)
{
	struct strpool *pool = strpool_new();
	uint32_t origin = pool ? calls_origin(w, call, pool) : 0;
	char name[NAME_BYTES + 1], text[NAME_BYTES + 20] = "temporary value";

	if (at == call->slot)
		snprintf(text, sizeof(text), "running function");
	else if (at < call->base || call->extra)
		snprintf(text, sizeof(text), "extra argument");
	else if (local_name(w, call, (at - call->base) / step, name, sizeof(name)))
		snprintf(text, sizeof(text), "local %s", name);
	snprintf(out, size, "%s%s%s", text, origin ? " at " : "", origin ? strpool_get(pool, origin) : "");
	strpool_free(pool);
}

void calls_slot_name(const struct walk *w, uint64_t thread, uint64_t slot, char *out, size_t size)
{
	unsigned int step = w->l->family == LMT_FAMILY_PUC ? 16 : 8;
	const uint8_t *L = image_at(w->im, thread, (uint64_t)w->l->size_L.off);
	uint64_t at = L ? walk_get(L, w->l->L_stack) + step * slot : 0;
	struct calls c;
	struct call call;

	snprintf(out, size, "stack slot %" PRIu64, slot);
	calls_init(&c, w, thread);
	while (at && calls_next(&c, &call)) {
		if (at < call.extras)
			continue;
		if (call.proto)
			put_name(w, &call, at, step, out, size);
		return;
	}
}
