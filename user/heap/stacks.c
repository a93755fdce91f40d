/* SPDX-License-Identifier: MIT */
#include "stacks.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "heap.h"

#define CONFIDENCE 1.96 /* standard deviations that hold 95 % */

void heap_stacks_deinit(struct heap_stacks *s)
{
	vec_deinit(&s->v);
	hashmap_deinit(&s->by_key);
	hashmap_deinit(&s->of_index);
	hashmap_deinit(&s->site_of);
}

int heap_set_stack(struct heap *h, uint32_t index, uint32_t stack)
{
	uint64_t *at = hashmap_get_or_add(&h->stacks.of_index, index);

	if (!at)
		return -ENOMEM;
	*at = stack;
	return 0;
}

void heap_forget_stack(struct heap *h, uint32_t index)
{
	uint64_t *stack = hashmap_lookup(&h->stacks.of_index, index);
	uint64_t *site = hashmap_lookup(&h->stacks.site_of, index);

	if (stack)
		*stack = 0;
	if (site)
		*site = 0;
}

uint32_t heap_stack_of(const struct heap *h, uint32_t index)
{
	const uint64_t *at = hashmap_lookup(&h->stacks.of_index, index);

	return at ? (uint32_t)*at : 0;
}

uint32_t heap_main_stack(const struct heap *h, const struct heap_site *s)
{
	uint32_t best = s->example;
	double most = 0;

	for (uint32_t i = s->stacks; i; i = h->stacks.v.v[i - 1].next) {
		const struct heap_stack *k = &h->stacks.v.v[i - 1];

		if (k->live_bytes <= most)
			continue;
		most = k->live_bytes;
		best = k->stack;
	}
	return best;
}

uint64_t heap_temporary(const struct heap *h, const struct heap_site *s)
{
	double temporary = 0, all = 0;

	for (uint32_t i = s->stacks; i; i = h->stacks.v.v[i - 1].next) {
		temporary += h->stacks.v.v[i - 1].temporary;
		all += h->stacks.v.v[i - 1].alloc_bytes;
	}
	return all > 0 ? (uint64_t)(fmin(temporary / all, 1) * (double)s->alloc_bytes) : 0;
}

static int apply_stack(struct heap *h, const struct snapshot_stack *from)
{
	const uint64_t *site = hashmap_lookup(&h->stacks.site_of, from->place);
	uint32_t stack = heap_stack_of(h, from->index);
	struct heap_stack *s;
	uint64_t *at;

	if (!site || !*site || !stack)
		return 0; /* still in the ring: next time */
	at = hashmap_get_or_add(&h->stacks.by_key, *site << 32 | stack);
	if (!at)
		return -ENOMEM;
	if (!*at) {
		struct heap_site *to = &h->sites.v[*site - 1];
		struct heap_stack fresh = { .site = (uint32_t)*site - 1, .stack = stack,
					    .next = to->stacks };

		if (h->closed.free_stacks.n) {
			to->stacks = h->closed.free_stacks.v[--h->closed.free_stacks.n] + 1;
			h->stacks.v.v[to->stacks - 1] = fresh;
		} else if (vec_push(&h->stacks.v, fresh)) {
			return -ENOMEM;
		} else {
			to->stacks = (uint32_t)h->stacks.v.n;
		}
		*at = to->stacks;
	}
	s = &h->stacks.v.v[*at - 1];
	s->samples += from->samples;
	s->allocs += from->allocs;
	s->alloc_bytes += from->alloc_bytes;
	s->alloc_variance += from->alloc_variance;
	s->live_blocks += from->live_blocks;
	s->live_bytes += from->live_bytes;
	s->live_variance += from->live_variance;
	s->temporary += from->temporary;
	return 0;
}

int heap_apply_stacks(struct heap *h, const struct snapshot *snap)
{
	int rc = 0;

	vec_each(s, &h->stacks.v)
		if (!h->states.v[h->sites.v[s->site].state].ended)
			*s = (struct heap_stack){ .site = s->site,
						  .stack = s->stack,
						  .next = s->next };
	for (size_t i = 0; !rc && i < snap->stacks.n; i++)
		rc = apply_stack(h, &snap->stacks.v[i]);
	/* A place whose first stack is known gives its site an example. */
	vec_each(from, &snap->sites) {
		const uint64_t *site = hashmap_lookup(&h->stacks.site_of, from->index);
		uint32_t stack = heap_stack_of(h, from->index);

		if (site && *site && stack && !h->sites.v[*site - 1].example)
			h->sites.v[*site - 1].example = stack;
	}
	return rc;
}

/* Gives stack i its part of an exact whole, so that all parts add up to it. */
struct divider {
	double weight_left;
	uint64_t left;
};

static uint64_t part(struct divider *d, double weight, bool last)
{
	double f = d->weight_left > 0 ? weight / d->weight_left : 0;
	uint64_t n = last ? d->left : (uint64_t)(f * (double)d->left + 0.5);

	if (n > d->left)
		n = d->left;
	d->left -= n;
	d->weight_left -= weight;
	return n;
}

/* Which estimates divide a number of the site: those of the same kind, if there are any. */
struct weights {
	double allocs, alloc_bytes, alloc_variance, live_blocks, live_bytes, live_variance;
};

static double live_weight(const struct weights *all, const struct heap_stack *s)
{
	return all->live_bytes > 0 ? s->live_bytes : s->alloc_bytes;
}

/* Error of w / all: both are sums over the same samples. */
static double error_pct(const struct weights *all, const struct heap_stack *s)
{
	bool live = all->live_bytes > 0;
	double w = live ? s->live_bytes : s->alloc_bytes,
	       v = live ? s->live_variance : s->alloc_variance;
	double sum = live ? all->live_bytes : all->alloc_bytes;
	double sum_v = live ? all->live_variance : all->alloc_variance, f;

	if (w <= 0 || sum <= 0)
		return 0;
	f = w / sum;
	return 100 * CONFIDENCE *
	       sqrt((1 - f) * (1 - f) * v + f * f * (sum_v - v > 0 ? sum_v - v : 0)) / w;
}

static void divide(const struct heap_site *site, const struct heap_stack *const *stacks, size_t n,
		   struct heap_share *out)
{
	struct weights all = { 0 };
	struct divider live_bytes, live_blocks, old, allocs, alloc_bytes;

	for (size_t i = 0; i < n; i++) {
		all.allocs += stacks[i]->allocs;
		all.alloc_bytes += stacks[i]->alloc_bytes;
		all.alloc_variance += stacks[i]->alloc_variance;
		all.live_blocks += stacks[i]->live_blocks;
		all.live_bytes += stacks[i]->live_bytes;
		all.live_variance += stacks[i]->live_variance;
	}
	live_bytes = (struct divider){ all.live_bytes > 0 ? all.live_bytes : all.alloc_bytes,
				       site->live_bytes };
	old = (struct divider){ live_bytes.weight_left, site->old_bytes };
	live_blocks = (struct divider){ all.live_bytes > 0 ? all.live_blocks : all.alloc_bytes,
					site->live_blocks };
	allocs = (struct divider){ all.allocs, site->allocs };
	alloc_bytes = (struct divider){ all.alloc_bytes, site->alloc_bytes };
	for (size_t i = 0; i < n; i++) {
		const struct heap_stack *s = stacks[i];
		double live = live_weight(&all, s);
		bool last = i == n - 1;

		out[i] = (struct heap_share){
			.stack = s->stack,
			.samples = s->samples,
			.error_pct = error_pct(&all, s),
			.growth_bytes_per_s =
				site->growth_bytes_per_s * live /
				(all.live_bytes > 0 ? all.live_bytes : all.alloc_bytes),
			.live_bytes = part(&live_bytes, live, last),
			.old_bytes = part(&old, live, last),
			.live_blocks = part(&live_blocks,
					    all.live_bytes > 0 ? s->live_blocks : live, last),
			.allocs = part(&allocs, s->allocs, last),
			.alloc_bytes = part(&alloc_bytes, s->alloc_bytes, last),
		};
	}
}

static int by_weight(const void *pa, const void *pb)
{
	const struct heap_stack *a = *(const struct heap_stack *const *)pa;
	const struct heap_stack *b = *(const struct heap_stack *const *)pb;

	if (a->live_bytes != b->live_bytes)
		return a->live_bytes > b->live_bytes ? -1 : 1;
	if (a->alloc_bytes != b->alloc_bytes)
		return a->alloc_bytes > b->alloc_bytes ? -1 : 1;
	return a->stack < b->stack ? -1 : a->stack > b->stack;
}

int heap_share(const struct heap *h, size_t site, struct heap_share **ret)
{
	const struct heap_site *s = &h->sites.v[site];
	const struct heap_stack **stacks;
	struct heap_share *out;
	size_t n = 0;

	for (uint32_t i = s->stacks; i; i = h->stacks.v.v[i - 1].next)
		n++;
	stacks = calloc(n + 1, sizeof(*stacks));
	out = calloc(n + 1, sizeof(*out));
	if (!stacks || !out) {
		free(stacks);
		free(out);
		return -ENOMEM;
	}
	n = 0;
	for (uint32_t i = s->stacks; i; i = h->stacks.v.v[i - 1].next)
		if (h->stacks.v.v[i - 1].alloc_bytes > 0)
			stacks[n++] = &h->stacks.v.v[i - 1];
	if (n) {
		qsort(stacks, n, sizeof(*stacks), by_weight);
		divide(s, stacks, n, out);
	} else {
		*out = (struct heap_share){ s->example, 0, 0, s->live_bytes, s->live_blocks,
					    s->old_bytes, s->allocs, s->alloc_bytes,
					    s->growth_bytes_per_s };
		n = 1;
	}
	free(stacks);
	*ret = out;
	return (int)n;
}
