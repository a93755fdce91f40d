/* SPDX-License-Identifier: MIT */
/* A stack as BPF walked it → frames with lines and names, while the target lives. */
#include "frames_stack.h"

#include <string.h>

#include "jit_stack.h"
#include "jit_way.h"
#include "names.h"
#include "symbols.h"

/* The frames as sent, and those inlined in a trace. */
struct raw {
	struct lmt_frame f[STACKDB_FRAMES];
	uint16_t flags[STACKDB_FRAMES]; /* STACK_… */
	size_t n;
	bool untold; /* the innermost is what a trace runs on top of, and the trace is gone */
};

static void push(struct raw *r, uint64_t at, uint64_t pc, unsigned int flags)
{
	if (r->n == STACKDB_FRAMES)
		return;
	r->f[r->n] = (struct lmt_frame){ at, pc };
	r->flags[r->n++] = (uint16_t)flags;
}

static uint64_t lua_frame(uint64_t proto)
{
	return proto | (uint64_t)LMT_FRAME_LUA << 48;
}

/* After a tail call inside a trace, the stack still has the function that called. */
static bool is_same(const struct lj *p, const struct jit_place *place, uint64_t base)
{
	return base == place->proto ||
	       (place->replaced && jit_maker_from(p, base, lj_code(p, base) + 4, OP_TAIL_CALL));
}

static void push_base(const struct lj *p, struct raw *r, const struct lmt_frame *base, uint64_t pc)
{
	uint64_t at = base->at, proto;

	if (pc && !lj_proto_holds(p, LMT_FRAME_ADDR(base), pc) && jit_proto_at(p, pc, &proto))
		at = lua_frame(proto);
	push(r, at, pc, STACK_JIT | (!pc ? STACK_APPROX : 0u));
}

/*
 * Machine code: the functions inlined at the place, then the frame the trace runs on top of.
 * Where the trace does not tell, that frame's function is what remains.
 */
static void push_trace(const struct frames_source *src, const struct lj *p, struct raw *r,
		       uint64_t mcode_pc, const struct lmt_frame *base)
{
	struct lmt_frame in[LMT_STACK_FRAMES];
	struct jit_place place;
	uint64_t base_pc = 0;
	size_t n = 0;

	if (!mcode_pc || !jit_place(p, mcode_pc, src->block, &place)) {
		r->untold = base && !r->n;
		if (base)
			push(r, base->at, 0, STACK_JIT | STACK_APPROX);
		return;
	}
	n = jit_stack(p, &place, in, LMT_STACK_FRAMES, &base_pc);
	for (size_t i = 0; i < n; i++)
		push(r, in[i].at, in[i].pc,
		     STACK_JIT | (i == 0 && !place.certain ? STACK_APPROX : 0u));
	if (!n)
		push(r, lua_frame(place.proto), place.pc, STACK_JIT | (place.certain ? 0u : STACK_APPROX));
	if (base && (n || !is_same(p, &place, LMT_FRAME_ADDR(base))))
		push_base(p, r, base, base_pc);
}

static void expand(const struct frames_source *src, const struct lj *p,
		   const struct lmt_stack_event *ev, struct raw *r)
{
	r->n = 0;
	r->untold = false;
	for (uint32_t i = 0; i < ev->n; i++) {
		const struct lmt_frame *f = &ev->frame[i];
		uint32_t flags = LMT_FRAME_FLAGS(f);

		if ((flags & LMT_FRAME_KIND) == LMT_FRAME_JIT) {
			bool based = i + 1 < ev->n && LMT_FRAME_FLAGS(f + 1) & LMT_FRAME_BASE;

			push_trace(src, p, r, f->pc, based ? f + 1 : NULL);
			i += based;
			continue;
		}
		push(r, f->at, f->pc, (flags & LMT_FRAME_TAIL ? STACK_TAIL : 0u) |
				      (flags & LMT_FRAME_THREAD ? STACK_THREAD : 0u));
	}
}

static bool resolve_lua(const struct frames_source *src, const struct lj *p,
			const struct lmt_frame *f, struct stack_frame *out)
{
	struct lmt_site site = { .pc = f->pc, .proto = LMT_FRAME_ADDR(f) };
	struct frame frame = { 0 };

	if (!(src->l->family == LMT_FAMILY_PUC
		      ? frames_puc(src->mem, src->l, &site, src->pool, &frame)
		      : frames_luajit(src->mem, src->l, p->g, 0, &site, src->pool, &frame)))
		return false;
	out->kind = STACK_LUA;
	out->where = frame.where;
	out->name = frame.name;
	out->line_defined = frame.line_defined;
	if (frame.approx)
		out->flags |= STACK_APPROX;
	return true;
}

/* name: what Lua calls it, or 0. */
static void resolve_native(const struct frames_source *src, uint64_t uaddr, struct stack_frame *out)
{
	struct symbol sym;

	out->kind = STACK_NATIVE;
	if (!uaddr || !symbols_find(src->target, src->files, uaddr, &sym))
		return;
	out->native = sym.name ? strpool_add(src->pool, sym.name) : 0;
	out->module = strpool_add(src->pool, sym.module);
	out->offset = sym.offset;
}

/* What the caller calls a frame, told by its code; 0 when it does not say. */
static uint32_t called_name(const struct frames_source *src, const struct raw *r, size_t i)
{
	const struct lmt_frame *caller = &r->f[i + 1];
	uint32_t flags = LMT_FRAME_FLAGS(caller);
	char name[NAME_MAX_BYTES];

	if (i + 1 >= r->n || r->flags[i] & STACK_TAIL || r->flags[i + 1] & STACK_THREAD)
		return 0;
	if (flags & LMT_FRAME_HOOKED)
		return strpool_add(src->pool, "hook");
	if ((flags & LMT_FRAME_KIND) != LMT_FRAME_LUA || !caller->pc)
		return 0;
	if (!(src->l->family == LMT_FAMILY_PUC
		      ? names_puc(src->mem, src->l, LMT_FRAME_ADDR(caller), caller->pc, name, sizeof(name))
		      : names_luajit(src->mem, src->l, LMT_FRAME_ADDR(caller), caller->pc, name,
				     sizeof(name))))
		return 0;
	return strpool_add(src->pool, name);
}

/* The C function behind a frame, by address; 0 none. */
static uint64_t c_function(const struct frames_source *src, const struct lmt_frame *f)
{
	uint64_t uaddr = 0;

	switch (LMT_FRAME_FLAGS(f) & LMT_FRAME_KIND) {
	case LMT_FRAME_C:
		return LMT_FRAME_ADDR(f);
	case LMT_FRAME_BUILT_IN:
		memread_uint(src->mem, LMT_FRAME_ADDR(f) + (uint64_t)src->l->fnC_f.off, 8, &uaddr);
		return uaddr;
	default:
		return 0;
	}
}

/* Did the frames before it run in an activation of the interpreter of their own? */
static bool enters(const struct frames_source *src, const struct raw *r, size_t i)
{
	uint32_t flags = LMT_FRAME_FLAGS(&r->f[i]);

	if (flags & (LMT_FRAME_ENTERED | LMT_FRAME_THREAD | LMT_FRAME_HOOKED))
		return true;
	return i && src->l->family == LMT_FAMILY_PUC && r->f[i].pc &&
	       (flags & LMT_FRAME_KIND) == LMT_FRAME_LUA &&
	       !names_puc_calls(src->mem, src->l, LMT_FRAME_ADDR(&r->f[i]), r->f[i].pc);
}

/*
 * The innermost Lua frame is that of the stack's place, word for word: looked up at another
 * moment, a line inside a trace might come out as a neighbour, and the target may be gone.
 */
static bool take_top(const struct frames_source *src, struct stack_frame *frame)
{
	if (!src->top.where)
		return false;
	frame->kind = STACK_LUA;
	frame->where = src->top.where;
	frame->line_defined = src->top.line_defined;
	frame->flags = (uint16_t)((frame->flags & ~STACK_APPROX) | (src->top.approx ? STACK_APPROX : 0));
	return true;
}

size_t frames_stack(const struct frames_source *src, const struct lmt_stack_event *ev,
		    const struct native_stack *native, struct stack_frame *out, size_t max)
{
	struct lj p = { .mem = src->mem, .l = src->l, .g = src->g,
			.ref = src->l && src->l->gc64.off ? 8 : 4 };
	struct native_lua lua[STACKDB_FRAMES] = { 0 };
	struct raw r;
	bool innermost = true;
	size_t n = 0;

	expand(src, &p, ev, &r);
	/* Nothing could be walked, as while the kernel moves the stack's page: its place is known still. */
	if (!r.n && take_top(src, &lua[0].f))
		n = 1;
	for (size_t i = 0; i < r.n; i++) {
		struct stack_frame frame = { .flags = r.flags[i] };
		uint32_t kind = LMT_FRAME_FLAGS(&r.f[i]) & LMT_FRAME_KIND;

		if (kind == LMT_FRAME_LUA) {
			bool known = resolve_lua(src, &p, &r.f[i], &frame);

			/* The place is in a function that was inlined on top of this one. */
			if (r.untold && innermost && known && take_top(src, &lua[n].f) &&
			    lua[n].f.line_defined != frame.line_defined) {
				lua[n++].f.flags |= STACK_JIT;
				innermost = false;
			}
			if (!(innermost && take_top(src, &frame)) && !known)
				continue;
			innermost = false;
		} else {
			resolve_native(src, kind == LMT_FRAME_C ? LMT_FRAME_ADDR(&r.f[i]) : 0, &frame);
		}
		if (!frame.name)
			frame.name = called_name(src, &r, i);
		lua[n++] = (struct native_lua){ frame, native ? c_function(src, &r.f[i]) : 0,
						native && enters(src, &r, i) };
	}
	n = native_merge(src, native, lua, n, out, max);
	if ((ev->flags & LMT_STACK_TRUNCATED || (native && !native->whole)) && n < max)
		out[n++] = (struct stack_frame){ .kind = STACK_TRUNCATED };
	return n;
}
