/* SPDX-License-Identifier: MIT */
#include "session_find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "heap/suppress.h"
#include "resolve/elf_whereis.h"
#include "resolve/gcstate.h"
#include "session_memory.h"

#define HOLD_NS 2000000000ull /* a doubtful finding waits so long for what speaks against it */

static int by_start(const void *a, const void *b)
{
	const struct lmt_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* The segments of a module as they lie in memory, with what the file does not hold (.bss). */
static void add_ranges(struct session *s, const struct module *m, struct lmt_range *r, size_t *n)
{
	struct file *file = files_get(&s->files, m);
	const struct elf_segment *seg;

	if (!file || !file->elf)
		return;
	for (size_t i = 0; *n < LMT_RANGES && (seg = elf_extent(file->elf, i)); i++) {
		uint64_t start = file_uaddr(file, m, seg->vaddr);

		if (seg->memsz)
			r[(*n)++] = (struct lmt_range){ start, start + seg->memsz };
	}
}

static int set_ranges(struct session *s, struct session_target *t)
{
	auto_free struct lmt_ranges *all = malloc(sizeof(*all));
	size_t n = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < LMT_RANGES; i++)
		all->r[i] = (struct lmt_range){ LMT_RANGE_END, LMT_RANGE_END };
	vec_each(m, &t->target->modules)
		add_ranges(s, m, all->r, &n);
	qsort(all->r, n, sizeof(all->r[0]), by_start);
	return attach_set_ranges(s->attach, t->slot, all);
}

int session_find_start(struct session *s, struct session_target *t, struct errmsg *err)
{
	int rc = set_ranges(s, t);

	if (rc)
		return errmsg_set(err, rc, "cannot enter the modules of process %d: %s", t->target->pid,
				  strerror(-rc));
	for (size_t i = 0; !rc && i < s->cfg.n_watch_calls; i++)
		rc = session_watch_call(s, t, s->cfg.watch_calls[i], err);
	return rc < 0 ? rc : 0;
}

void session_on_modules(struct session *s, struct session_target *t)
{
	if (t->slot)
		set_ranges(s, t);
}

/* Names an address of a module; section and symbol as far as the file says. */
static struct named_address name_address(struct session *s, struct session_target *t,
					 uint64_t uaddr)
{
	struct named_address a = { 0 };
	struct whereis w;

	vec_each(m, &t->target->modules) {
		struct file *file = files_get(&s->files, m);
		uint64_t vaddr;

		if (!file || !file->elf)
			continue;
		vaddr = file_vaddr(file, m, uaddr);
		if (!whereis(file->elf, vaddr, &w))
			continue;
		a = (struct named_address){ .module = m->path,
					    .section = w.section,
					    .symbol = w.symbol,
					    .offset = vaddr,
					    .writable = w.writable,
					    .in_file = w.in_file };
		return a;
	}
	return a;
}

/* A function of a stripped copy of Lua that was found without its name. */
static const char *found_function(const struct session_target *t, struct file *file, uint64_t vaddr)
{
	const struct elf_function *fn = elf_function_at(file->elf, vaddr);

	vec_each(rt, &t->resolved->runtimes)
		for (int id = 0; fn && rt->file == file && id < FUNC_MAX; id++)
			if (rt->fn[id].vaddr == fn->start)
				return func_name((enum func_id)id);
	return NULL;
}

struct named_address session_name_caller(struct session *s, struct session_target *t, uint64_t ip)
{
	struct named_address a = ip ? name_address(s, t, ip - 1) : (struct named_address){ 0 };
	const struct module *m = a.module ? target_module_at(t->target, ip - 1) : NULL;
	struct file *file = m ? files_get(&s->files, m) : NULL;
	char text[32];
	uint64_t off;

	if (!file || !file->elf)
		return a;
	a.symbol = whereis_function(file->elf, a.offset, &off);
	if (!a.symbol)
		a.symbol = found_function(t, file, a.offset);
	if (!a.symbol) { /* stripped: the place is all there is */
		snprintf(text, sizeof(text), "+0x%llx", (unsigned long long)a.offset);
		a.symbol = strpool_get(s->names.strings, strpool_add(s->names.strings, text));
	}
	return a;
}

/* Does an empty hash node lie there: a value and a key of type nil and nothing behind it? */
static bool is_dummy(struct session *s, struct session_target *t, uint64_t uaddr, uint64_t size)
{
	vec_each(m, &t->target->modules) {
		struct file *file = files_get(&s->files, m);
		const uint8_t *p = file && file->elf
			? elf_data(file->elf, file_vaddr(file, m, uaddr), size) : NULL;

		if (!p || uaddr < m->start || uaddr >= m->end)
			continue;
		for (uint64_t i = 0; i < size; i++)
			if (p[i])
				return false;
		return true;
	}
	return false;
}

/* Do blocks or states live in the same part of the module? Then the allocator serves from it. */
static bool is_served(struct session *s, struct session_target *t, uint64_t uaddr)
{
	uint32_t n;
	const struct lmt_state *table = live_states(s->live, &n);

	vec_each(m, &t->target->modules) {
		struct file *file = files_get(&s->files, m);
		const struct elf_segment *seg;

		for (size_t i = 0; file && file->elf && (seg = elf_extent(file->elf, i)); i++) {
			uint64_t start = file_uaddr(file, m, seg->vaddr), end = start + seg->memsz;

			if (uaddr < start || uaddr >= end)
				continue;
			for (uint32_t k = 1; k < n; k++)
				if (table[k].slot == (uint32_t)t->slot && table[k].g >= start &&
				    table[k].g < end)
					return true;
			if (live_any_block(s->live, (uint32_t)t->slot, start, end))
				return true;
		}
	}
	return false;
}

static uint64_t map_limit(pid_t pid)
{
	struct rlimit r;

	return prlimit(pid, RLIMIT_AS, NULL, &r) || r.rlim_cur == RLIM_INFINITY ? 0 : r.rlim_cur;
}

static const char *allocator_of(struct session *s, struct session_target *t,
				const struct heap_state *st, bool *own)
{
	struct gcpoll_state *poll = st ? gcpoll_find(&s->gc, st->index) : NULL;
	char text[512];

	if (!poll)
		return NULL;
	vec_each(a, &t->resolved->allocators) {
		if (a->uaddr != poll->gc.alloc)
			continue;
		*own = a->built_in;
		if (a->built_in)
			snprintf(text, sizeof(text), "Lua's own allocator %s", a->name);
		else if (a->name)
			snprintf(text, sizeof(text), "the custom allocator %s in %s", a->name, a->module);
		else
			snprintf(text, sizeof(text), "the custom allocator at %s+0x%llx",
				 *a->module ? a->module : "generated code",
				 (unsigned long long)(*a->module ? a->vaddr : a->uaddr));
		return strpool_get(s->names.strings, strpool_add(s->names.strings, text));
	}
	return NULL;
}

/* Was memory handed out that was in use as far as we saw? */
static bool missed_frees(const struct session *s, int slot)
{
	uint32_t n;
	const struct lmt_state *table = live_states(s->live, &n);

	for (uint32_t i = 1; i < n; i++)
		if (table[i].slot == (uint32_t)slot && table[i].flags & LMT_STATE_BLIND)
			return true;
	return false;
}

/* Did every call of every allocator since the attach reach us? */
static bool saw_all(struct session *s, struct session_target *t)
{
	uint64_t stats[LMT_STAT_MAX];
	size_t probed = 0;

	live_stats(s->live, stats);
	vec_each(site, &t->plan->sites)
		probed += site->program == PLAN_ALLOC;
	return !s->cost.windows && !stats[LMT_STAT_MAP_FULL] && !stats[LMT_STAT_NO_PENDING] &&
	       !t->missed_calls && probed == t->resolved->allocators.n && !missed_frees(s, t->slot);
}

static const char *module_of_runtime(const struct session_target *t, uint32_t id)
{
	const struct runtime *rt = id ? resolved_runtime(t->resolved, id) : NULL;

	return rt ? rt->module : NULL;
}

/* The copies of Lua that the state is of and that the caller is in, if they differ. */
static void name_copies(struct session *s, struct session_target *t, struct noticed *n)
{
	const struct lmt_finding *e = n->e;
	uint32_t owner = 0, states;
	const struct lmt_state *table = live_states(s->live, &states);

	if (e->e.state < states)
		owner = table[e->e.state].runtime;
	n->owner_module = module_of_runtime(t, owner);
	n->owner_version = n->owner_module ? resolved_runtime(t->resolved, owner)->version : NULL;
	if (e->e.arg0 == LMT_FIND_CROSS_RUNTIME) {
		n->foreign_module = module_of_runtime(t, (uint32_t)e->arg[0]);
		return;
	}
	vec_each(rt, &t->resolved->runtimes)
		if (owner && rt->id != owner && n->caller.module &&
		    !strcmp(rt->module, n->caller.module))
			n->foreign_module = rt->module;
}

/*
 * The whole stack of a place: 0 where its Lua frames could not be read in time, but the line is
 * known.
 */
static uint32_t stack_of(const struct session *s, uint32_t index, const struct frame *leaf)
{
	uint32_t stack = heap_stack_of(&s->heap, index), frames[STACKDB_FRAMES];
	size_t n = stackdb_frames(&s->names.stacks, stack, frames, STACKDB_FRAMES);

	for (size_t i = 0; i < n; i++)
		if (s->names.stacks.frames.v[frames[i]].kind == STACK_LUA)
			return stack;
	return leaf->where ? 0 : stack;
}

static void name_frames(struct session *s, struct noticed *n)
{
	const struct lmt_finding *e = n->e;
	uint32_t n_sites;
	const struct lmt_site *sites = live_sites(s->live, &n_sites);
	uint32_t free_site = 0;
	uint64_t gc = 0;

	n->frame = heap_get_frame(&s->heap, e->site);
	n->stack = stack_of(s, e->site, &n->frame);
	if (e->site < n_sites)
		n->below = sites[e->site].flags & LMT_SITE_BELOW;
	if (LMT_BLOCK_SIZE(&e->block)) {
		n->alloc_frame = heap_get_frame(&s->heap, live_site_of(s->live, e->block.site));
		/* a sampled block's own */
		n->alloc_stack = stack_of(s, e->block.site, &n->alloc_frame);
		if (!n->alloc_stack) /* …else that of the line's first */
			n->alloc_stack =
				stack_of(s, live_site_of(s->live, e->block.site), &n->alloc_frame);
	}
	if (e->e.arg0 == LMT_FIND_ERR_MEM)
		n->other_frame = heap_get_frame(&s->heap, (uint32_t)e->arg[LMT_ERR_START]);
	if (e->e.arg0 == LMT_FIND_STALE_ARG) {
		free_site = (uint32_t)e->arg[LMT_STALE_FREE_SITE];
		gc = e->arg[LMT_STALE_FREE_GC];
	} else if (e->e.arg0 == LMT_FIND_DOUBLE_FREE || e->e.arg0 == LMT_FIND_CHUNK_FREE) {
		free_site = (uint32_t)e->arg[LMT_FIRST_FREE_SITE];
		gc = e->arg[LMT_FIRST_FREE_GC];
	}
	if (free_site) {
		n->other_frame = heap_get_frame(&s->heap, free_site);
		n->other_stack = stack_of(s, free_site, &n->other_frame);
	}
	if (gc && n->state && n->state->layout)
		n->free_phase = gcstate_name(n->state->layout, (unsigned int)gc - 1);
}

/* The C function that got a stale pointer: a watched one, or by its address. */
static const char *name_function(struct session *s, struct session_target *t,
				 const struct lmt_finding *e)
{
	struct named_address a;

	vec_each(w, &t->watched)
		if (e->probe && w->probe == e->probe)
			return strpool_get(s->names.strings, w->name);
	a = session_name_caller(s, t, e->arg[LMT_STALE_FUNCTION] + 1);
	return a.symbol ? a.symbol : a.module;
}

/* A stale pointer after all? Not if it lies in a block that was live then. */
static bool is_stale(struct session *s, const struct lmt_finding *e)
{
	uint64_t ms = (e->e.time_ns - live_start_ns(s->live)) / 1000000;

	return !live_covered(s->live, e->e.slot, e->ptr, ms);
}

/* States that predate us may have handed out what comes back now. */
static bool has_old_states(const struct session *s, pid_t pid)
{
	uint32_t n;
	const struct lmt_state *table = live_states(s->live, &n);

	vec_each(h, &s->heap.states)
		if (h->number && h->pid == pid && h->before_attach && h->index < n &&
		    !(table[h->index].flags & LMT_STATE_DEAD))
			return true;
	return false;
}

static void hold_doubtful(struct session *s, const struct noticed *n)
{
	if (n->e->e.arg0 != LMT_FIND_STATIC_FREE || !n->ptr.writable || !s->findings.v.n)
		return;
	vec_each(f, &s->findings.v)
		if (f->bpf_key == n->e->key && !f->not_before_ns)
			f->not_before_ns = n->e->e.time_ns + HOLD_NS;
}

int session_on_finding(struct session *s, struct session_target *t, const struct lmt_event *ev)
{
	const struct lmt_finding *e = (const struct lmt_finding *)ev;
	struct noticed n = { .e = e, .pid = t->target->pid };
	struct heap_state *st = heap_find_state(&s->heap, ev->state);

	/* Between windows the memory may have been given out again. */
	if (ev->arg0 == LMT_FIND_STALE_ARG && (s->cost.windows || !is_stale(s, e)))
		return 0;
	if (e->ip && !target_module_at(t->target, e->ip))
		target_refresh(t->target, NULL);
	if (ev->arg0 == LMT_FIND_STALE_ARG && !e->probe &&
	    !session_passes_pointer(s, t, e->arg[LMT_STALE_FUNCTION],
				    (unsigned int)e->arg[LMT_STALE_ARGUMENT]))
		return 0;
	n.state = st && st->number ? st : NULL;
	name_frames(s, &n);
	n.caller = session_name_caller(s, t, e->ip);
	name_copies(s, t, &n);
	n.allocator = allocator_of(s, t, n.state, &n.own_allocator);
	n.map_limit = n.own_allocator ? map_limit(n.pid) : 0;
	n.saw_all = saw_all(s, t);
	n.old_states = has_old_states(s, n.pid);
	if (e->ptr)
		n.ptr = name_address(s, t, e->ptr);
	if (ev->arg0 == LMT_FIND_STATIC_FREE) {
		/* Before the attach the allocator may have handed out anything. */
		n.ptr_served = n.ptr.writable && (n.old_states || is_served(s, t, e->ptr));
		n.ptr_is_dummy = !n.ptr.writable && n.state && n.state->layout &&
				 e->osize == (uint64_t)n.state->layout->size_node.off &&
				 is_dummy(s, t, e->ptr, e->osize);
	}
	if (ev->arg0 == LMT_FIND_STALE_ARG)
		n.function = name_function(s, t, e);
	detect_noticed(&s->findings, &n);
	hold_doubtful(s, &n);
	return s->findings.failed ? -ENOMEM : 0;
}

/* What was doubtful and is refuted by now; the exact number of what went on happening. */
static void review(struct session *s, bool last)
{
	vec_each(f, &s->findings.v) {
		uint64_t n = last && f->bpf_key ? live_find_count(s->live, f->bpf_key) : 0;

		if (n > f->count)
			f->count = n;
		if (!f->not_before_ns || f->withdrawn)
			continue;
		vec_each(t, &s->targets.all)
			if (t->target->pid == f->pid)
				f->withdrawn = is_served(s, t, f->ptr_uaddr);
	}
}

void session_find_look(struct session *s, struct snapshot *snap, bool last)
{
	s->findings.windows = s->cost.windows;
	session_check_orphans(s, snap);
	session_name_c_code(s);
	detect_snapshot(&s->findings, &s->heap, snap, last);
	session_memory_find(s, snap->end_ns);
	review(s, last);
}

bool session_wants_finding(const struct session *s, const struct finding *f)
{
	const struct trace_config *cfg = &s->cfg;

	if (f->withdrawn || (cfg->kinds && !(cfg->kinds >> f->kind & 1)))
		return false;
	if (cfg->only_state && f->state && f->state != cfg->only_state)
		return false;
	return !suppress_fits(cfg->suppressions, f, s->names.strings);
}
