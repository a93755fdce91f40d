// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * lua: the rare paths every runtime has: states that are born and closed. Entry probes only:
 * an error may unwind through these functions.
 */
#include "maps.bpf.h"

#include "filter.bpf.h"
#include "hold.bpf.h"
#include "ledger.bpf.h"
#include "state.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

static __always_inline void on_newstate(struct pt_regs *ctx, const struct lmt_probe *p, __u32 slot)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct birth b = { .layout = p->layout };
	__u64 f;

	b.ud = reg_get(ctx, p->reg_ud);
	if (!bpf_map_lookup_elem(&births, &tid))
		__sync_fetch_and_add(&births_open, 1);
	if (bpf_map_update_elem(&births, &tid, &b, BPF_ANY))
		__sync_fetch_and_add(&births_open, -1);
	f = reg_get(ctx, p->reg_ptr);
	emit(LMT_EV_NEWSTATE, slot, p->layout, f, b.ud);
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
	if (!st || st->flags & LMT_STATE_CLOSING)
		return;
	st->flags |= LMT_STATE_CLOSING;
	st->close_ns = bpf_ktime_get_ns();
	if (st->flags & LMT_STATE_ARENA && ledger_take(LMT_KEY(slot, st->block), &old))
		__sync_fetch_and_add(&st->free_bytes, LMT_BLOCK_SIZE(&old));
	emit(LMT_EV_STATE_CLOSING, slot, i, 0, 0);
}

SEC("uprobe")
int lua_entry(struct pt_regs *ctx)
{
	__u32 slot = current_slot();
	const struct lmt_probe *p;

	if (!slot)
		return 0;
	p = current_probe(ctx);
	if (!p)
		return 0;
	if (p->kind == LMT_PROBE_NEWSTATE)
		on_newstate(ctx, p, slot);
	else if (p->kind == LMT_PROBE_CLOSE)
		on_close(ctx, p, slot);
	else if (p->kind == LMT_PROBE_MAPS)
		on_maps(slot);
	return 0;
}
