/* SPDX-License-Identifier: MIT */
/*
 * What a closed state left behind may have been given to plain free() since, which passes no
 * allocator that we probe. So the target's malloc is asked, as long as the target lives.
 */
#include "session_find.h"

#include "collect/chunk.h"

#define LEARN_FROM 64

static struct chunk_rule learn(struct session *s, struct session_target *t,
			       const struct snapshot *snap, struct chunk_block *b)
{
	uint64_t uaddr[LEARN_FROM], size[LEARN_FROM];
	size_t n = live_some_blocks(s->live, (uint32_t)t->slot, uaddr, size, LEARN_FROM);
	struct chunk_rule rule;

	for (size_t i = 0; i < n; i++)
		b[i] = (struct chunk_block){ uaddr[i], size[i] };
	rule = chunk_learn(&t->mem, b, n, true);
	if (rule.known || n > LEARN_FROM / 4)
		return rule;
	n = 0; /* there is no other state */
	vec_each(o, &snap->orphan_blocks) {
		const struct snapshot_orphans *kind = &snap->orphans.v[o->group];
		const struct heap_state *st = heap_find_state(&s->heap, kind->state);

		if (n < LEARN_FROM && st && st->pid == t->target->pid)
			b[n++] = (struct chunk_block){ o->uaddr, kind->size };
	}
	return chunk_learn(&t->mem, b, n, false);
}

/* Takes those that are free out of their kinds. */
static void check_target(struct session *s, struct session_target *t, struct snapshot *snap)
{
	struct chunk_block b[LEARN_FROM];
	struct chunk_rule rule = learn(s, t, snap, b);
	struct memread_cached cache;
	struct memread mem;

	memread_open_cached(&cache, &t->mem, &mem);
	vec_each(o, &snap->orphan_blocks) {
		struct snapshot_orphans *kind = &snap->orphans.v[o->group];
		const struct heap_state *st = heap_find_state(&s->heap, kind->state);
		struct chunk_block block = { o->uaddr, kind->size };

		if (!st || st->pid != t->target->pid)
			continue;
		switch (chunk_fate(&mem, &rule, &block)) {
		case CHUNK_FREE:
			kind->n_free++;
			break;
		case CHUNK_MAYBE:
			kind->n_maybe++;
			break;
		case CHUNK_UNKNOWN: /* it has ended, or malloc() is another one */
			kind->n_maybe += t->plain_frees;
			break;
		case CHUNK_IN_USE:
			break;
		}
		t->plain_frees |= kind->n_free != 0;
	}
	/* In doubt they went the way of their like. */
	vec_each(kind, &snap->orphans) {
		const struct heap_state *st = heap_find_state(&s->heap, kind->state);

		if (st && st->pid == t->target->pid &&
		    (t->plain_frees || kind->n_maybe == kind->n_sample))
			kind->n_free += kind->n_maybe;
	}
}

void session_check_orphans(struct session *s, struct snapshot *snap)
{
	if (!snap->orphan_blocks.n)
		return;
	vec_each(t, &s->targets.all)
		if (t->slot && t->phase != TARGET_RETIRED)
			check_target(s, t, snap);
	vec_each(kind, &snap->orphans) {
		if (!kind->n_free)
			continue;
		/* Of a kind with many only some were looked at. */
		kind->blocks -= kind->blocks * kind->n_free / kind->n_sample;
		kind->bytes = kind->blocks * kind->size;
	}
}
