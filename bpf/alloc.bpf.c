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

#include "alloc_leave.bpf.h"
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

static __always_inline int session(struct pt_regs *ctx)
{
	__u64 *cookie = session_cookie(ctx);
	struct hit *h;

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

/*
 * When a run that is measured began, on this CPU: on the stack there is no room for it. A thread that
 * preempts another makes one sample too short, which does not matter.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} began_ns __weak SEC(".maps");

/* Our own measure, since the kernel's statistics are switched on for all programs of the machine. */
static __always_inline void run_begins(void)
{
	__u32 zero = 0;
	__u64 *began = measuring ? bpf_map_lookup_elem(&began_ns, &zero) : 0;

	if (began)
		*began = bpf_ktime_get_ns();
}

static __always_inline void run_ends(void)
{
	__u32 zero = 0;
	__u64 *began = measuring ? bpf_map_lookup_elem(&began_ns, &zero) : 0;

	if (!began || !*began)
		return;
	__sync_fetch_and_add(&measured_ns, bpf_ktime_get_ns() - *began);
	__sync_fetch_and_add(&measured_runs, 1);
	*began = 0;
}

SEC("uprobe")
int alloc_session(struct pt_regs *ctx)
{
	int rc;

	share_no_stack();
	if (config.floor)
		return !ctx->cx; /* nsize: with as many return probes as the real one */
	run_begins();
	rc = session(ctx);
	run_ends();
	return rc;
}

static __always_inline void enter_keeping(struct pt_regs *ctx)
{
	struct hit *h;
	__u64 cookie = 0;

	if (!handle_enter(ctx, &cookie))
		return;
	h = hit_get(true);
	if (h)
		h->cookie = cookie;
	else
		count(LMT_STAT_NO_PENDING);
}

SEC("uprobe")
int alloc_enter(struct pt_regs *ctx)
{
	share_no_stack();
	if (config.floor)
		return 0;
	run_begins();
	enter_keeping(ctx);
	run_ends();
	return 0;
}

static __always_inline void leave_kept(struct pt_regs *ctx)
{
	struct hit *h = hit_get(false);
	__u64 cookie;

	if (!h || !h->cookie)
		return;
	cookie = h->cookie;
	h->cookie = 0;
	handle_leave(ctx, h, cookie);
}

SEC("uretprobe")
int alloc_leave(struct pt_regs *ctx)
{
	share_no_stack();
	if (config.floor)
		return 0;
	run_begins();
	leave_kept(ctx);
	run_ends();
	return 0;
}
