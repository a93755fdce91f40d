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
#include "kfunc.h"
#include "ledger.bpf.h"
#include "stack.bpf.h"
#include "state.bpf.h"
#include "thread.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";


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

/* Whose block is freed: that of an owner that is known by address or ud, else what runs there. */
static __always_inline __u32 owner_of_free(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
					   const struct call *c)
{
	__u32 i = owner_of(slot, c->ptr);
	struct hit *h;

	if (!i && p->flags & LMT_PROBE_UD_IS_STATE)
		i = state_of_ud(slot, c->ud);
	if (i)
		return i;
	h = hit_at_entry(ctx, c);
	i = h ? running_at(h, p->layout, slot) : 0;
	if (i && h->t.foreign)
		tell_foreign_caller(h, slot);
	return i ? i : unattributed(slot);
}

/* A free of a block that is not in the ledger: it predates the attach, or was lost. */
static __always_inline void free_unknown(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
					 const struct call *c)
{
	__u32 i = owner_of_free(ctx, p, slot, c);
	struct lmt_state *st = state_at(i);

	if (!st)
		return;
	forget_func(st, c->ptr);
	tell_found(p, slot, i, find_in_unknown(ctx, slot, c, i));
	tell_call(LMT_CALL_FREE, slot, i, 0, c->ptr, c);
	add(&st->frees, 1);
	add(&st->old_frees, 1);
	add(&st->old_free_bytes, c->osize);
	if (st->block == c->ptr)
		state_dead(slot, i);
	else if (st->born_ns && !st->lost_blocks && !gaps)
		count(LMT_STAT_UNMATCHED);
}

static __always_inline void on_free(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
				    const struct call *c)
{
	struct lmt_block old;
	struct lmt_state *st;
	int found = 0;

	if (!c->ptr)
		return;
	if (!take_block(LMT_KEY(slot, c->ptr), &old)) {
		free_unknown(ctx, p, slot, c);
		return;
	}
	if (LMT_BLOCK_SIZE(&old) != c->osize)
		found = find_size_mismatch(ctx, c, &old);
	else if (p->flags & LMT_PROBE_CHECK_CHUNK)
		found = find_bad_chunk(ctx, c, &old);
	tell_found(p, slot, old.state, found);
	if (p->flags & LMT_PROBE_CHECK_CHUNK && note_free(ctx, slot, c->ptr, old.state)) {
		struct hit *h = hit_at_entry(ctx, c);

		if (h)
			find_free_place(h, p->layout, slot, old.state);
	}
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
	struct hit *h = hit_get(true);
	struct birth b;

	if (!p || !c || !take_birth(c->nsize, &b))
		return 0;
	if (!h) {
		count(LMT_STAT_NO_PENDING);
		return 0;
	}
	/* LuaJIT makes its arena, hence the ud, inside lua_newstate(). */
	h->ptr = p->reg_ud == LMT_REG_LOST ? b.ud : c->ud;
	h->nsize = b.layout | (__u64)b.runtime << 32;
	h->birth_flags = p->flags;
	return 1;
}

/* Keeps what a realloc needs until its return and takes the old block out of the ledger. */
static __always_inline bool begin_realloc(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot,
					  const struct call *c)
{
	struct hit *h = hit_get(true);
	struct lmt_block old = { .size_tags = c->osize & LMT_SIZE_MASK };
	bool had;
	int found = 0;

	if (!h) {
		count(LMT_STAT_NO_PENDING);
		return false;
	}
	had = ledger_take(LMT_KEY(slot, c->ptr), &old);
	h->ptr = c->ptr;
	h->nsize = c->nsize;
	h->realloc_sp = ctx->sp;
	h->old = old;
	h->had_old = had;
	if (!had)
		found = find_in_unknown(ctx, slot, c, 0);
	else if (LMT_BLOCK_SIZE(&old) != c->osize)
		found = find_size_mismatch(ctx, c, &old);
	tell_found(p, slot, had ? old.state : 0, found);
	return true;
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

/*
 * Which state a call that returns belongs to, by locate(), or the process where that is not known.
 * NEEDS_LAYOUT: the caller is to be asked again, with h->layout.
 */
static __always_inline __u32 locate_return(struct hit *h, __u32 slot, __u32 state)
{
	__u32 found = locate(h, h->layout, slot, state);

	if (found == NEEDS_LAYOUT && !h->asked)
		return NEEDS_LAYOUT;
	if (found == NEEDS_LAYOUT)
		found = 0;
	if (c_heap && found)
		note_running(h, found);
	return found ? found : unattributed(slot);
}

/* What remains to be done for a call that returns, by the program itself: calls nest deep enough as it is. */
enum {
	LEAVE_DONE,
	LEAVE_AGAIN,   /* with h->layout */
	LEAVE_REFUSED, /* find_refused() */
};

/* A new block, or a refusal. */
SUBPROG int leave_new(struct hit *h, __u32 slot, __u64 cookie, __u32 state)
{
	__u32 tag = COOKIE_TAG(cookie);
	struct lmt_site *site = 0;
	struct lmt_state *st;

	if (!h)
		return 0;
	ledger_touch(LMT_KEY(slot, h->result));
	h->call = (struct call){ 0, 0, tag, COOKIE_SIZE(cookie) };
	/* A state's own block holds whatever was there before: nothing to be read from it yet. */
	h->top = (struct top){ .flags = LMT_SITE_NO_LUA, .tag = tag };
	if (COOKIE_KIND(cookie) != CALL_BIRTH)
		state = locate_return(h, slot, state);
	if (state == NEEDS_LAYOUT)
		return LEAVE_AGAIN;
	st = state_at(state);
	if (!st)
		return 0;
	if (!h->result) {
		add(&st->failures, 1);
		tell_call(LMT_CALL_REFUSED, slot, state, 0, 0, &h->call);
		h->block.state = state;
		return COOKIE_KIND(cookie) == CALL_BIRTH ? LEAVE_DONE : LEAVE_REFUSED;
	}
	if (refused_any)
		find_granted(slot, state, &h->call);
	h->block.size_tags = h->call.nsize | (__u64)tag << 48 | (__u64)(st->last_tag & 0xff) << 56;
	h->block.state = state;
	h->block.site = site_get(state, tag, &h->top, h->result, &site);
	h->block.born = born_now(st);
	st->last_tag = tag;
	add(&st->allocs, 1);
	add(&st->alloc_bytes, h->call.nsize);
	if (site) {
		h->block.site = with_stack(h, st, site, h->result, h->call.nsize);
		add(&site->allocs, 1);
		add(&site->alloc_bytes, h->call.nsize);
	}
	put_block(slot, st, h->result, &h->block);
	h->call.osize = 0;
	tell_call(LMT_CALL_ALLOC, slot, state, h->block.site, h->result, &h->call);
	return 0;
}

/* Growth belongs to the line that made the block grow; a shrunken block keeps its line. */
SUBPROG int realloc_done(struct hit *h, __u32 slot, __u32 state)
{
	struct lmt_site *site = 0;
	struct lmt_state *st;
	__u64 osize, nsize;
	bool grown;

	if (!h)
		return 0;
	h->block = h->old;
	osize = LMT_BLOCK_SIZE(&h->old);
	nsize = h->nsize;
	grown = nsize > osize;
	h->call = (struct call){ 0, h->ptr, osize, nsize };
	if (h->had_old)
		state = h->old.state;
	h->top.tag = 0;
	if (grown || !h->had_old)
		state = locate_return(h, slot, state);
	if (state == NEEDS_LAYOUT)
		return LEAVE_AGAIN;
	st = state_at(state);
	if (!st)
		return 0;
	if (!h->had_old) {
		h->block.size_tags = 0;
		h->block.born = born_now(st);
		add(&st->adopted_bytes, osize);
		add(&st->adopted_blocks, 1);
	}
	if (grown && refused_any)
		find_granted(slot, state, &h->call);
	h->block.state = state;
	if (grown || !h->had_old)
		h->block.site = site_get(state, LMT_BLOCK_TAG(&h->block), &h->top, h->result, &site);
	if (grown) {
		add(&st->alloc_bytes, nsize - osize);
		if (site) {
			h->block.site = with_stack(h, st, site, h->result, nsize);
			add(&site->alloc_bytes, nsize - osize);
			add(&site->reallocs, 1);
		}
	} else {
		add(&st->free_bytes, osize - nsize);
	}
	h->block.size_tags = (h->block.size_tags & ~LMT_SIZE_MASK) | (nsize & LMT_SIZE_MASK);
	add(&st->reallocs, 1);
	put_block(slot, st, h->result, &h->block);
	tell_call(LMT_CALL_REALLOC, slot, state, h->block.site, h->result, &h->call);
	return 0;
}

/* A refused realloc: the old block lives on, unchanged. */
SUBPROG int realloc_failed(struct hit *h, __u32 slot, __u32 state)
{
	struct lmt_state *st;

	if (!h)
		return 0;
	h->call = (struct call){ 0, h->ptr, LMT_BLOCK_SIZE(&h->old), h->nsize };
	h->top.tag = 0;
	state = locate_return(h, slot, h->had_old ? h->old.state : state);
	if (state == NEEDS_LAYOUT)
		return LEAVE_AGAIN;
	st = state_at(state);
	if (!st)
		return 0;
	add(&st->failures, 1);
	if (h->had_old)
		put_block(slot, st, h->ptr, &h->old);
	tell_call(LMT_CALL_REFUSED, slot, state, 0, 0, &h->call);
	h->block.state = state;
	return LEAVE_REFUSED;
}

/* The first block of a new state. */
static __always_inline int leave_birth(struct hit *h, __u32 slot, __u64 cookie, __u32 state)
{
	struct lmt_state *st;

	if (h->result)
		state = (__u32)state_born(slot, (__u32)h->nsize, h->result, h->ptr, h->birth_flags);
	st = state_at(state);
	if (st)
		st->runtime = (__u32)(h->nsize >> 32);
	return leave_new(h, slot, cookie, state ? state : process_state(slot));
}

static __always_inline int leave_kind(struct hit *h, __u32 slot, __u64 cookie)
{
	__u32 state = COOKIE_STATE(cookie);

	if (COOKIE_KIND(cookie) == CALL_NEW)
		return leave_new(h, slot, cookie, state);
	if (COOKIE_KIND(cookie) == CALL_BIRTH)
		return leave_birth(h, slot, cookie, state);
	return h->result ? realloc_done(h, slot, state) : realloc_failed(h, slot, state);
}

static __always_inline void leave(struct pt_regs *ctx, struct hit *h, __u32 slot, __u64 cookie)
{
	const struct lmt_probe *p;
	int left;

	if (!COOKIE_KIND(cookie))
		return;
	if (COOKIE_KIND(cookie) != CALL_NEW)
		h->realloc_sp = 0;
	if (ctx->ax >> 47) {
		count(LMT_STAT_UNALIGNED);
		return;
	}
	h->result = ctx->ax;
	h->layout = h->asked = h->t.foreign = 0;
	caller_at_return(ctx, &h->caller);
	left = leave_kind(h, slot, cookie);
	if (left == LEAVE_AGAIN) {
		p = current_probe(ctx);
		h->layout = p ? p->layout : 0;
		h->asked = 1;
		left = leave_kind(h, slot, cookie);
	}
	if (h->t.foreign)
		tell_foreign(h, slot, h->caller.ip);
	if (left == LEAVE_REFUSED)
		find_refused(h, h->block.state);
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
	struct hit *h = hit_get(true);

	if (!h)
		return 0;
	if (h->open_sp > ctx->sp)
		return 1;
	h->open_sp = ctx->sp;
	return 0;
}

/* For the C heap: what is taken from malloc() until the allocator returns is Lua's. */
static __noinline int lua_begins(const struct pt_regs *ctx)
{
	struct hit *h = hit_get(true);

	if (h)
		h->lua_sp = ctx->sp;
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

static __always_inline void handle_leave(struct pt_regs *ctx, struct hit *h, __u64 cookie)
{
	__u32 slot = slot_again();

	if (!slot || !cookie)
		return;
	if (!h) {
		count(LMT_STAT_NO_PENDING);
		return;
	}
	if (cookie & COOKIE_NEST && h->open_sp == ctx->sp - 8)
		h->open_sp = 0;
	if (c_heap)
		h->lua_sp = 0;
	leave(ctx, h, slot, cookie);
}

/* Does nothing but the cookie tell of the call that returns? */
static __always_inline bool keeps_nothing(__u64 cookie)
{
	return COOKIE_KIND(cookie) == CALL_NEW && !(cookie & COOKIE_NEST) && !c_heap;
}

SEC("uprobe")
int alloc_session(struct pt_regs *ctx)
{
	__u64 *cookie = session_cookie(ctx);
	struct hit *h;

	share_no_stack();
	if (config.floor)
		return !ctx->cx; /* nsize: with as many return probes as the real one */
	if (!session_is_return(ctx))
		return !handle_enter(ctx, cookie); /* 1: no return probe for this call */
	h = keeps_nothing(*cookie) ? hit_of_cpu() : 0;
	if (!h)
		h = hit_get(true);
	handle_leave(ctx, h, *cookie);
	if (h)
		room_give(&h->busy);
	return 0;
}

SEC("uprobe")
int alloc_enter(struct pt_regs *ctx)
{
	struct hit *h;
	__u64 cookie = 0;

	share_no_stack();
	if (config.floor || !handle_enter(ctx, &cookie))
		return 0;
	h = hit_get(true);
	if (h)
		h->cookie = cookie;
	else
		count(LMT_STAT_NO_PENDING);
	return 0;
}

SEC("uretprobe")
int alloc_leave(struct pt_regs *ctx)
{
	struct hit *h = config.floor ? 0 : hit_get(false);
	__u64 cookie;

	share_no_stack();
	if (!h || !h->cookie)
		return 0;
	cookie = h->cookie;
	h->cookie = 0;
	handle_leave(ctx, h, cookie);
	return 0;
}
