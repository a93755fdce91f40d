/* SPDX-License-Identifier: MIT */
/* What happens to the targets while the trace runs: states come and go, lines are looked up. */
#include "session.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "collect/frames.h"
#include "collect/frames_stack.h"
#include "session_budget.h"
#include "session_calls.h"
#include "session_find.h"

static struct session_target *target_of_slot(struct session *s, uint32_t slot)
{
	return slot < LMT_SLOT_MAX ? s->targets.of_slot[slot] : NULL;
}

/* A state is known to BPF under `index`: follow it in every other place too. */
static int follow_state(struct session *s, struct session_target *t, uint32_t index, uint64_t G,
			const struct layout *layout, uint32_t runtime, bool before_attach)
{
	struct gcpoll_state *poll;
	int rc;

	if (heap_find_state(&s->heap, index))
		return 0;
	rc = heap_add_state(&s->heap, index, t->target->pid, runtime, &layout->l, before_attach);
	if (rc < 0)
		return rc;
	rc = gcpoll_add(&s->gc, index, G, &layout->l, &t->mem);
	poll = gcpoll_find(&s->gc, index);
	if (poll && poll->built)
		heap_set_gc(&s->heap, index, poll->gc.heap_bytes, 0);
	return rc;
}

/* Enters the resolved state into the BPF tables; its BPF index or a negative errno. */
static int enter_state(struct session *s, struct session_target *t, struct resolved_state *rs)
{
	const struct allocator *a = &t->resolved->allocators.v[rs->allocator];
	bool arena = a->built_in && rs->layout && rs->layout->l.family == LMT_FAMILY_LUAJIT;
	bool ud_tells = resolved_ud_is_own(t->resolved, rs);
	int index;

	rs->tag = attach_find_state(s->attach, t->slot, rs->G);
	if (rs->tag)
		return 0; /* born while we looked on */
	index = attach_add_state(s->attach, t->slot, rs, ud_tells, arena);
	if (index < 0)
		return index;
	rs->tag = (uint32_t)index;
	return follow_state(s, t, (uint32_t)index, rs->G, rs->layout, rs->runtime, true) ?: index;
}

int session_enter_states(struct session *s, struct session_target *t)
{
	uint32_t process = attach_process_state(s->attach, t->slot);
	int rc = 0;

	if (!heap_find_state(&s->heap, process))
		rc = heap_add_state(&s->heap, process, t->target->pid, 0, NULL, true);
	for (size_t i = 0; rc >= 0 && i < t->resolved->states.n; i++) {
		struct resolved_state *rs = &t->resolved->states.v[i];

		if (rs->layout && !rs->tag)
			rc = enter_state(s, t, rs);
	}
	return rc < 0 ? rc : 0;
}

/*
 * A state was born. It is half built now: its layout is that of the copy of Lua that makes it,
 * and it is looked at properly when it is first polled.
 */
static int on_born(struct session *s, struct session_target *t, const struct lmt_event *e)
{
	uint32_t n;
	const struct lmt_state *table = live_states(s->live, &n), *st;
	const struct layout *layout;

	if (e->state >= n)
		return 0;
	st = &table[e->state];
	layout = attach_layout(s->attach, st->layout);
	if (!layout)
		return 0;
	vec_each(rt, &t->resolved->runtimes)
		if (st->runtime ? rt->id == st->runtime : rt->layout == layout)
			return follow_state(s, t, e->state, st->g, layout, rt->id, false);
	return follow_state(s, t, e->state, st->g, layout, 0, false);
}

/* Births of which the ring had no room to tell: the table of states knows them all the same. */
int session_meet_states(struct session *s, const struct snapshot *snap)
{
	vec_each(st, &snap->states) {
		const struct lmt_event born = { .state = st->index };
		struct session_target *t = target_of_slot(s, st->st.slot);
		struct gcpoll_state *poll;
		int rc;

		if (!t || heap_find_state(&s->heap, st->index))
			continue;
		rc = on_born(s, t, &born);
		if (rc < 0)
			return rc;
		poll = gcpoll_find(&s->gc, st->index);
		if (poll && st->st.flags & (LMT_STATE_CLOSING | LMT_STATE_DEAD))
			poll->gone = true;
	}
	return 0;
}

/* An allocator that nobody used before: give it a probe. Calls until then are not seen. */
static int probe_allocator(struct session *s, struct session_target *t, uint64_t uaddr,
			   uint32_t runtime, const struct layout *layout)
{
	size_t known = t->resolved->allocators.n;
	struct plan_site site;
	struct errmsg why;
	int i = resolve_add_allocator(t->resolved, t->target, uaddr, runtime, layout);
	int rc;

	if (i < 0 || t->resolved->allocators.n == known)
		return i < 0 ? i : 0;
	t->missed_calls |= !t->held;
	rc = plan_allocator(t->resolved, (uint32_t)i, &s->features, &site, &why);
	if (!rc)
		rc = attach_site(s->attach, t->slot, t->target->pid, &site, &why);
	if (rc < 0)
		return plan_add_blind_spot(t->plan, "allocations through one allocator: %s", why.text);
	log_debug("probing allocator %s, first used now", site.name);
	if (t->held)
		return 0; /* it waited */
	return plan_add_blind_spot(t->plan,
				   "the first calls of allocator %s, until it got its probe", site.name);
}

#define STRANGER_WAIT_NS 1000000ull /* after the first vain look; doubles */
#define STRANGER_WAIT_MAX_NS 1000000000ull

/*
 * BPF asks with each of its calls: what could not be looked at, or is not a state, is looked at
 * again ever more rarely. It may be one that is not made to the end yet.
 */
static struct session_stranger *stranger_of(struct session_target *t, uint64_t g)
{
	struct session_stranger *st = &t->strangers[(g >> 4) * 0x9E3779B97F4A7C15ull >> 60];

	if (st->g != g)
		*st = (struct session_stranger){ .g = g };
	return st;
}

static void stay_stranger(struct session_stranger *st, uint64_t now)
{
	st->wait_ns = st->wait_ns ? st->wait_ns * 2 : STRANGER_WAIT_NS;
	if (st->wait_ns > STRANGER_WAIT_MAX_NS)
		st->wait_ns = STRANGER_WAIT_MAX_NS;
	st->next_ns = now + st->wait_ns;
}

/* A state that BPF met but does not know: look closely, then enter it. */
static int on_unknown(struct session *s, struct session_target *t, const struct lmt_event *e)
{
	struct session_stranger *stranger = stranger_of(t, e->arg1);
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	struct resolved_state *rs;
	int i;

	if (now < stranger->next_ns || resolved_state_at(t->resolved, e->arg0))
		return 0;
	stay_stranger(stranger, now);
	if (target_refresh(t->target, NULL))
		return 0;
	i = resolve_add_state(t->resolved, t->target, &t->mem, e->arg0, e->arg1);
	if (i < 0)
		return i == -ENOMEM ? i : 0;
	*stranger = (struct session_stranger){ 0 };
	rs = &t->resolved->states.v[i];
	if (!rs->layout || rs->tag)
		return 0;
	i = enter_state(s, t, rs);
	return i == -ENOMEM ? i : 0;
}

/* lua_newstate(f, ud): f may be an allocator we have no probe on. LuaJIT passes small numbers. */
static int on_newstate(struct session *s, struct session_target *t, const struct lmt_event *e)
{
	int rc = creators_born(&s->heap.creators, t->target->pid, e->pad, e->time_ns);

	if (!rc && e->arg0 >= 65536 &&
	    (target_module_at(t->target, e->arg0) || !target_refresh(t->target, NULL)))
		rc = probe_allocator(s, t, e->arg0, 0, attach_layout(s->attach, e->state));
	if (t->held) {
		attach_know_allocator(s->attach, t->slot, e->arg0);
		launch_continue(t);
	}
	return rc;
}

static bool is_closed(const struct lmt_state *st)
{
	return st->flags & (LMT_STATE_CLOSING | LMT_STATE_DEAD);
}

/*
 * The line of a site whose state is gone: by what was copied, for its memory is another's by now.
 */
static struct frame frame_of_copies(struct session *s, const struct lmt_event *e,
				    const struct lmt_layout *l, uint64_t g,
				    const struct lmt_site *site)
{
	struct memread_copies copies;
	struct frame frame = { 0 };
	struct memread mem;

	names_open_copies(&s->names, NULL, e->slot, (uint32_t)e->arg0, &copies, &mem);
	frames_resolve(&mem, l, g, 0, site, s->names.strings, &frame);
	return frame;
}

/* Looks a new site's line up while the target lives. */
static int on_site(struct session *s, struct session_target *t, const struct lmt_event *e)
{
	uint32_t n_sites, n_states, i = (uint32_t)e->arg0;
	const struct lmt_site *sites = live_sites(s->live, &n_sites);
	const struct lmt_state *states = live_states(s->live, &n_states);
	enum block_kind kind = KIND_UNKNOWN;
	const struct layout *layout;
	struct memread_cached cache;
	struct memread_copies copies;
	struct frame frame = { 0 };
	struct memread mem, cached;
	uint64_t block = e->arg1;

	if (i >= n_sites || e->state >= n_states || heap_has_frame(&s->heap, i))
		return 0;
	layout = attach_layout(s->attach, states[e->state].layout);
	if (!layout)
		return heap_set_frame(&s->heap, i, &frame);
	if (sites[i].flags & LMT_SITE_JIT) /* its line follows from the kind */
		kind_await_object(&t->mem, &layout->l, e->arg1);
	memread_open_cached(&cache, &t->mem, &cached);
	names_open_copies(&s->names, &cached, e->slot, i, &copies, &mem);
	if (LMT_TAG_IS_PLACE(sites[i].tag) || !is_closed(&states[e->state])) {
		kind = kind_of_block(&cached, &layout->l, e->arg1);
		if (live_place_at(s->live, t->slot, e->arg1) != i) /* another's by now */
			block = 0, kind = KIND_UNKNOWN;
		frames_resolve(&mem, &layout->l, states[e->state].g, block, &sites[i],
			       s->names.strings, &frame);
	}
	/* What was read of a state that is gone by now may be another's. */
	if (!LMT_TAG_IS_PLACE(sites[i].tag) && is_closed(&states[e->state])) {
		frame = frame_of_copies(s, e, &layout->l, states[e->state].g, &sites[i]);
		kind = KIND_UNKNOWN;
	}
	if (kind_is_final(kind) && heap_set_kind(&s->heap, i, kind))
		return -ENOMEM;
	return heap_set_frame(&s->heap, i, &frame);
}

/* The C side of a stack: unwound while the target's mappings are those of that moment. */
static int on_native(struct session *s, struct session_target *t, const struct lmt_native *e)
{
	uint32_t n_states;
	const struct lmt_state *states = live_states(s->live, &n_states);
	const struct layout *layout =
		e->e.state < n_states ? attach_layout(s->attach, states[e->e.state].layout) : NULL;
	struct native_stack *native = names_next_native(&s->names);

	if (!native)
		return -ENOMEM;
	if (!target_module_at(t->target, e->ip))
		target_refresh(t->target, NULL);
	native_unwind(t->target, &s->files, e, layout && layout->l.gc64.off, native);
	return 0;
}

/* A stack was met for the first time. */
static int on_stack(struct session *s, struct session_target *t, const struct lmt_stack_event *e)
{
	uint32_t n_states, index = (uint32_t)e->e.arg0;
	const struct lmt_state *states = live_states(s->live, &n_states);
	const struct native_stack *native = names_take_native(&s->names, e);
	struct stack_frame frames[STACKDB_FRAMES];
	const struct layout *layout;
	struct memread_cached cache;
	uint64_t block = e->e.arg1;
	struct memread mem;
	size_t n;

	if (e->e.state >= n_states)
		return 0;
	layout = attach_layout(s->attach, states[e->e.state].layout);
	if (!layout && (!native || e->n))
		return 0;
	if (layout && e->n && (LMT_FRAME_FLAGS(&e->frame[0]) & LMT_FRAME_KIND) == LMT_FRAME_JIT)
		kind_await_object(&t->mem, &layout->l, e->e.arg1);
	memread_open_cached(&cache, &t->mem, &mem);
	/* Read into the cache while it is ours, if it is. */
	if (layout && (kind_of_block(&mem, &layout->l, block) == KIND_UNKNOWN ||
		       live_place_at(s->live, t->slot, block) != live_site_of(s->live, index)))
		block = 0;
	n = frames_stack(&(struct frames_source){ .mem = &mem,
						  .l = layout ? &layout->l : NULL,
						  .g = states[e->e.state].g,
						  .block = block,
						  .pool = s->names.strings,
						  .target = t->target,
						  .files = &s->files,
						  .resolved = t->resolved,
						  .runtime = states[e->e.state].runtime,
						  .top = heap_get_frame(&s->heap,
									live_site_of(s->live,
										      index)) },
			 e, native, frames, STACKDB_FRAMES);
	if (layout && is_closed(&states[e->e.state]))
		return 0; /* what was read may be another's */
	return n ? heap_set_stack(&s->heap, index, stackdb_add(&s->names.stacks, frames, n)) : 0;
}

/* The state's addresses mean nothing any more, and another may be born there. */
static void on_dead(struct session *s, struct session_target *t, const struct lmt_event *e)
{
	struct gcpoll_state *poll = gcpoll_find(&s->gc, e->state);
	uint32_t n;
	const struct lmt_state *table = live_states(s->live, &n);

	s->clock.deaths++;
	if (poll)
		poll->gone = true;
	if (e->state >= n)
		return;
	if (table[e->state].ud)
		live_forget_owner(s->live, e->slot, table[e->state].ud, e->state);
	resolved_drop_state(t->resolved, table[e->state].main);
}

/* Forks, execs and new libraries, also of processes that are no targets yet. */
static int on_process_event(struct session *s, struct session_target *t, const struct lmt_event *e)
{
	bool followed = s->cfg.children || s->cfg.command || follow_wanted(s);
	int rc = 0;

	if (e->kind == LMT_EV_FORK && !followed) {
		return 0;
	} else if (e->kind == LMT_EV_FORK && t) {
		follow_child(s, t, (pid_t)e->arg0);
	} else if (e->kind == LMT_EV_FORK) {
		follow_add(s, (pid_t)e->arg0, FORK_DELAY_NS, true);
	} else if (e->kind == LMT_EV_EXEC && t) {
		if (!session_target_ended(t))
			t->phase = TARGET_EXECED;
	} else if (e->kind == LMT_EV_EXEC && s->cfg.command) {
		launch_on_exec(s, (pid_t)e->tgid);
	} else if (e->kind == LMT_EV_EXEC) {
		follow_exec(s, e);
	} else if (t) {
		/* a library with its own Lua may crash it at its first call */
		rc = session_budget_window(s);
		if (!rc)
			rc = session_rescan_target(s, t);
		launch_continue(t);
	}
	return rc;
}

int session_on_event(const struct lmt_event *e, void *ctx)
{
	struct session *s = ctx;
	struct session_target *t = target_of_slot(s, e->slot);

	if (e->kind == LMT_EV_EXEC || e->kind == LMT_EV_FORK || e->kind == LMT_EV_MAPS)
		return on_process_event(s, t, e);
	if (!t)
		return 0;
	switch (e->kind) {
	case LMT_EV_STATE_BORN:
		return on_born(s, t, e);
	case LMT_EV_STATE_CLOSING:
		return creators_closed(&s->heap.creators, t->target->pid);
	case LMT_EV_CREATOR:
		return session_on_creator(s, t, (const struct lmt_native *)e);
	case LMT_EV_STATE_DEAD:
		on_dead(s, t, e);
		return 0;
	case LMT_EV_STATE_UNKNOWN:
		return on_unknown(s, t, e);
	case LMT_EV_SITE:
		return on_site(s, t, e);
	case LMT_EV_STACK:
		return on_stack(s, t, (const struct lmt_stack_event *)e);
	case LMT_EV_NATIVE:
		return on_native(s, t, (const struct lmt_native *)e);
	case LMT_EV_NEWSTATE:
		return on_newstate(s, t, e);
	case LMT_EV_MEMORY:
		names_keep_copy(&s->names, (const struct lmt_memory *)e);
		return 0;
	case LMT_EV_FINDING:
		return session_on_finding(s, t, e);
	case LMT_EV_FFI:
		session_on_ffi(s, t);
		return 0;
	case LMT_EV_LABEL:
		session_on_label(s, t, (const struct lmt_label *)e);
		return 0;
	case LMT_EV_CALL:
		return session_on_call(s, (const struct lmt_call_event *)e);
	default:
		return 0;
	}
}

#define KINDS_AT_A_TIME 2000 /* sites: bounds the system calls of one look */

/* KIND_UNKNOWN if the block is another's by now: freed, and maybe handed out again. */
static enum block_kind kind_now(const struct session *s, const struct session_target *t,
				const struct snapshot_site *site, const struct lmt_layout *l,
				uint64_t uaddr)
{
	enum block_kind kind = uaddr ? kind_with_parts(&t->mem, l, uaddr) : KIND_UNKNOWN;

	return live_place_at(s->live, t->slot, uaddr) == site->index ? kind : KIND_UNKNOWN;
}

/*
 * Lua 5.1 and LuaJIT do not tell their allocator what a block is for: look into some of each site.
 */
int session_read_kinds(struct session *s, const struct snapshot *snap)
{
	int looked = 0;

	vec_each(site, &snap->sites) {
		enum block_kind kind = KIND_UNKNOWN;
		const struct heap_state *st;
		struct session_target *t;
		int rc;

		if (!heap_needs_kind(&s->heap, site))
			continue;
		st = heap_find_state(&s->heap, site->state);
		t = session_target_of_pid(s, st->pid);
		if (!t)
			continue;
		if (++looked > KINDS_AT_A_TIME)
			break;
		for (int i = 0; i < SNAPSHOT_SAMPLES; i++)
			kind = kind_naming(kind, kind_now(s, t, site, st->layout,
							  site->sample_uaddr[i]));
		rc = heap_set_kind(&s->heap, site->index, kind);
		if (rc)
			return rc;
	}
	return 0;
}

void session_poll_gc(struct session *s)
{
	uint32_t n;
	struct lmt_state *table = live_states(s->live, &n);

	gcpoll_run(&s->gc, table, n, live_tick(s->live));
	vec_each(p, &s->gc.states) {
		const struct lmt_state *st = p->index < n ? &table[p->index] : NULL;

		if (p->gone || !p->built || !st)
			continue;
		heap_set_gc(&s->heap, p->index, p->gc.heap_bytes, p->cycles);
		heap_set_base(&s->heap, p->index,
			      st->allocs + st->frees + st->reallocs + st->failures);
	}
}
