/* SPDX-License-Identifier: MIT */
#include "bridge.h"

#include <string.h>

#include "census.h"
#include "chunks.h"
#include "discover/task.h"

#define MALLOC_FLAGS 7u
#define MALLOC_PREV_IN_USE 1u
#define MALLOC_GRAIN 16

const char *bridge_key(enum bridge_part part)
{
	static const char *const key[] = {
#define BRIDGE_PART(name, k, text) k,
		BRIDGE_PARTS(BRIDGE_PART)
#undef BRIDGE_PART
	};

	return key[part];
}

const char *bridge_text(enum bridge_part part)
{
	static const char *const text[] = {
#define BRIDGE_PART(name, k, t) t,
		BRIDGE_PARTS(BRIDGE_PART)
#undef BRIDGE_PART
	};

	return text[part];
}

static uint64_t resident(const struct memread *mem, const struct proc_map *m)
{
	uint64_t at = m->start, run, end, sum = 0;

	while (at < m->end && memread_resident(mem, at, m->end, &run, &end)) {
		sum += end - run;
		at = end;
	}
	return sum;
}

/* The kernel's own pages, mapped into every process, are in nobody's count. */
static bool in_rss(const struct proc_map *m)
{
	return m->prot && strncmp(m->path, "[v", 2);
}

static bool is_shared(const struct proc_map *m)
{
	return !strncmp(m->path, "/dev/", 5) || !strncmp(m->path, "/memfd:", 7) ||
	       !strncmp(m->path, "/SYSV", 5);
}

static enum bridge_part box_of(const struct proc_map *m)
{
	if (!strcmp(m->path, "[stack]"))
		return BRIDGE_STACKS;
	if (is_shared(m))
		return BRIDGE_SHARED;
	if (m->inode)
		return m->prot & PROC_W ? BRIDGE_MODULES : BRIDGE_FILES;
	return m->prot & PROC_X ? BRIDGE_MACHINE_CODE : BRIDGE_HEAP;
}

/*
 * Free chunks of glibc's main heap: they follow each other, and each tells whether the one before
 * it is in use. Anything that does not fit ends the walk: another malloc, or a damaged heap.
 */
static uint64_t glibc_free(struct census *c, const struct proc_map *m)
{
	uint64_t at = m->start, sum = 0, before = 0;

	while (at + MALLOC_GRAIN < m->end) {
		const uint8_t *p = image_at(&c->copier.im, at, 16);
		uint64_t head = p ? walk_u64(p + 8) : 0, size = head & ~(uint64_t)MALLOC_FLAGS;

		if (!p || size < 32 || size % MALLOC_GRAIN || size > m->end - at)
			return before ? sum : 0;
		if (before && !(head & MALLOC_PREV_IN_USE))
			sum += before;
		if (at + size == m->end)
			return sum + size; /* the top: never handed out, or given back */
		before = size;
		at += size;
	}
	return sum;
}

/* Takes one LuaJIT state out of the private memory: what its allocator has, and has free. */
static void take_luajit(struct census *c, const struct census_state *s, struct bridge *b)
{
	const struct resolved_state *rs = &c->resolved->states.v[s->index];
	struct walk w = { .im = &c->copier.im, .row = s->row, .l = &s->row->l, .c = &s->row->c };
	struct chunks ch;

	w.g = image_at(w.im, rs->G, (uint64_t)w.l->size_G.off);
	if (!w.g || chunks_read(&ch, &w))
		return;
	if (ch.n) {
		int64_t free_bytes = (int64_t)ch.free_bytes;
		int64_t round = (int64_t)ch.used_bytes - (int64_t)s->vm_bytes;

		/* Big blocks have mappings of their own; then there is no rounding to tell. */
		if (round < 0)
			round = 0;
		b->bytes[BRIDGE_LJ_FREE] += free_bytes;
		b->bytes[BRIDGE_LJ_ROUND] += round;
		b->bytes[BRIDGE_HEAP] -= free_bytes + round;
	}
	chunks_deinit(&ch);
}

void bridge_build(struct census *c, struct bridge *b)
{
	struct task_rss rss;

	*b = (struct bridge){ 0 };
	if (!task_read_rss(c->target->pid, &rss))
		return;
	vec_each(m, &c->copier.maps.maps) {
		uint64_t bytes = in_rss(m) ? resident(c->mem, m) : 0;

		b->bytes[box_of(m)] += (int64_t)bytes;
		if (!strcmp(m->path, "[heap]"))
			b->bytes[BRIDGE_HEAP_FREE] += (int64_t)glibc_free(c, m);
	}
	b->bytes[BRIDGE_HEAP] -= b->bytes[BRIDGE_HEAP_FREE];
	vec_each(s, &c->states) {
		if (!s->done)
			continue;
		b->bytes[BRIDGE_LUA] += (int64_t)s->vm_bytes;
		b->bytes[BRIDGE_HEAP] -= (int64_t)s->vm_bytes;
		if (s->row->l.family == LMT_FAMILY_LUAJIT)
			take_luajit(c, s, b);
	}
	b->rss_bytes = rss.total;
	b->bytes[BRIDGE_REST] = (int64_t)rss.total;
	for (unsigned int i = 0; i < BRIDGE_REST; i++)
		b->bytes[BRIDGE_REST] -= b->bytes[i];
}
