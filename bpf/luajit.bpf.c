// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * luajit: rare paths of LuaJIT. The memory error, with what it was raised in the midst of; and
 * pointers that go to C code. Entry probes only: errors unwind through these functions.
 */
#include "maps.bpf.h"

#include "filter.bpf.h"
#include "find_oom.bpf.h"
#include "find_stack.bpf.h"
#include "ledger.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

#define STACK_SEARCH 512   /* words of the native stack looked at for the exit handler's call */
#define STACK_PIECE PIECE_WORDS /* …read at once, and verified once */
#define TRACES_SEARCHED 1024
#define TRACES_AT_ONCE 16 /* verified one by one */
#define EXIT_UNKNOWN (~0ull)
#define CHUNK_MAX (1ull << 32) /* a chunk of LuaJIT's allocator is smaller */

enum { PIECE_WITHOUT, PIECE_WITH, PIECE_UNREADABLE };

SUBPROG int piece_holds(struct hit *h, __u64 sp, __u64 address)
{
	if (!h || bpf_probe_read_user(h->piece, sizeof(h->piece), (const void *)sp))
		return PIECE_UNREADABLE;
	for (int i = 0; i < STACK_PIECE; i++)
		if (h->piece[i] == address)
			return PIECE_WITH;
	return PIECE_WITHOUT;
}

/* Does the native stack hold this return address? */
SUBPROG int on_stack(struct hit *h, __u64 sp, __u64 address)
{
	int rc = PIECE_WITHOUT;

	for (int i = 0; i < STACK_SEARCH / STACK_PIECE && rc == PIECE_WITHOUT; i++)
		rc = piece_holds(h, sp + 8ull * STACK_PIECE * i, address);
	return rc == PIECE_WITH;
}

/* Which of TRACES_AT_ONCE traces has its return address below the C frame; 0: none. */
SUBPROG __u32 trace_among(const struct lmt_layout *lay, __u32 state, __u64 cframe, __u32 first, __u32 n)
{
	struct lmt_trace tr = {};

	if (!lay)
		return 0;
	for (__u32 i = 0; i < TRACES_AT_ONCE && first + i < n; i++)
		if (lj_read_trace(lay, state, first + i, &tr) && tr.mcode &&
		    lj_return_address(&tr, cframe))
			return first + i;
	return 0;
}

/*
 * The trace whose code called the collector: its number is not in vmstate then, but its return
 * address lies below the C frame, where the trace's own stack need says. 0 when none fits.
 */
SUBPROG __u32 running_trace(const struct lmt_layout *lay, __u32 state, __u64 L, __u64 J)
{
	__u64 cframe = 0, n = 0;

	if (!lay || !read_user(&cframe, 8, L + lay->hot.L_cframe) ||
	    !read_word(&n, false, J + (__u32)lay->J_sizetrace.off))
		return 0;
	for (__u32 i = 1; i < TRACES_SEARCHED && i < n; i += TRACES_AT_ONCE) {
		__u32 found = trace_among(lay, state, cframe & ~7ull, i, (__u32)n);

		if (found)
			return found;
	}
	return 0;
}

/* The first instruction of a trace, as a site; 0 unknown. */
SUBPROG __u32 trace_start(const struct lmt_layout *lay, __u32 state, __u32 number)
{
	struct top top = {};
	struct lmt_site *site = 0;
	__u64 tr = number ? lj_trace_at(lay, state, number) : 0, proto = 0;

	if (!lay || !tr ||
	    !read_word(&proto, lay->hot.wide, tr + (__u32)lay->tr_startpt.off) ||
	    !read_word(&top.pc, lay->hot.wide, tr + (__u32)lay->tr_startpc.off))
		return 0;
	top.pc += 4; /* as saved: behind the instruction */
	top.proto = proto;
	top.func = proto;
	return site_get(state, LMT_TAG_FINDING, &top, 0, &site);
}

/* What the machine was doing when memory ran out. */
SUBPROG int read_jit_error(struct hit *h, const struct lmt_layout *lay, __u32 state, __u64 L)
{
	struct jit_error *e;
	struct lmt_state *st = state_at(state);
	__u32 vmstate = 0, number = 0;
	__u8 gc = 0;
	__u64 J;

	if (!h || !lay || !st || lay->GG_J.off == LMT_OFF_NONE)
		return 0;
	e = &h->jit;
	J = st->g + (__u64)(__s64)(lay->GG_J.off - lay->GG_G.off);
	read_user(&vmstate, 4, st->g + lay->hot.G_vmstate);
	read_user(&gc, 1, st->g + (__u32)lay->G_gcstate.off);
	if (lay->hot.G_cur_L)
		read_word(&e->jit_base, lay->hot.wide, st->g + lay->hot.G_jit_base);
	else
		lj_base_20(&lay->hot, st->g, &e->jit_base);
	e->vmstate = (__u64)(__s64)(__s32)vmstate;
	e->gc_state = gc;
	e->exit = EXIT_UNKNOWN;
	if (e->jit_base) {
		number = (__s32)vmstate > 0 ? vmstate : running_trace(lay, state, L, J);
	} else if (e->exit_ret && on_stack(h, e->sp, e->exit_ret)) {
		__u32 exit = 0;

		e->in_exit = 1;
		read_user(&number, 4, J + (__u32)lay->J_parent.off);
		read_user(&exit, 4, J + (__u32)lay->J_exitno.off);
		e->exit = exit;
	}
	e->trace = number;
	return 1;
}

/* LuaJIT's memory error in the thread L of h->t.state, called by h->caller. */
SUBPROG int tell_err_mem(struct hit *h, __u32 slot, __u32 layout, __u64 L)
{
	struct jit_error *e;
	const struct lmt_layout *lay = layout_at(layout);
	__u32 tid = (__u32)bpf_get_current_pid_tgid(), state;
	struct lmt_finding *f;
	struct lmt_state *st;
	struct refused *r;
	__u64 place, g;

	if (!h || !lay)
		return 0;
	e = &h->jit;
	state = h->t.state;
	st = state_at(state);
	if (!st)
		return 0;
	g = st->g;
	place = find_place(h, layout, slot, state);
	read_jit_error(h, lay, state, L);
	e->start = trace_start(lay, state, (__u32)e->trace);
	r = bpf_map_lookup_elem(&refusals, &tid);
	h->refused = r ? *r : (struct refused){};
	if (r)
		bpf_map_delete_elem(&refusals, &tid);
	f = find_open(LMT_FIND_ERR_MEM, slot, state, e->jit_base ? e->trace : e->in_exit << 32 | e->trace);
	if (!f)
		return 0;
	f->ptr = h->refused.ptr;
	f->osize = h->refused.osize;
	f->nsize = h->refused.nsize;
	f->ip = h->refused.ip;
	f->arg[LMT_ERR_VMSTATE] = e->vmstate;
	f->arg[LMT_ERR_JIT_BASE] = e->jit_base;
	f->arg[LMT_ERR_GC_STATE] = e->gc_state;
	f->arg[LMT_ERR_IN_EXIT] = e->in_exit;
	f->arg[LMT_ERR_TRACE] = e->trace;
	f->arg[LMT_ERR_EXIT] = e->exit;
	f->arg[LMT_ERR_START] = e->start;
	f->live_bytes = vm_bytes(lay, g);
	f->site = (__u32)place;
	find_send(f);
	return 0;
}

/* lj_err_mem(L) */
static __noinline int on_err_mem(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	const struct lmt_layout *lay;
	struct hit *h;
	__u64 L, g = 0;

	if (!p)
		return 0;
	L = reg_get(ctx, p->reg_ptr);
	lay = layout_at(p->layout);
	if (!lay || !read_word(&g, lay->hot.wide, L + lay->hot.L_glob))
		return 0;
	h = hit_get(true);
	if (!h)
		return 0;
	h->t.state = owner_of(slot, g);
	caller_at_entry(ctx, &h->caller);
	h->jit = (struct jit_error){ .exit_ret = p->exit_ret, .sp = ctx->sp };
	return tell_err_mem(h, slot, p->layout, L);
}

/* Processes that were seen to use the FFI. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LMT_SLOT_MAX);
	__type(key, __u32);
	__type(value, __u32);
} ffi_used __weak SEC(".maps");

struct stale {
	__u64 function, value, ip;
	__u32 argument;
	__u32 slot;
	__u32 probe; /* 0: lj_vm_ffi_call */
	__u32 pad;
};

/*
 * Is the memory still what the block was freed to? Only LuaJIT's own allocator keeps what it frees
 * to itself: elsewhere C code is given it with nothing seen of that, and an arena's end is seen as
 * that of its state. Even there a mapping may be given back and be somebody else's by now: then
 * the word before the block, which outlives the free, is not a size that can hold the block.
 */
SUBPROG int still_freed(const struct lmt_block *freed)
{
	__u64 head = 0, size = freed ? LMT_BLOCK_SIZE(freed) : 0;
	struct lmt_state *st = freed ? state_at(LMT_FREED_STATE(freed)) : 0;

	if (!st || !(st->flags & LMT_STATE_ARENA) || st->flags & (LMT_STATE_CLOSING | LMT_STATE_DEAD))
		return 0;
	if (!read_user(&head, 8, (freed->born & LMT_ADDR_MASK) - 8))
		return 0;
	head &= ~7ull;
	return head >= size + 8 && head < CHUNK_MAX;
}

/* Is the argument, a pointer that goes to C code, one into a block that was freed and not handed out again? */
SUBPROG int is_stale(const struct stale *s, struct lmt_block *freed)
{
	/* What was freed may have been handed out again while nobody looked. */
	if (!s || !freed || s->value < 65536 || s->value >> 47 || gaps == LMT_GAPS_NOW)
		return 0;
	return ledger_covers(LMT_KEY(s->slot, s->value), LMT_COVER_LINES, freed) == PLACE_FREED &&
	       still_freed(freed);
}

/* It is: the block that was freed is h->block. */
SUBPROG int tell_stale(struct hit *h, const struct stale *s)
{
	struct lmt_finding *f;
	__u32 state;
	__u64 place;

	if (!h || !s)
		return 0;
	state = LMT_FREED_STATE(&h->block);
	place = find_place(h, 0, s->slot, state);
	find_stack(h, state, LMT_TAG_FINDING);
	tell_site(h->block.site);
	f = find_open(LMT_FIND_STALE_ARG, s->slot, state, s->function << 8 ^ s->argument ^
		      (__u64)h->block.site << 40);
	if (!f)
		return 0;
	f->ptr = s->value;
	f->ip = s->ip;
	f->arg[LMT_STALE_FUNCTION] = s->function;
	f->arg[LMT_STALE_ARGUMENT] = s->argument;
	f->arg[LMT_STALE_BLOCK] = h->block.born & LMT_ADDR_MASK;
	freed_where(h->block.born & ~LMT_KEY_BUSY, &f->arg[LMT_STALE_FREE_SITE],
		    &f->arg[LMT_STALE_FREE_GC]);
	f->arg[LMT_STALE_FREED_MS] = ((__u32)now_ms - LMT_FREED_MS(&h->block)) & LMT_FREED_MS_MASK;
	f->block = h->block;
	f->probe = s->probe;
	f->site = (__u32)place;
	find_send(f);
	return 0;
}

static __always_inline void argument_stale(struct pt_regs *ctx, const struct stale *s,
					   const struct lmt_block *freed)
{
	struct hit *h = hit_get(true);

	if (!h)
		return;
	h->block = *freed;
	caller_at_entry(ctx, &h->caller);
	tell_stale(h, s);
}

#define CCALL_FUNC 0
#define CCALL_GPR 144
#define CCALL_GPRS 6

/* Looks at the arguments from the first on; the number of a stale one + 1, which s and freed tell; 0: none. */
SUBPROG __u32 next_stale(struct stale *s, __u64 cc, __u32 first, struct lmt_block *freed)
{
	__u64 gpr[CCALL_GPRS];

	if (!s || !freed || !read_user(gpr, sizeof(gpr), cc + CCALL_GPR))
		return 0;
	for (__u32 i = 0; i < CCALL_GPRS; i++) {
		s->value = gpr[i];
		s->argument = i;
		if (i >= first && is_stale(s, freed))
			return i + 1;
	}
	return 0;
}

/* lj_vm_ffi_call(CCallState *): every call that interpreted code makes through the FFI. */
static __noinline int on_ffi_call(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	struct stale s = { .slot = slot };
	struct lmt_block freed = {};
	__u32 *used, next = 0;
	__u64 cc;

	if (!p)
		return 0;
	used = bpf_map_lookup_elem(&ffi_used, &slot);
	if (used && !*used) {
		*used = 1;
		emit(LMT_EV_FFI, slot, 0, 0, 0);
	}
	cc = reg_get(ctx, p->reg_ptr);
	if (!read_user(&s.function, 8, cc + CCALL_FUNC))
		return 0;
	for (int i = 0; i < CCALL_GPRS; i++) {
		next = next_stale(&s, cc, next, &freed);
		if (!next)
			break;
		argument_stale(ctx, &s, &freed);
	}
	return 0;
}

/* A C function that gets pointers; p->args of them are looked at. */
static __noinline int on_c_call(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	struct stale s = { .slot = slot, .function = ctx->ip };
	const struct hit *h = hit_get(false);
	struct lmt_block freed = {};
	__u64 arg[4];

	/* The allocator itself calls memcpy(), and then the ledger knows neither place. */
	if (!p || (h && h->realloc_sp >= ctx->sp))
		return 0;
	s.probe = (__u32)bpf_get_attach_cookie(ctx);
	arg[0] = reg_get(ctx, p->reg_ud);
	arg[1] = reg_get(ctx, p->reg_ptr);
	arg[2] = reg_get(ctx, p->reg_osize);
	arg[3] = reg_get(ctx, p->reg_nsize);
	for (__u32 i = 0; i < 4; i++) {
		if (!(p->args & 1u << i))
			continue;
		s.value = arg[i];
		s.argument = i;
		if (is_stale(&s, &freed))
			argument_stale(ctx, &s, &freed);
	}
	return 0;
}

SEC("uprobe")
int luajit_entry(struct pt_regs *ctx)
{
	__u32 slot = current_slot();
	const struct lmt_probe *p;

	share_no_stack();
	if (!slot)
		return 0;
	p = current_probe(ctx);
	if (!p)
		return 0;
	if (p->kind == LMT_PROBE_ERR_MEM)
		on_err_mem(ctx, p, slot);
	else
		__sync_fetch_and_add(&c_calls, 1);
	if (p->kind == LMT_PROBE_FFI_CALL)
		on_ffi_call(ctx, p, slot);
	else if (p->kind == LMT_PROBE_C_CALL)
		on_c_call(ctx, p, slot);
	return 0;
}
