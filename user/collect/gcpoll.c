/* SPDX-License-Identifier: MIT */
#include "gcpoll.h"

#include <errno.h>

#include "block.h"

void gcpoll_deinit(struct gcpoll *p)
{
	vec_deinit(&p->states);
}

int gcpoll_add(struct gcpoll *p, uint32_t index, uint64_t G, const struct lmt_layout *layout,
	       const struct memread *mem)
{
	struct gcpoll_state s = { .index = index, .G = G, .layout = layout, .mem = mem };

	s.gone = !states_read_gc(mem, layout, G, &s.gc);
	return vec_push(&p->states, s);
}

struct gcpoll_state *gcpoll_find(struct gcpoll *p, uint32_t index)
{
	vec_each(s, &p->states)
		if (s->index == index)
			return s;
	return NULL;
}

void gcpoll_remove(struct gcpoll *p, uint32_t index)
{
	struct gcpoll_state *s = gcpoll_find(p, index);

	if (s)
		*s = p->states.v[--p->states.n];
}

static void poll_one(struct gcpoll_state *s, struct lmt_state *entry)
{
	struct state_gc now;

	uint64_t calls = entry->allocs + entry->frees + entry->reallocs;

	if (calls == s->calls && s->polled)
		return; /* a collector works when its program allocates */
	s->calls = calls;
	s->polled = true;
	/* A closed state's memory may be readable still, but means nothing. */
	if (entry->flags & LMT_STATE_DEAD || !states_read_gc(s->mem, s->layout, s->G, &now)) {
		s->gone = true;
		return;
	}
	if (now.white != s->gc.white)
		entry->gc_cycle = ++s->cycles;
	s->gc = now;
}

void gcpoll_run(struct gcpoll *p, struct lmt_state *table, uint32_t n)
{
	vec_each(s, &p->states)
		if (!s->gone && s->index < n)
			poll_one(s, &table[s->index]);
}
