// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * alloc: the allocator callback f(ud, ptr, osize, nsize) → what happened, decided on return.
 *
 *	ptr NULL, nsize > 0    new block; osize is a type tag in Lua 5.2 and later
 *	ptr, nsize > 0         grow or shrink; on failure the old block stays
 *	ptr, nsize 0           free
 *	result NULL, nsize > 0 failure
 *
 * Two forms of the same: a session program (Linux 6.13+) sees entry and return, carries a 64-bit
 * cookie between them and asks for no return at all for a free; elsewhere an entry and a return
 * program carry it in the thread's storage. A realloc needs more than a cookie in both forms.
 */
#include "maps.bpf.h"

#include "c_heap.bpf.h"
#include "call.bpf.h"
#include "filter.bpf.h"
#include "find_alloc.bpf.h"
#include "ledger.bpf.h"
#include "stack.bpf.h"
#include "state.bpf.h"
#include "thread.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

extern bool bpf_session_is_return(void) __ksym __weak;
extern long long *bpf_session_cookie(void) __ksym __weak;

/*
 * The cookie: bits 0-36 nsize, 37 the probe may nest, 38-39 kind (0: only that is to be ended),
 * 40-43 tag, 44-63 state told by ud. What it carries need not be asked for again on return: on
 * machines that guard each return instruction a helper call costs more than ten nanoseconds.
 */
enum { CALL_NEW = 1, CALL_REALLOC = 2, CALL_BIRTH = 3 };
#define COOKIE_NEST (1ull << 37)
#define COOKIE_SIZE_MASK (COOKIE_NEST - 1)
#define COOKIE_SIZE(c) ((c) & COOKIE_SIZE_MASK)
#define COOKIE_KIND(c) ((c) >> 38 & 3)
#define COOKIE_TAG(c) ((c) >> 40 & 15)
#define COOKIE_STATE(c) ((c) >> 44)

static __always_inline __u64 cookie_make(__u32 kind, __u64 nsize, __u64 tag, __u32 state)
{
	if (nsize > COOKIE_SIZE_MASK)
		nsize = COOKIE_SIZE_MASK; /* cannot succeed: 128 GiB */
	if (tag > LMT_TAG_OTHER)
		tag = LMT_TAG_OTHER;
	return nsize | (__u64)kind << 38 | tag << 40 | (__u64)state << 44;
}

/* A free of a block that is not in the ledger: it predates the attach, or was lost. */
static __noinline int free_unknown(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
				   const struct call *c)
{
	struct caller caller;
	struct lmt_state *st;
	struct thread t;
	__u32 i;

	if (!p || !c)
		return 0;
	i = owner_of(slot, c->ptr);
	if (!i && p->flags & LMT_PROBE_UD_IS_STATE)
		i = state_of_ud(slot, c->ud);
	if (!i) {
		caller_at_entry(ctx, &caller);
		i = find_thread(&caller, p->layout, slot, &t);
		if (!i || i == NEEDS_LAYOUT)
			i = unattributed(slot);
		if (t.foreign)
			tell_foreign_caller(&t, slot, &caller);
	}
	st = state_at(i);
	if (!st)
		return 0;
	forget_func(st, c->ptr);
	find_in_unknown(ctx, p, slot, c, i);
	tell_call(LMT_CALL_FREE, slot, i, 0, c->ptr, c);
	add(&st->frees, 1);
	add(&st->old_frees, 1);
	add(&st->old_free_bytes, c->osize);
	if (st->block == c->ptr)
		state_dead(slot, i);
	else if (st->born_ns && !st->lost_blocks && !gaps)
		count(LMT_STAT_UNMATCHED);
	return 0;
}

static __always_inline void on_free(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
				    const struct call *c)
{
	struct lmt_block old;
	struct lmt_state *st;

	if (!c->ptr)
		return;
	if (!take_block(LMT_KEY(slot, c->ptr), &old)) {
		free_unknown(ctx, p, slot, c);
		return;
	}
	if (LMT_BLOCK_SIZE(&old) != c->osize)
		find_size_mismatch(ctx, p, slot, c, &old);
	else if (p->flags & LMT_PROBE_CHECK_CHUNK)
		find_bad_chunk(ctx, p, slot, c, &old);
	if (p->flags & LMT_PROBE_CHECK_CHUNK)
		note_free(ctx, p, slot, c->ptr, old.state);
	st = state_at(old.state);
	if (!st)
		return;
	forget_func(st, c->ptr);
	tell_call(LMT_CALL_FREE, slot, old.state, old.site, c->ptr, c);
	add(&st->frees, 1);
	add(&st->free_bytes, LMT_BLOCK_SIZE(&old));
	if (old.site >= config.first_stack && !(st->flags & LMT_STATE_CLOSING))
		stack_freed(old.site, LMT_BLOCK_SIZE(&old),
			    (st->gc_cycle - LMT_BLOCK_CYCLE(&old)) & LMT_CYCLE_MASK);
	if (st->block == c->ptr)
		state_dead(slot, old.state);
}

/* The first allocator call of a thread inside lua_newstate() asks for the state's own block. */
SUBPROG int take_birth(__u64 nsize, struct birth *out)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct birth *b = bpf_map_lookup_elem(&births, &tid);
	const struct lmt_layout *lay;

	if (!b || !out)
		return 0;
	*out = *b;
	bpf_map_delete_elem(&births, &tid);
	__sync_fetch_and_add(&births_open, -1);
	lay = layout_at(out->layout);
	return lay && nsize == (__u32)lay->block_size.off;
}

/* A birth is carried to the return like a realloc; false when this is none after all. */
static __noinline int begin_birth(const struct lmt_probe *p, const struct call *c)
{
	struct pending *pend = pending_get(true);
	struct birth b;

	if (!p || !c || !take_birth(c->nsize, &b))
		return 0;
	if (!pend) {
		count(LMT_STAT_NO_PENDING);
		return 0;
	}
	/* LuaJIT makes its arena, hence the ud, inside lua_newstate(). */
	pend->ptr = p->reg_ud == LMT_REG_LOST ? b.ud : c->ud;
	pend->nsize = b.layout | (__u64)b.runtime << 32;
	return 1;
}

/* Keeps what a realloc needs until its return and takes the old block out of the ledger. */
static __noinline int begin_realloc(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
				    const struct call *c)
{
	struct pending *pend = pending_get(true);

	if (!pend || !c || !p) {
		count(LMT_STAT_NO_PENDING);
		return 0;
	}
	pend->ptr = c->ptr;
	pend->nsize = c->nsize;
	pend->realloc_sp = ctx->sp;
	pend->had_old = ledger_take(LMT_KEY(slot, c->ptr), &pend->old);
	if (!pend->had_old) {
		pend->old.size_tags = c->osize & LMT_SIZE_MASK;
		find_in_unknown(ctx, p, slot, c, 0);
	} else if (LMT_BLOCK_SIZE(&pend->old) != c->osize) {
		find_size_mismatch(ctx, p, slot, c, &pend->old);
	}
	return 1;
}

/* True when a return is wanted; *cookie goes with it. */
static __always_inline bool enter(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
				  const struct call *c, __u64 *cookie)
{
	__u32 state = 0;

	if (!c->nsize) {
		on_free(ctx, p, slot, c);
		return false;
	}
	if (p->flags & LMT_PROBE_UD_IS_STATE)
		state = state_of_ud(slot, c->ud);
	if (c->ptr) {
		if (c->ptr >> 47) {
			count(LMT_STAT_UNALIGNED);
			return false;
		}
		*cookie = cookie_make(CALL_REALLOC, c->nsize, 0, state);
		return begin_realloc(ctx, p, slot, c);
	}
	*cookie = cookie_make(births_open && begin_birth(p, c) ? CALL_BIRTH : CALL_NEW, c->nsize,
			      c->osize, state);
	return true;
}

static __always_inline void put_block(__u32 slot, struct lmt_state *st, __u64 ptr,
				      const struct lmt_block *v)
{
	int rc = ledger_put(LMT_KEY(slot, ptr), v);

	if (rc == LEDGER_NEW)
		return;
	if (rc == LEDGER_REPLACED) {
		count(LMT_STAT_REPLACED);
		st->flags |= LMT_STATE_BLIND;
		return;
	}
	count(LMT_STAT_MAP_FULL);
	add(&st->lost_blocks, 1);
	add(&st->lost_bytes, LMT_BLOCK_SIZE(v));
}

/* Which state a call that returns belongs to, by locate(), or the process where that is not known. */
static __always_inline __u32 locate_return(struct pt_regs *ctx, __u32 slot, __u32 state, struct top *top)
{
	struct caller caller;
	__u32 found;

	caller_at_return(ctx, &caller);
	found = locate(&caller, 0, slot, state, top);
	if (found == NEEDS_LAYOUT) {
		const struct lmt_probe *p = current_probe(ctx);

		found = p && p->layout ? locate(&caller, p->layout, slot, state, top) : 0;
	}
	if (c_heap && found)
		note_running(found, top->L);
	return found ? found : unattributed(slot);
}

static __noinline int leave_new(struct pt_regs *ctx, __u32 slot, __u64 cookie, __u32 state)
{
	__u64 ptr = ctx->ax, nsize = COOKIE_SIZE(cookie);
	struct call c = { 0, 0, COOKIE_TAG(cookie), nsize };
	struct lmt_site *site = 0;
	struct lmt_block v;
	struct lmt_state *st;
	struct top top;

	ledger_touch(LMT_KEY(slot, ptr));
	/* A state's own block holds whatever was there before: nothing to be read from it yet. */
	top = (struct top){ .flags = LMT_SITE_NO_LUA, .tag = COOKIE_TAG(cookie) };
	if (COOKIE_KIND(cookie) != CALL_BIRTH)
		state = locate_return(ctx, slot, state, &top);
	st = state_at(state);
	if (!st)
		return 0;
	if (!ptr) {
		add(&st->failures, 1);
		tell_call(LMT_CALL_REFUSED, slot, state, 0, 0, &c);
		if (COOKIE_KIND(cookie) != CALL_BIRTH)
			find_refused(ctx, state, &top, &c);
		return 0;
	}
	if (refused_any)
		find_granted(slot, state, &c);
	v.size_tags = nsize | COOKIE_TAG(cookie) << 48 | (__u64)(st->last_tag & 0xff) << 56;
	v.state = state;
	v.site = site_get(state, COOKIE_TAG(cookie), &top, ptr, &site);
	v.born = born_now(st);
	st->last_tag = COOKIE_TAG(cookie);
	add(&st->allocs, 1);
	add(&st->alloc_bytes, nsize);
	if (site) {
		v.site = with_stack(ctx, st, site, &v, &top, ptr, nsize);
		add(&site->allocs, 1);
		add(&site->alloc_bytes, nsize);
	}
	put_block(slot, st, ptr, &v);
	tell_call(LMT_CALL_ALLOC, slot, state, v.site, ptr, &(struct call){ 0, 0, 0, nsize });
	return 0;
}

/* Growth belongs to the line that made the block grow; a shrunken block keeps its line. */
static __noinline int realloc_done(struct pt_regs *ctx, __u32 slot, struct pending *pend,
				   __u32 state)
{
	struct lmt_site *site = 0;
	struct lmt_block v;
	struct lmt_state *st;
	struct call c;
	struct top top;
	__u64 osize;
	bool grown;

	if (!pend)
		return 0;
	v = pend->old;
	osize = LMT_BLOCK_SIZE(&v);
	grown = pend->nsize > osize;
	if (pend->had_old)
		state = v.state;
	top.tag = 0;
	if (grown || !pend->had_old)
		state = locate_return(ctx, slot, state, &top);
	st = state_at(state);
	if (!st)
		return 0;
	if (!pend->had_old) {
		v.size_tags = 0;
		v.born = born_now(st);
		add(&st->adopted_bytes, osize);
		add(&st->adopted_blocks, 1);
	}
	c = (struct call){ 0, pend->ptr, osize, pend->nsize };
	if (grown && refused_any)
		find_granted(slot, state, &c);
	v.state = state;
	if (grown || !pend->had_old)
		v.site = site_get(state, LMT_BLOCK_TAG(&v), &top, ctx->ax, &site);
	if (grown) {
		add(&st->alloc_bytes, pend->nsize - osize);
		if (site) {
			v.site = with_stack(ctx, st, site, &v, &top, ctx->ax,
					    pend->nsize);
			add(&site->alloc_bytes, pend->nsize - osize);
			add(&site->reallocs, 1);
		}
	} else {
		add(&st->free_bytes, osize - pend->nsize);
	}
	v.size_tags = (v.size_tags & ~LMT_SIZE_MASK) | (pend->nsize & LMT_SIZE_MASK);
	add(&st->reallocs, 1);
	put_block(slot, st, ctx->ax, &v);
	tell_call(LMT_CALL_REALLOC, slot, state, v.site, ctx->ax, &c);
	return 0;
}

/* A refused realloc: the old block lives on, unchanged. */
static __noinline int realloc_failed(struct pt_regs *ctx, __u32 slot, struct pending *pend,
				     __u32 state)
{
	struct call c = { .ptr = pend ? pend->ptr : 0 };
	struct lmt_state *st;
	struct top top;

	if (!pend)
		return 0;
	top.tag = 0;
	state = locate_return(ctx, slot, pend->had_old ? pend->old.state : state, &top);
	st = state_at(state);
	if (!st)
		return 0;
	add(&st->failures, 1);
	if (pend->had_old)
		put_block(slot, st, pend->ptr, &pend->old);
	c.osize = LMT_BLOCK_SIZE(&pend->old);
	c.nsize = pend->nsize;
	tell_call(LMT_CALL_REFUSED, slot, state, 0, 0, &c);
	find_refused(ctx, state, &top, &c);
	return 0;
}

/* The return of a call that needed more than the cookie. */
static __noinline int leave_pending(struct pt_regs *ctx, __u32 slot, __u64 cookie, __u32 state)
{
	struct pending *pend = pending_get(false);

	if (!pend)
		return 0;
	pend->realloc_sp = 0;
	if (COOKIE_KIND(cookie) == CALL_BIRTH) {
		const struct lmt_probe *p = current_probe(ctx);
		struct lmt_state *st;

		if (ctx->ax && p)
			state = (__u32)state_born(slot, (__u32)pend->nsize, ctx->ax, pend->ptr,
						  p->flags);
		st = state_at(state);
		if (st)
			st->runtime = (__u32)(pend->nsize >> 32);
		return leave_new(ctx, slot, cookie, state ? state : process_state(slot));
	}
	return ctx->ax ? realloc_done(ctx, slot, pend, state)
		       : realloc_failed(ctx, slot, pend, state);
}

static __always_inline void leave(struct pt_regs *ctx, __u32 slot, __u64 cookie)
{
	if (!COOKIE_KIND(cookie))
		return;
	if (ctx->ax >> 47)
		count(LMT_STAT_UNALIGNED);
	else if (COOKIE_KIND(cookie) == CALL_NEW)
		leave_new(ctx, slot, cookie, COOKIE_STATE(cookie));
	else
		leave_pending(ctx, slot, cookie, COOKIE_STATE(cookie));
}

/* The call's arguments from the registers the plan found them in. */
static __noinline int get_call(const struct pt_regs *ctx, const struct lmt_probe *p, struct call *c)
{
	c->ud = reg_get(ctx, p->reg_ud);
	c->ptr = p->kind == LMT_PROBE_MALLOC ? 0 : reg_get(ctx, p->reg_ptr);
	c->osize = reg_get(ctx, p->reg_osize);
	c->nsize = p->kind == LMT_PROBE_FREE ? 0 : reg_get(ctx, p->reg_nsize);
	return 0;
}

/*
 * An allocator that calls another probed one: only the outer call counts. The outer call is still
 * running while its stack pointer lies above ours; a note left behind by a thread that never
 * returned is overwritten by the next call from further out.
 */
static __noinline int is_nested(const struct pt_regs *ctx)
{
	struct pending *pend = pending_get(true);

	if (!pend)
		return 0;
	if (pend->open_sp > ctx->sp)
		return 1;
	pend->open_sp = ctx->sp;
	return 0;
}

static __noinline int nested_end(const struct pt_regs *ctx)
{
	struct pending *pend = pending_get(false);

	if (pend && pend->open_sp == ctx->sp - 8)
		pend->open_sp = 0;
	return 0;
}

/* For the C heap: what is taken from malloc() until the allocator returns is Lua's. */
static __noinline int lua_begins(const struct pt_regs *ctx)
{
	struct pending *pend = pending_get(true);

	if (pend)
		pend->lua_sp = ctx->sp;
	return 0;
}

static __noinline int lua_ends(void)
{
	struct pending *pend = pending_get(false);

	if (pend)
		pend->lua_sp = 0;
	return 0;
}

static __always_inline bool handle_enter(struct pt_regs *ctx, __u64 *cookie)
{
	__u32 slot = current_slot();
	const struct lmt_probe *p;
	struct call c;
	bool wanted;

	if (!slot)
		return false;
	if (!ctx->cx) /* most likely a free */
		ledger_touch(LMT_KEY(slot, ctx->si));
	p = current_probe(ctx);
	if (!p)
		return false;
	*cookie = 0;
	if (p->flags & LMT_PROBE_MAY_NEST && is_nested(ctx))
		return false;
	if (p->flags & LMT_PROBE_PLAIN_REGS) {
		c.ud = ctx->di;
		c.ptr = ctx->si;
		c.osize = ctx->dx;
		c.nsize = ctx->cx;
	} else {
		get_call(ctx, p, &c);
	}
	if (c_heap && c.nsize)
		lua_begins(ctx);
	wanted = enter(ctx, p, slot, &c, cookie);
	if (p->flags & LMT_PROBE_MAY_NEST) {
		if (!wanted)
			*cookie = 0;
		*cookie |= COOKIE_NEST;
		return true;
	}
	return wanted;
}

static __always_inline void handle_leave(struct pt_regs *ctx, __u64 cookie)
{
	__u32 slot = slot_again();

	if (!slot || !cookie)
		return;
	if (cookie & COOKIE_NEST)
		nested_end(ctx);
	if (c_heap)
		lua_ends();
	leave(ctx, slot, cookie);
}

SEC("uprobe")
int alloc_session(struct pt_regs *ctx)
{
	__u64 *cookie = (__u64 *)bpf_session_cookie();

	if (config.floor)
		return !ctx->cx; /* nsize: with as many return probes as the real one */
	if (!bpf_session_is_return())
		return !handle_enter(ctx, cookie); /* 1: no return probe for this call */
	handle_leave(ctx, *cookie);
	return 0;
}

SEC("uprobe")
int alloc_enter(struct pt_regs *ctx)
{
	struct pending *pend;
	__u64 cookie = 0;

	if (config.floor || !handle_enter(ctx, &cookie))
		return 0;
	pend = pending_get(true);
	if (pend)
		pend->cookie = cookie;
	else
		count(LMT_STAT_NO_PENDING);
	return 0;
}

SEC("uretprobe")
int alloc_leave(struct pt_regs *ctx)
{
	struct pending *pend = config.floor ? 0 : pending_get(false);
	__u64 cookie;

	if (!pend || !pend->cookie)
		return 0;
	cookie = pend->cookie;
	pend->cookie = 0;
	handle_leave(ctx, cookie);
	return 0;
}

/* The same for malloc() and its kin, see c_heap.bpf.h. */
SEC("uprobe")
int c_heap_session(struct pt_regs *ctx)
{
	if (!bpf_session_is_return())
		return !c_enter(ctx);
	c_leave(ctx);
	return 0;
}

SEC("uprobe")
int c_heap_enter(struct pt_regs *ctx)
{
	c_enter(ctx);
	return 0;
}

SEC("uretprobe")
int c_heap_leave(struct pt_regs *ctx)
{
	c_leave(ctx);
	return 0;
}
