// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * lua: the rare paths every runtime has: states that are born and closed, memory errors, libraries
 * that come and go. Entry probes only: an error may unwind through these functions.
 */
#include "maps.bpf.h"

#include "creator.bpf.h"
#include "filter.bpf.h"
#include "find_oom.bpf.h"
#include "hold.bpf.h"
#include "label.bpf.h"
#include "ledger.bpf.h"
#include "state.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

static __always_inline void on_newstate(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct birth b = { .layout = p->layout, .runtime = p->runtime };
	__u64 f;

	b.ud = reg_get(ctx, p->reg_ud);
	if (!bpf_map_lookup_elem(&births, &tid))
		__sync_fetch_and_add(&births_open, 1);
	if (bpf_map_update_elem(&births, &tid, &b, BPF_ANY))
		__sync_fetch_and_add(&births_open, -1);
	f = reg_get(ctx, p->reg_ptr);
	tell_newstate(slot, p->layout, f, b.ud, (__u32)find_creator(ctx, p, slot));
	f = LMT_KEY(slot, f);
	if (!bpf_map_lookup_elem(&known_allocators, &f))
		hold(follow_flags()); /* until it has its probe */
}

/* Each call of the loader's hook means that the list of libraries is about to change or has. */
static __always_inline void on_maps(__u32 slot)
{
	emit(LMT_EV_MAPS, slot, 0, 0, 0);
	hold(follow_flags());
}

/*
 * LuaJIT's own allocator unmaps its arena at the end and frees the state's block with it, so the
 * ledger must forget that block here. Everything else is freed one by one, also by PUC Lua.
 */
static __always_inline void on_close(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	__u64 L = reg_get(ctx, p->reg_ptr), g = 0;
	const struct lmt_layout *lay;
	struct lmt_block old;
	struct lmt_state *st;
	__u32 i;

	lay = layout_at(p->layout);
	if (!lay || !read_word(&g, lay->hot.wide, L + lay->hot.L_glob))
		return;
	i = owner_of(slot, g);
	st = state_at(i);
	if (!st || st->flags & LMT_STATE_CLOSING) {
		/* Or one that was not seen to take the place of one that was closed. */
		emit(LMT_EV_STATE_CLOSING, slot, 0, 0, 0);
		return;
	}
	st->flags |= LMT_STATE_CLOSING;
	st->close_ns = bpf_ktime_get_ns();
	if (st->flags & LMT_STATE_ARENA && ledger_take(LMT_KEY(slot, st->block), &old))
		__sync_fetch_and_add(&st->free_bytes, LMT_BLOCK_SIZE(&old));
	if (p->flags & LMT_PROBE_LABEL)
		send_label(lay, slot, i, g);
	emit(LMT_EV_STATE_CLOSING, slot, i, 0, 0);
}

#define LUA_GCCOLLECT 2

/*
 * A whole collection begins. It is counted here, not when a poll sees what it did: two of them between
 * two polls leave the collector as it was, and what is born behind them has survived none.
 */
static __noinline int on_full_gc(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	const struct lmt_layout *lay;
	struct lmt_state *st;
	__u64 g = 0;

	if (!p || (p->args && (__u32)reg_get(ctx, p->reg_osize) != LUA_GCCOLLECT))
		return 0;
	lay = layout_at(p->layout);
	if (!lay || !read_word(&g, lay->hot.wide, reg_get(ctx, p->reg_ptr) + lay->hot.L_glob))
		return 0;
	st = state_at(owner_of(slot, g));
	if (st)
		__sync_fetch_and_add(&st->gc_cycle, 1);
	return 0;
}

/* The caller of a function whose probe may stand behind a push. */
static __always_inline void caller_before_push(struct pt_regs *ctx, const struct lmt_probe *p,
					       struct caller *c)
{
	caller_at_entry(ctx, c);
	if (!p->pushed)
		return;
	c->sp += p->pushed;
	read_user(&c->ip, 8, c->sp - 8);
}

#define LUA_ERRMEM 4

/* A memory error in the state h->refused.state, g, raised by h->caller, without a refusal seen before. */
SUBPROG int tell_throw(struct hit *h, __u32 layout, __u32 slot, __u64 g)
{
	if (!h || !state_at(h->refused.state))
		return 0;
	h->refused.site = (__u32)find_place(h, layout, slot, h->refused.state);
	h->refused.live = vm_bytes(layout_at(layout), g);
	return tell_oom(slot, (__u32)bpf_get_current_pid_tgid(), &h->refused, 1);
}

/* luaD_throw(L, code): the memory error, with or without a refusal seen before. */
static __noinline int on_throw(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	const struct lmt_layout *lay;
	struct refused *known;
	struct hit *h;
	__u64 g = 0;

	if (!p)
		return 0;
	if ((__u32)reg_get(ctx, p->reg_osize) != LUA_ERRMEM) {
		__sync_fetch_and_add(&throws, 1);
		return 0;
	}
	known = bpf_map_lookup_elem(&refusals, &tid);
	if (known)
		return tell_oom(slot, tid, known, 1);
	lay = layout_at(p->layout);
	if (!lay || !read_word(&g, lay->hot.wide, reg_get(ctx, p->reg_ptr) + lay->hot.L_glob))
		return 0;
	h = hit_get(true);
	if (!h)
		return 0;
	h->refused = (struct refused){ .state = owner_of(slot, g) };
	caller_before_push(ctx, p, &h->caller);
	return tell_throw(h, p->layout, slot, g);
}

/* h->call, made by code of one copy of Lua on the thread h->t of another, concerns a module's memory? */
SUBPROG int tell_foreign_free(struct hit *h, __u32 slot, __u64 ip)
{
	__u32 range = h && h->call.ptr ? (__u32)find_range(slot, h->call.ptr) : 0, at;
	struct lmt_site *site = 0;
	struct lmt_finding *f;

	if (!h || !range)
		return 0;
	at = site_get(h->t.state, LMT_TAG_FINDING, &h->top, 0, &site);
	f = find_open(LMT_FIND_STATIC_FREE, slot, h->t.state, range);
	if (!f)
		return 0;
	fill_call(f, &h->call, ip);
	f->arg[0] = range - 1;
	f->site = at;
	find_send(f);
	return 0;
}

/*
 * luaM_realloc_(L, block, osize, nsize) and its kin, in a copy of Lua that has made no state: whoever
 * comes here drives a state of another copy. Free of charge in a healthy process; for the time between
 * windows, since the allocator's own probe tells the same.
 */
static __noinline int on_foreign(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	struct hit *h = hit_get(true);
	const struct lmt_layout *lay;
	struct lmt_state *st;

	if (!p || !h)
		return 0;
	lay = layout_at(p->layout);
	if (!lay)
		return 0;
	h->t.L = 0;
	h->t.state = try_place(lay, reg_get(ctx, p->reg_ud), slot, 0, &h->t);
	h->t.foreign = p->runtime;
	st = state_at(h->t.state);
	lay = st ? layout_at(st->layout) : 0;
	if (!lay || !st->runtime || st->runtime == p->runtime) {
		__sync_fetch_and_add(&own_calls, 1);
		return 0;
	}
	if (gaps != LMT_GAPS_NOW)
		return 0;
	caller_before_push(ctx, p, &h->caller);
	h->top = (struct top){ .flags = LMT_SITE_NO_LUA };
	top_frame(h, lay, slot);
	tell_foreign(h, slot, ctx->ip + 1);
	h->call.ptr = p->args >= 3 ? reg_get(ctx, p->reg_ptr) : 0;
	h->call.osize = reg_get(ctx, p->reg_osize);
	h->call.nsize = p->args >= 4 ? reg_get(ctx, p->reg_nsize) : 0;
	return tell_foreign_free(h, slot, ctx->ip + 1);
}

/* A value that was kept over the allocator's call. */
static __noinline __u64 kept_value(struct pt_regs *ctx, __u32 place)
{
	__u64 word = 0;

	if (place < LMT_REG_STACK)
		return reg_get(ctx, place);
	if (place < LMT_REG_ZERO)
		try_read(&word, 8, ctx->sp + 8ull * (place - LMT_REG_STACK));
	return word;
}

#define SIZE_POSSIBLE (1ull << 47)

static __noinline int get_request(struct pt_regs *ctx, const struct lmt_probe *p, struct refused *r)
{
	if (!p || !r || p->reg_nsize == LMT_REG_LOST)
		return 0;
	r->nsize = kept_value(ctx, p->reg_nsize);
	r->ptr = p->reg_ptr == LMT_REG_LOST ? 0 : kept_value(ctx, p->reg_ptr);
	if (p->reg_osize != LMT_REG_LOST)
		r->osize = kept_value(ctx, p->reg_osize);
	if (!r->ptr && (p->reg_ptr != LMT_REG_LOST || r->osize <= LMT_TAG_OTHER))
		r->osize = 0; /* a tag */
	if (r->nsize && r->nsize < SIZE_POSSIBLE && r->osize < SIZE_POSSIBLE && !(r->ptr >> 47))
		return 1;
	r->ptr = r->osize = r->nsize = 0; /* the code was misread */
	return 0;
}

/* The rest of the refusal h->refused of the thread h->t, told if it breaks the allocator's contract. */
SUBPROG int fill_refused(struct hit *h, __u32 slot)
{
	const struct lmt_layout *lay;
	struct lmt_site *site = 0;
	struct lmt_finding *f;
	struct lmt_state *st;
	struct refused *r;

	if (!h)
		return 0;
	r = &h->refused;
	st = state_at(r->state);
	lay = st ? layout_at(st->layout) : 0;
	if (!lay)
		return 0;
	top_frame(h, lay, slot);
	r->site = site_get(r->state, LMT_TAG_FINDING, &h->top, 0, &site);
	r->freed = st->free_bytes + st->old_free_bytes;
	r->live = vm_bytes(lay, st->g);
	r->shrink = r->nsize <= r->osize;
	f = r->shrink ? find_open(LMT_FIND_SHRINK, slot, r->state, 0) : 0;
	if (f) {
		f->ptr = r->ptr;
		f->osize = r->osize;
		f->nsize = r->nsize;
		f->ip = r->ip;
		f->site = r->site;
		find_send(f);
	}
	return 1;
}

/* The same as note_refused(), from where the code goes on then, while the allocator is not probed. */
static __noinline int on_refused(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	const struct lmt_layout *lay;
	struct hit *h = hit_get(true);
	struct refused *old, *r;

	if (!p || !h)
		return 0;
	r = &h->refused;
	lay = layout_at(p->layout);
	if (!lay)
		return 0;
	h->t.L = 0;
	h->t.foreign = 0;
	h->t.state = try_place(lay, reg_get(ctx, p->reg_ud), slot, 0, &h->t);
	*r = (struct refused){ .state = h->t.state, .times = 1, .by_code = 1 };
	if (!r->state || !get_request(ctx, p, r))
		return 0;
	/* Noted before, by its answer or on the way here; else what is noted is of long ago. */
	old = bpf_map_lookup_elem(&refusals, &tid);
	if (old && (gaps != LMT_GAPS_NOW || old->nsize == r->nsize))
		return 0;
	caller_regs(ctx, &h->caller);
	h->caller.ip = r->ip = ctx->ip + 1;
	h->caller.sp = ctx->sp;
	h->top = (struct top){ .flags = LMT_SITE_NO_LUA };
	if (fill_refused(h, slot))
		bpf_map_update_elem(&refusals, &tid, r, BPF_ANY);
	return 0;
}

static __noinline int on_retried(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct refused *r = bpf_map_lookup_elem(&refusals, &tid);
	struct lmt_state *st = r ? state_at(r->state) : 0;
	const struct lmt_layout *lay = st ? layout_at(st->layout) : 0;
	struct lmt_finding *f;
	__u64 vm;

	/* What the allocator's probe has seen of it is told: then there is no note any more. */
	if (!p || !lay)
		return 0;
	if (!reg_get(ctx, p->reg_ptr)) {
		r->times = 2;
		return 0;
	}
	vm = vm_bytes(lay, st->g);
	f = r->shrink ? 0 : find_open(LMT_FIND_NEAR_OOM, slot, r->state, 0);
	if (f) {
		f->ptr = r->ptr;
		f->osize = r->osize;
		f->nsize = r->nsize;
		f->ip = r->ip;
		f->arg[0] = vm && vm < r->live ? r->live - vm : 0;
		f->live_bytes = r->live;
		f->site = r->site;
		find_send(f);
	}
	bpf_map_delete_elem(&refusals, &tid);
	return 0;
}

SEC("uprobe")
int lua_entry(struct pt_regs *ctx)
{
	__u32 slot = current_slot();
	const struct lmt_probe *p;

	share_no_stack();
	if (!slot)
		return 0;
	p = current_probe(ctx);
	if (!p)
		return 0;
	if (p->kind == LMT_PROBE_NEWSTATE)
		on_newstate(ctx, p, slot);
	else if (p->kind == LMT_PROBE_CLOSE)
		on_close(ctx, p, slot);
	else if (p->kind == LMT_PROBE_FULL_GC)
		on_full_gc(ctx, p, slot);
	else if (p->kind == LMT_PROBE_MAPS)
		on_maps(slot);
	else if (p->kind == LMT_PROBE_THROW)
		on_throw(ctx, p, slot);
	else if (p->kind == LMT_PROBE_FOREIGN)
		on_foreign(ctx, p, slot);
	else if (p->kind == LMT_PROBE_REFUSED)
		on_refused(ctx, p, slot);
	else if (p->kind == LMT_PROBE_RETRIED)
		on_retried(ctx, p, slot);
	return 0;
}
