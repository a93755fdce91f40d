/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * walk_luajit: frames of LuaJIT, from the innermost outwards, GC64 and GC32. BPF only.
 *
 *	        GC64: two slots a frame          GC32: one slot
 *	base ─► │ first local      │             │ first local      │
 *	base-8  │ link             │             │ link   function  │ (high, low half)
 *	base-16 │ function         │
 *
 *	link & 3 == 0  called from Lua: link is the caller's pc; its A operand (bits 8-15 of the
 *	               instruction before) tells how far down the caller's frame lies
 *	otherwise      link & 7 is the frame type, the rest the distance in bytes
 *
 * In machine code L->base is stale; frames from jit_base downwards are valid, and the place in
 * the trace is told by the return address into it, which lies below the C frame.
 * Sources: LuaJIT src/lj_frame.h, src/lj_trace.c (v2.1).
 */
#ifndef LMT_WALK_LUAJIT_BPF_H
#define LMT_WALK_LUAJIT_BPF_H

#include "walk_lua.bpf.h"

#define FN_WORDS 5
#define GC64_POINTER ((1ull << 47) - 1)
#define LUAJIT_TAG_FUNCTION 8
#define FRAME_CONT 2
#define CFRAME_PC_GC64 24 /* saved pc of the interpreter in its C frame, x86-64 */
#define CFRAME_PC_GC32 28
/*
 * A trace runs on the C stack below the interpreter's frame: two saved registers (16 bytes, vm_x64
 * and vm_x86 dasc: "Save additional callee-save registers only used in compiled code"), what the
 * trace takes for itself, then the return address of the function it calls.
 */
#define JIT_FRAME 24

struct lj_frame {
	__u64 func;
	__u64 link;
};

static __always_inline bool lj_read_frame(bool gc64, __u64 f, struct lj_frame *out)
{
	__u64 w[2];

	if (gc64) {
		if (!try_read(w, 16, f - 8))
			return false;
		out->func = w[0] & GC64_POINTER;
		out->link = w[1];
		return true;
	}
	if (!try_read(w, 8, f))
		return false;
	out->func = (__u32)w[0];
	out->link = w[0] >> 32;
	return true;
}

/*
 * Prototype of a Lua function, read into fn, which has FN_WORDS; 0 for C and built-in ones; ~0 when it
 * is no function at all.
 */
static __always_inline __u64 lj_proto_of(const struct lmt_hot *hot, __u64 func, __u64 *fn)
{
	__u32 size = hot->fn_bytes;

	if (size > 8 * FN_WORDS || !is_user_pointer(func & ~4ull) || !read_user(fn, size, func))
		return ~0ull;
	if (byte_at(fn, FN_WORDS, hot->fn_gct) != LUAJIT_TAG_FUNCTION)
		return ~0ull;
	if (byte_at(fn, FN_WORDS, hot->fn_ffid) != 0)
		return 0;
	return ref_at(fn, FN_WORDS, hot->fn_pc, hot->wide) - hot->size_proto;
}

/*
 * The same for a function that runs, most often without a read: what it is made of does not change until it
 * is freed, which is seen as long as all calls of the allocator are.
 */
static __always_inline __u64 lj_proto(const struct lmt_hot *hot, struct lmt_state *st, __u64 func,
				      __u64 *fn)
{
	__u32 i = func_place(func);
	__u64 proto;

	if (!gaps && st->func[i] == func)
		return st->proto[i];
	proto = lj_proto_of(hot, func, fn);
	st->func[i] = 0;
	if (gaps || proto == ~0ull)
		return proto;
	st->proto[i] = proto;
	st->func[i] = func;
	return proto;
}

/* The trace of that number; 0 when it cannot be read. */
SUBPROG __u64 lj_trace_at(const struct lmt_layout *lay, __u32 state, __u32 number)
{
	struct lmt_state *st = state_at(state);
	__u64 J, refs, tr = 0;

	if (!lay || !st || lay->GG_J.off == LMT_OFF_NONE)
		return 0;
	J = st->g + (__u64)(__s64)(lay->GG_J.off - lay->GG_G.off);
	if (!read_user(&refs, 8, J + (__u32)lay->J_trace.off) ||
	    !read_word(&tr, lay->hot.wide, refs + (lay->hot.wide ? 8ull : 4ull) * number))
		return 0;
	return tr;
}

/* Reads a trace into its cache entry. */
SUBPROG int lj_read_trace(const struct lmt_layout *lay, __u32 state, __u32 number,
			  struct lmt_trace *to)
{
	__u64 tr = lj_trace_at(lay, state, number), mcode, size, spadjust = 0;

	if (!lay || !to || !tr || !read_user(&mcode, 8, tr + (__u32)lay->tr_mcode.off) ||
	    !read_word(&size, false, tr + (__u32)lay->tr_szmcode.off) ||
	    !read_user(&spadjust, 2, tr + (__u32)lay->tr_spadjust.off))
		return 0;
	to->key = (__u64)state << 32 | number;
	to->mcode = mcode;
	to->size = (__u32)size;
	to->spadjust = (__u32)spadjust;
	return 1;
}

static __always_inline struct lmt_trace *lj_cached_trace(__u32 state, __u32 number)
{
	__u32 i = (state * 0x9E3779B1u + number) & (LMT_TRACES - 1);

	return bpf_map_lookup_elem(&traces, &i);
}

/* The return address into the trace, if the cached entry is right about it; else 0. */
static __always_inline __u64 lj_return_address(const struct lmt_trace *tr, __u64 cframe)
{
	__u64 ra;

	if (!read_user(&ra, 8, cframe - JIT_FRAME - tr->spadjust))
		return 0;
	return ra - tr->mcode - 1 < tr->size ? ra : 0;
}

/*
 * The place inside a trace, by its number and L->cframe: the return address into its machine code,
 * 0 where it is not known.
 */
static __always_inline int lj_jit_top(struct hit *h, __u32 number, __u64 cframe, __u64 jit_base)
{
	struct top *top = &h->top;
	struct lmt_trace *tr;

	top->flags = LMT_SITE_JIT;
	top->func = jit_base;
	top->pc = 0;
	top->trace = number;
	if ((__s32)number <= 0)
		return TOP_FOUND; /* inside the collector: the trace number is not there */
	h->cframe = cframe & ~7ull;
	tr = lj_cached_trace(h->t.state, number);
	if (tr && tr->key == ((__u64)h->t.state << 32 | number))
		top->pc = lj_return_address(tr, h->cframe);
	return top->pc ? TOP_FOUND : TOP_TRACE;
}

/* The same where the cache does not have that trace, or another of its number. */
SUBPROG int lj_learn_trace(struct hit *h, const struct lmt_layout *lay)
{
	struct lmt_trace *tr = h ? lj_cached_trace(h->t.state, h->top.trace) : 0;

	if (!h || !lay || !tr)
		return TOP_FOUND;
	if (lj_read_trace(lay, h->t.state, h->top.trace, tr))
		h->top.pc = lj_return_address(tr, h->cframe);
	return TOP_FOUND;
}

/* Not inline: its words would lie on the stack once for each use. */
static __noinline __u64 lj_read_member(__u64 uaddr, __u32 size)
{
	__u64 v[2] = {};

	NO_RANGE(size); /* 6.1 finds no bound for a size that was put together from bytes */
	read_user(v, size & 15, uaddr);
	return v[0];
}

/* A member of a struct of LuaJIT's; 0 where the layout has none, or it cannot be read. */
static __always_inline __u64 lj_member(__u64 base, struct lmt_cell c)
{
	if (c.off == LMT_OFF_NONE || c.size > 8)
		return 0;
	return lj_read_member(base + (__u32)c.off, c.size);
}

#define SNAP_STEPS 12 /* a trace has at most 500 snapshots by default */

/* Where in the trace's machine code its n-th snapshot lies. */
SUBPROG __u64 lj_snap_ofs(const struct lmt_layout *lay, __u64 snaps, __u64 n)
{
	return lay ? lj_member(snaps + (__u32)lay->size_snap.off * n, lay->snap_mcofs) : 0;
}

/* Where the trace goes on if it is left at the last snapshot before the place: a pc; 0 unknown. */
static __always_inline __u64 lj_snap_pc(const struct lmt_layout *lay, __u64 tr, __u64 ofs)
{
	__u64 snaps, snap, lo = 0, hi, pc = 0;

	if (lay->snap_mcofs.off == LMT_OFF_NONE)
		return 0;
	snaps = lj_member(tr, lay->tr_snap);
	hi = lj_member(tr, lay->tr_nsnap);
	for (int i = 0; i < SNAP_STEPS && lo + 1 < hi; i++) {
		__u64 mid = (lo + hi) / 2;

		if (lj_snap_ofs(lay, snaps, mid) <= ofs)
			lo = mid;
		else
			hi = mid;
	}
	snap = snaps + (__u32)lay->size_snap.off * lo;
	if (!hi || !read_word(&pc, lay->hot.wide, lj_member(tr, lay->tr_snapmap) +
			      4 * (lj_member(snap, lay->snap_mapofs) + lj_member(snap, lay->snap_nent))))
		return 0;
	return lay->hot.wide ? pc >> 8 : pc;
}

static __always_inline bool lj_holds(const struct lmt_layout *lay, __u64 proto, __u64 pc)
{
	__u64 code = proto + lay->hot.size_proto;

	return proto && pc >= code && pc < code + 4 * lj_member(proto, lay->P_sizecode);
}

/*
 * A pc (behind the instruction) near a place in a trace, for when the target is gone, or the trace
 * is, before user space can tell which it is. *proto: the function at the base of the trace; that of
 * the pc is put there.
 */
static __always_inline __u64 lj_near_pc(const struct lmt_layout *lay, __u64 tr, __u64 place, __u64 *proto)
{
	__u64 start = lj_member(tr, lay->tr_startpt);
	__u64 pc = lj_snap_pc(lay, tr, place - lj_member(tr, lay->tr_mcode));

	if (lj_holds(lay, *proto, pc))
		return pc + 4;
	*proto = start;
	if (!lj_holds(lay, start, pc))
		pc = lj_member(tr, lay->tr_startpc); /* a function that was inlined */
	return pc + 4;
}

/* One frame down. Gives the pc of the frame below where the link tells it, else 0. */
static __always_inline bool lj_step(bool gc64, __u64 *f, __u64 link, __u64 *pc)
{
	__u64 w = 0;
	__u32 ins;

	*pc = 0;
	if ((link & 3) == 0) {
		if (!try_read(&ins, 4, link - 4))
			return false;
		*pc = link;
		*f -= 8ull * (1 + gc64 + (ins >> 8 & 0xff));
		return true;
	}
	if ((link & 7) == FRAME_CONT) {
		if (!try_read(&w, 8, *f - (gc64 ? 16 : 8)))
			return false;
		*pc = gc64 ? w : w >> 32;
	}
	*f -= link & ~7ull;
	return true;
}

/* The innermost Lua frame of the interpreter; words: the running thread. */
static __always_inline int lj_interp_top(struct hit *h, const struct lmt_hot *hot,
					 struct lmt_state *st, const __u64 *words)
{
	__u64 f = word_at(words, THREAD_WORDS, hot->L_base) - 8, pc = 0, proto;
	__u64 stack = ref_at(words, THREAD_WORDS, hot->L_stack, hot->wide);
	__u64 cframe = word_at(words, THREAD_WORDS, hot->L_cframe) & ~7ull;
	bool gc64 = hot->wide;
	struct lj_frame frame;

	for (int i = 0; i < LMT_TOP_FRAMES && f > stack + (gc64 ? 8 : 0); i++) {
		if (!lj_read_frame(gc64, f, &frame)) {
			count(LMT_STAT_READ_FAULT);
			return TOP_NONE;
		}
		proto = lj_proto(hot, st, frame.func, h->piece);
		if (proto == ~0ull)
			return TOP_NONE;
		if (proto) {
			if (i == 0)
				read_word(&pc, gc64, cframe + (gc64 ? CFRAME_PC_GC64 : CFRAME_PC_GC32));
			h->top.proto = proto;
			h->top.pc = pc;
			h->top.flags = i ? LMT_SITE_BELOW : 0;
			return TOP_FOUND;
		}
		if (!lj_step(gc64, &f, frame.link, &pc))
			return TOP_NONE;
	}
	return TOP_NONE;
}

/* 2.0 leaves jit_base as it was when a trace is left; there the word before it, jit_L, tells. */
static __always_inline bool lj_base_20(const struct lmt_hot *hot, __u64 g, __u64 *jit_base)
{
	__u32 w[2];

	if (!read_user(w, 8, g + hot->G_jit_base - 4))
		return false;
	*jit_base = w[0] ? w[1] : 0;
	return true;
}

/* The running thread and jit_base, which lie side by side in global_State since 2.1. */
static __always_inline bool lj_running(const struct lmt_hot *hot, __u64 g, __u64 *L, __u64 *jit_base)
{
	__u64 w[2];

	if (!hot->G_cur_L)
		return lj_base_20(hot, g, jit_base);
	if (hot->wide) {
		if (!read_user(w, 16, g + hot->G_cur_L))
			return false;
		*L = w[0];
		*jit_base = w[1];
		return true;
	}
	if (!read_user(w, 8, g + hot->G_cur_L))
		return false;
	*L = (__u32)w[0];
	*jit_base = w[0] >> 32;
	return true;
}

/* Where the members lie too far apart, or cannot be read at once: one by one. */
SUBPROG int lj_top_by_parts(struct hit *h, const struct lmt_layout *lay)
{
	struct lmt_state *st;
	__u64 L, jit_base, cframe;
	__u32 number = 0;

	if (!h || !lay)
		return 0;
	st = state_at(h->t.state);
	L = h->t.L;
	if (!st || !lj_running(&lay->hot, st->g, &L, &jit_base) || !L)
		return TOP_NONE;
	if (jit_base) {
		if (!read_user(&cframe, 8, L + lay->hot.L_cframe) ||
		    !read_user(&number, 4, st->g + lay->hot.G_vmstate))
			return TOP_NONE;
		return lj_jit_top(h, number, cframe, jit_base);
	}
	if (L != h->t.L && read_thread(&lay->hot, L, h->t.words) != st->g)
		return TOP_NONE;
	return lj_interp_top(h, &lay->hot, st, h->t.words);
}

/* The innermost frame of a state whose block was read into h->gg. */
static __always_inline int lj_top_in(struct hit *h, const struct lmt_layout *lay, struct lmt_state *st)
{
	const struct lmt_hot *hot = &lay->hot;
	const __u64 *gg = h->gg;
	__u32 G = hot->gg_G;
	__u64 L = ref_at(gg, LMT_GG_WORDS, G + hot->G_cur_L, hot->wide), cframe;
	__u64 jit_base = ref_at(gg, LMT_GG_WORDS, G + hot->G_jit_base, hot->wide);
	bool in_main = L == st->g - G;

	if (!L)
		return TOP_NONE;
	if (!jit_base) {
		if (in_main ? thread_glob(hot, gg) != st->g
			    : L != h->t.L && read_thread(hot, L, h->t.words) != st->g)
			return TOP_NONE; /* not made to the end yet, for one */
		return lj_interp_top(h, hot, st, in_main ? gg : h->t.words);
	}
	if (in_main)
		cframe = word_at(gg, LMT_GG_WORDS, hot->L_cframe);
	else if (!read_user(&cframe, 8, L + hot->L_cframe))
		return TOP_NONE;
	return lj_jit_top(h, u32_at(gg, LMT_GG_WORDS, G + hot->G_vmstate), cframe, jit_base);
}

/* The innermost frame of the state h->t.state. TOP_PARTS: lj_top_by_parts() is to be called. */
SUBPROG int lj_top(struct hit *h, const struct lmt_layout *lay)
{
	struct lmt_state *st = h ? state_at(h->t.state) : 0;
	__u32 size;

	if (!h || !st || !lay)
		return TOP_NONE;
	size = lay->hot.gg_bytes;
	if (!size)
		return TOP_PARTS;
	NO_RANGE(size); /* clang would make one comparison of both, of a difference */
	/* A part that nobody touched yet may have no page while what is needed has one. */
	if (size > sizeof(h->gg) ||
	    bpf_probe_read_user(h->gg, size, (const void *)(st->g - lay->hot.gg_G)))
		return TOP_PARTS;
	return lj_top_in(h, lay, st);
}

/* The prototype of the frame at the base of a trace; 0 unknown. */
SUBPROG __u64 lj_base_proto(const struct lmt_layout *lay, __u64 jit_base)
{
	__u64 proto, fn[FN_WORDS] = {};
	struct lj_frame frame;

	if (!lay || !lj_read_frame(lay->hot.wide, jit_base - 8, &frame))
		return 0;
	proto = lj_proto_of(&lay->hot, frame.func, fn);
	return proto == ~0ull ? 0 : proto;
}

#endif
