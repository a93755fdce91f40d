/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * find_oom: what became of a request that the allocator refused. PUC Lua 5.2 and later collect
 * garbage and ask once more for the very same; others raise the memory error at once; buffers of
 * 5.3 and later raise an ordinary error. So a refusal is kept by thread until one of these is seen,
 * or the thread asks for something else. BPF only.
 */
#ifndef LMT_FIND_OOM_BPF_H
#define LMT_FIND_OOM_BPF_H

#include "call.bpf.h"
#include "find.bpf.h"

static __always_inline void fill_call(struct lmt_finding *f, const struct call *c, __u64 ip)
{
	f->ptr = c->ptr;
	f->osize = c->osize;
	f->nsize = c->nsize;
	f->ip = ip;
}

/* What the VM counts for its heap; 0 unknown. */
SUBPROG __u64 vm_bytes(const struct lmt_layout *lay, __u64 g)
{
	__u64 total = 0, debt = 0;

	if (!lay || lay->G_total.off == LMT_OFF_NONE ||
	    !try_word(&total, lay->G_total.size == 8, g + (__u32)lay->G_total.off))
		return 0;
	if (lay->G_debt.off != LMT_OFF_NONE && !try_read(&debt, 8, g + (__u32)lay->G_debt.off))
		return 0;
	return lay->version >= 505 && lay->family == LMT_FAMILY_PUC ? total - debt : total + debt;
}

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32); /* tid */
	__type(value, struct refused);
} refusals __weak SEC(".maps");

/* Was anything ever refused? Saves the common case a look-up. */
volatile __u32 refused_any __weak = 0;

static __always_inline bool is_same(const struct refused *r, const struct call *c)
{
	return r->ptr == c->ptr && r->nsize == c->nsize && (!c->ptr || r->osize == c->osize);
}

/* What was refused ended in an error, or without one. Deletes the note. */
SUBPROG int tell_oom(__u32 slot, __u32 tid, struct refused *r, __u32 raised)
{
	struct lmt_finding *f;

	if (!r)
		return 0;
	f = r->shrink && !raised ? 0 : find_open(LMT_FIND_OOM, slot, r->state, raised);
	if (f) {
		f->ptr = r->ptr;
		f->osize = r->osize;
		f->nsize = r->nsize;
		f->ip = r->ip;
		f->arg[0] = r->times;
		f->arg[1] = raised;
		f->live_bytes = r->live;
		f->site = r->site;
		find_send(f);
	}
	bpf_map_delete_elem(&refusals, &tid);
	return 0;
}

/*
 * The allocator said no to h->call. What is noted lies in the thread's own room, which is asked for by
 * itself: kernels before 5.19 take no pointer that was handed to a global function for a map's value.
 */
SUBPROG int note_refused(struct hit *h, __u32 slot, __u32 state)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid(), at;
	struct refused *old = bpf_map_lookup_elem(&refusals, &tid), *r;
	struct lmt_state *st = state_at(state);
	struct hit *own = hit_get(true);
	struct lmt_site *site = 0;
	struct lmt_finding *f;
	const struct call *c;
	bool shrink;

	if (!h || !st || !own)
		return 0;
	c = &h->call;
	at = site_get(state, LMT_TAG_FINDING, &h->top, 0, &site);
	shrink = c->ptr && c->nsize <= c->osize;
	f = shrink ? find_open(LMT_FIND_SHRINK, slot, state, 0) : 0;
	if (f) {
		fill_call(f, c, h->caller.ip);
		f->site = at;
		find_send(f);
	}
	if (old && is_same(old, c)) {
		old->times++;
		return 0;
	}
	if (old && !old->by_code)
		tell_oom(slot, tid, old, 0);
	r = &own->refused;
	*r = (struct refused){
		.ptr = c->ptr,
		.osize = c->ptr ? c->osize : 0,
		.nsize = c->nsize,
		.ip = h->caller.ip,
		.freed = st->free_bytes + st->old_free_bytes,
		.live = vm_bytes(layout_at(st->layout), st->g),
		.state = state,
		.times = 1,
		.site = at,
		.shrink = shrink,
	};
	refused_any = 1;
	bpf_map_update_elem(&refusals, &tid, r, BPF_ANY);
	return 0;
}

/* The allocator gave memory: to a thread that was refused before? */
SUBPROG int find_granted(__u32 slot, __u32 state, const struct call *c)
{
	__u32 tid = (__u32)bpf_get_current_pid_tgid();
	struct refused *r = bpf_map_lookup_elem(&refusals, &tid);
	struct lmt_state *st = state_at(state);
	struct lmt_finding *f;

	if (!r || !st || !c)
		return 0;
	if (!is_same(r, c)) {
		if (!r->by_code)
			return tell_oom(slot, tid, r, 0);
		bpf_map_delete_elem(&refusals, &tid); /* what came of it nobody saw */
		return 0;
	}
	f = r->shrink ? 0 : find_open(LMT_FIND_NEAR_OOM, slot, state, 0);
	if (f) {
		fill_call(f, c, r->ip);
		f->osize = c->ptr ? c->osize : 0;
		f->arg[0] = st->free_bytes + st->old_free_bytes - r->freed;
		f->live_bytes = r->live;
		f->site = r->site;
		find_send(f);
	}
	bpf_map_delete_elem(&refusals, &tid);
	return 0;
}

#endif
