/* SPDX-License-Identifier: MIT */
/*
 * What is kept of states that ended. Thousands a second may: past a limit the places of the oldest
 * are added to those of one state that stands for them all, past another the states are too. Their
 * entries are used again, so that a trace of weeks takes no more room than one of minutes.
 */
#include "heap.h"

#include <errno.h>

#define MAX_SITES 50000 /* of ended states, each for itself */

void heap_closed_deinit(struct heap_closed *c)
{
	vec_deinit(&c->queue);
	vec_deinit(&c->free_states);
	vec_deinit(&c->free_sites);
	vec_deinit(&c->free_stacks);
}

/* Position of the state that the others are added to, or -ENOMEM. */
static int sum_state(struct heap *h)
{
	struct heap_state s = { .summed_up = true, .ended = true, .closed = true };

	if (h->closed.sum)
		return (int)h->closed.sum - 1;
	s.number = ++h->next_number;
	if (vec_push(&h->states, s))
		return -ENOMEM;
	h->closed.sum = (uint32_t)h->states.n;
	return (int)h->closed.sum - 1;
}

static void free_stacks(struct heap *h, uint32_t site)
{
	struct heap_site *s = &h->sites.v[site];

	while (s->stacks) {
		struct heap_stack *k = &h->stacks.v.v[s->stacks - 1];
		uint64_t *at = hashmap_lookup(&h->stacks.by_key, (site + 1ull) << 32 | k->stack);
		uint32_t i = s->stacks - 1;

		if (at)
			*at = 0;
		s->stacks = k->next;
		*k = (struct heap_stack){ .site = site };
		vec_push(&h->closed.free_stacks, i); /* without memory it is not used again */
	}
}

static void add_site(struct heap_site *to, const struct heap_site *s)
{
	to->live_bytes += s->live_bytes;
	to->live_blocks += s->live_blocks;
	to->allocs += s->allocs;
	to->alloc_bytes += s->alloc_bytes;
	to->reallocs += s->reallocs;
	if (s->survived_cycles > to->survived_cycles)
		to->survived_cycles = s->survived_cycles;
	if (s->peak_bytes > to->peak_bytes)
		to->peak_bytes = s->peak_bytes;
	if (!to->example)
		to->example = s->example;
}

static int fold_sites(struct heap *h, uint32_t state)
{
	int sum = sum_state(h);

	while (sum >= 0 && h->states.v[state].sites) {
		uint32_t i = h->states.v[state].sites - 1;
		struct heap_site *s = &h->sites.v[i];
		uint64_t *at;
		uint32_t to = heap_site_at(h, (uint32_t)sum, s->kind, s->frame, s->below, 0);

		if (!to)
			return -ENOMEM;
		s = &h->sites.v[i]; /* they may have moved */
		add_site(&h->sites.v[to - 1], s);
		free_stacks(h, i);
		at = hashmap_lookup(&h->site_by_key, heap_site_key(s));
		if (at)
			*at = 0;
		h->states.v[state].sites = s->next;
		*s = (struct heap_site){ .state = state };
		if (vec_push(&h->closed.free_sites, i))
			return -ENOMEM;
		h->closed.n_sites--;
	}
	return sum < 0 ? sum : 0;
}

static int fold_state(struct heap *h, uint32_t state)
{
	int sum = sum_state(h);
	struct heap_state *to, *s;

	if (sum < 0)
		return sum;
	to = &h->states.v[sum];
	s = &h->states.v[state];
	to->st.allocs += s->st.allocs;
	to->st.frees += s->st.frees;
	to->st.reallocs += s->st.reallocs;
	to->st.failures += s->st.failures;
	to->st.alloc_bytes += s->st.alloc_bytes;
	to->st.old_free_bytes += s->st.old_free_bytes;
	to->st.lost_blocks += s->st.lost_blocks;
	to->st.lost_bytes += s->st.lost_bytes;
	to->live_bytes += s->live_bytes;
	to->live_blocks += s->live_blocks;
	to->gc_cycles += s->gc_cycles;
	if (s->st.born_ns && (!to->st.born_ns || s->st.born_ns < to->st.born_ns))
		to->st.born_ns = s->st.born_ns;
	if (s->st.close_ns > to->st.close_ns)
		to->st.close_ns = s->st.close_ns;
	*s = (struct heap_state){ 0 };
	return vec_push(&h->closed.free_states, state);
}

/* Drops the used part of the queue. */
static void shift_queue(struct heap_closed *c)
{
	if (c->first < 1024 || c->first < c->queue.n / 2)
		return;
	for (size_t i = c->first; i < c->queue.n; i++)
		c->queue.v[i - c->first] = c->queue.v[i];
	c->queue.n -= c->first;
	c->first_site -= c->first;
	c->first = 0;
}

int heap_closed_add(struct heap *h, uint32_t state)
{
	struct heap_closed *c = &h->closed;
	int rc = vec_push(&c->queue, state);

	for (uint32_t i = h->states.v[state].sites; i; i = h->sites.v[i - 1].next)
		c->n_sites++;
	while (!rc && c->first_site < c->queue.n &&
	       (c->n_sites > MAX_SITES || (c->max_states && c->queue.n - c->first > c->max_states &&
					   c->first_site == c->first)))
		rc = fold_sites(h, c->queue.v[c->first_site++]);
	while (!rc && c->max_states && c->queue.n - c->first > c->max_states)
		rc = fold_state(h, c->queue.v[c->first++]);
	shift_queue(c);
	return rc;
}
