/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hashmap.h"

struct sum {
	uint64_t bytes, blocks;
	struct cohorts old;
	struct births alive;
	uint32_t oldest;
	uint64_t sample_uaddr[SNAPSHOT_SAMPLES];
};

/* Of sampled blocks: what they stand for; see struct snapshot_stack. */
struct estimate {
	double blocks, bytes, variance;
};

struct scan {
	const struct live *live;
	const struct lmt_state *states;
	uint32_t n_states, n_sites, n_stacks;
	double sample_bytes;
	const struct snapshot_filter *filter;
	uint64_t now_ms, seed;
	uint32_t width_ms; /* of the stretches in struct births */
	struct age_window *ages; /* by state */
	uint64_t *string_table;  /* by state: where it lies */
	struct sum *by_site;  /* index 0: blocks without a site, by state instead */
	struct estimate *by_stack;
	struct sum *by_state; /* all blocks */
	struct sum *no_site;  /* blocks without a site, by state */
	struct snapshot *out; /* for the orphans */
	struct hashmap orphan_by_key;
};

void snapshot_deinit(struct snapshot *s)
{
	vec_deinit(&s->states);
	vec_deinit(&s->sites);
	vec_deinit(&s->orphans);
	vec_deinit(&s->orphan_blocks);
	vec_deinit(&s->stacks);
}

static bool passes(const struct scan *s, const struct lmt_block *b)
{
	const struct snapshot_filter *f = s->filter;
	uint64_t size = LMT_BLOCK_SIZE(b);

	return size >= f->min_size && (!f->max_size || size <= f->max_size) &&
	       LMT_BLOCK_MS(b) >= f->since_ms && (!f->older_ms || s->now_ms >= LMT_BLOCK_MS(b) + f->older_ms);
}

/*
 * Completed cycles between the block's birth and now. The one it was born in does not count, nor
 * does the latest while it is still being swept: what it found dead is not freed yet.
 */
static uint32_t survived(const struct scan *s, const struct lmt_block *b)
{
	uint32_t now = s->states[b->state].gc_cycle & LMT_CYCLE_MASK;
	uint32_t age = (now - LMT_BLOCK_CYCLE(b)) & LMT_CYCLE_MASK;

	return age && !s->ages[b->state].swept ? age - 1 : age;
}

static bool is_old(const struct age_window *w, const struct lmt_block *b)
{
	return w->known && LMT_BLOCK_CYCLE(b) <= w->cycle;
}

static void add_sample(struct scan *s, struct sum *sum, uint64_t uaddr)
{
	uint64_t at;

	/* A reservoir: each block is as likely to stay as any other. */
	s->seed ^= s->seed << 13, s->seed ^= s->seed >> 7, s->seed ^= s->seed << 17;
	at = sum->blocks < SNAPSHOT_SAMPLES ? sum->blocks : s->seed % (sum->blocks + 1);
	if (at < SNAPSHOT_SAMPLES)
		sum->sample_uaddr[at] = uaddr;
}

#define MAX_ORPHANS 4096 /* kinds of them */
#define MAX_ALIKE 512    /* whose addresses are noted, of a kind and of all */
#define MAX_ORPHAN_BLOCKS 16384

/* A block whose state is dead. The place that most of its kind come from is told by majority. */
static void add_orphan(struct scan *s, const struct lmt_block *b, uint64_t uaddr)
{
	struct snapshot_orphans fresh = { .state = b->state, .size = LMT_BLOCK_SIZE(b),
					  .tag = LMT_BLOCK_TAG(b), .prev_tag = LMT_BLOCK_PREV_TAG(b) };
	uint32_t place = live_site_of(s->live, b->site);
	uint64_t key = ((uint64_t)b->state << 32 ^ b->size_tags) * 0x9E3779B97F4A7C15ull, *at;
	struct snapshot_orphans *o;

	at = s->out->orphans.n < MAX_ORPHANS ? hashmap_get_or_add(&s->orphan_by_key, key ? key : 1)
					     : hashmap_lookup(&s->orphan_by_key, key ? key : 1);
	if (!at || (!*at && vec_push(&s->out->orphans, fresh)))
		return;
	if (!*at)
		*at = s->out->orphans.n;
	o = &s->out->orphans.v[*at - 1];
	o->blocks++;
	o->bytes += o->size;
	if (o->n_sample < MAX_ALIKE && s->out->orphan_blocks.n < MAX_ORPHAN_BLOCKS &&
	    !vec_push(&s->out->orphan_blocks,
		      ((struct snapshot_orphan){ uaddr, (uint32_t)*at - 1 })))
		o->n_sample++;
	if (!o->site_votes)
		o->site = place;
	o->site_votes += o->site == place ? 1 : -1;
}

/* A sampled block stands for 1/p blocks of its size, where p was its chance to be sampled. */
static void add_sampled(struct scan *s, uint32_t stack, uint64_t bytes)
{
	double p = s->sample_bytes > 1 ? -expm1(-(double)bytes / s->sample_bytes) : 1;
	double weighed = (double)bytes / (p > 0 ? p : 1);
	struct estimate *e = &s->by_stack[stack];

	e->blocks += 1 / (p > 0 ? p : 1);
	e->bytes += weighed;
	e->variance += weighed * weighed * (1 - p);
}

static void add_age(struct scan *s, struct sum *sum, const struct lmt_block *b)
{
	const struct age_window *w = &s->ages[b->state];
	uint64_t stretch = LMT_BLOCK_MS(b) / s->width_ms;
	uint32_t age = survived(s, b);
	unsigned int i;

	if (age > sum->oldest)
		sum->oldest = age;
	sum->alive.blocks[stretch < BIRTH_STRETCHES ? stretch : BIRTH_STRETCHES - 1]++;
	if (!is_old(w, b))
		return;
	i = cohort_of(w, LMT_BLOCK_MS(b));
	sum->old.blocks[i]++;
	sum->old.bytes[i] += LMT_BLOCK_SIZE(b);
}

static void add_block(struct scan *s, uint64_t key, const struct lmt_block *b)
{
	uint64_t bytes = LMT_BLOCK_SIZE(b), uaddr = key & LMT_ADDR_MASK;
	struct sum *sum;
	uint32_t place;
	bool own;

	if (b->state >= s->n_states || b->site >= s->n_sites + s->n_stacks)
		return; /* caught while it was being written */
	if (LMT_ARENA_GONE(s->states[b->state].flags))
		return;
	if (!LMT_KEY_IS_C(key)) { /* the C heap is not the state's */
		s->by_state[b->state].bytes += bytes;
		s->by_state[b->state].blocks++;
		if (s->states[b->state].flags & LMT_STATE_DEAD)
			add_orphan(s, b, uaddr);
	}
	if (!passes(s, b))
		return;
	/* The VM makes its table of strings larger at whatever line makes one string more. */
	own = !LMT_KEY_IS_C(key) && uaddr == s->string_table[b->state];
	place = own ? 0 : live_site_of(s->live, b->site);
	sum = place ? &s->by_site[place] : &s->no_site[b->state];
	add_sample(s, sum, uaddr);
	sum->bytes += bytes;
	sum->blocks++;
	add_age(s, sum, b);
	if (b->site >= s->n_sites && !own)
		add_sampled(s, b->site - s->n_sites, bytes);
}

static void scan_blocks(struct scan *s)
{
	uint32_t n;
	const struct lmt_bucket *buckets = live_buckets(s->live, &n);

	for (uint32_t i = 0; i < n; i++) {
		const struct lmt_bucket *bucket = &buckets[i];

		for (int k = 0; k < LMT_BUCKET_SLOTS; k++) {
			uint64_t key = __atomic_load_n(&bucket->key[k], __ATOMIC_ACQUIRE);
			struct lmt_block b;

			if (!key || key & LMT_KEY_BUSY)
				continue;
			b = bucket->block[k];
			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			if (__atomic_load_n(&bucket->key[k], __ATOMIC_RELAXED) == key)
				add_block(s, key, &b);
		}
	}
}

static int push_site(struct snapshot *out, uint32_t index, uint32_t state, const struct lmt_site *site,
		     const struct sum *sum)
{
	struct snapshot_site x = {
		.index = index,
		.state = state,
		.site = site ? *site : (struct lmt_site){ .flags = LMT_SITE_NO_LUA },
		.live_bytes = sum->bytes,
		.live_blocks = sum->blocks,
		.old = sum->old,
		.alive = sum->alive,
		.survived_cycles = sum->oldest,
	};

	memcpy(x.sample_uaddr, sum->sample_uaddr, sizeof(x.sample_uaddr));
	return vec_push(&out->sites, x);
}

static int gather_stacks(struct scan *s, struct snapshot *out)
{
	uint32_t n;
	const struct lmt_site *stacks = live_stacks(s->live, &n);
	int rc = 0;

	for (uint32_t i = 0; !rc && i < n; i++) {
		struct snapshot_stack x = {
			.index = s->n_sites + i,
			.place = stacks[i].parent,
			.samples = stacks[i].samples,
			.allocs = (double)stacks[i].allocs / 65536,
			.alloc_bytes = (double)stacks[i].alloc_bytes,
			.alloc_variance = (double)stacks[i].variance,
			.live_blocks = s->by_stack[i].blocks,
			.live_bytes = s->by_stack[i].bytes,
			.live_variance = s->by_stack[i].variance,
			.temporary = (double)stacks[i].temporary,
		};

		if (stacks[i].key && x.place && x.place < s->n_sites)
			rc = vec_push(&out->stacks, x);
	}
	return rc;
}

static int gather(struct scan *s, struct snapshot *out)
{
	uint32_t n;
	const struct lmt_site *sites = live_sites(s->live, &n);
	int rc = 0;

	for (uint32_t i = 1; !rc && i < s->n_states; i++) {
		struct snapshot_state st = { .index = i, .st = s->states[i],
					     .live_bytes = s->by_state[i].bytes,
					     .live_blocks = s->by_state[i].blocks,
					     .age = s->ages[i] };

		if (!(st.st.flags & LMT_STATE_USED))
			continue;
		out->live_bytes += st.live_bytes;
		out->live_blocks += st.live_blocks;
		rc = vec_push(&out->states, st);
		if (!rc && s->no_site[i].blocks)
			rc = push_site(out, 0, i, NULL, &s->no_site[i]);
	}
	for (uint32_t i = 1; !rc && i < n; i++)
		if (sites[i].key && sites[i].state < s->n_states)
			rc = push_site(out, i, sites[i].state, &sites[i], &s->by_site[i]);
	return rc ? rc : gather_stacks(s, out);
}

int snapshot_take(const struct live *l, const struct snapshot_filter *filter,
		  const struct gcpoll *gc, struct snapshot *ret)
{
	struct scan s = { .live = l, .filter = filter, .seed = 88172645463325252ull };
	struct snapshot out = { .start_ns = clock_ns(CLOCK_MONOTONIC) };
	auto_free struct sum *by_site = NULL, *by_state = NULL, *no_site = NULL;
	auto_free struct estimate *by_stack = NULL;
	auto_free struct age_window *ages = NULL;
	auto_free uint64_t *string_table = NULL;
	uint32_t n_buckets;
	int rc;

	s.states = live_states(l, &s.n_states);
	live_sites(l, &s.n_sites);
	live_stacks(l, &s.n_stacks);
	s.sample_bytes = (double)live_sample_bytes(l);
	live_buckets(l, &n_buckets);
	out.now_ms = s.now_ms = (out.start_ns - live_start_ns(l)) / 1000000;
	s.width_ms = births_width(s.now_ms);
	s.by_site = by_site = calloc(s.n_sites, sizeof(*by_site));
	s.by_state = by_state = calloc(s.n_states, sizeof(*by_state));
	s.no_site = no_site = calloc(s.n_states, sizeof(*no_site));
	s.by_stack = by_stack = calloc(s.n_stacks + 1, sizeof(*by_stack));
	s.ages = ages = calloc(s.n_states, sizeof(*ages));
	s.string_table = string_table = calloc(s.n_states, sizeof(*string_table));
	if (!by_site || !by_state || !no_site || !by_stack || !ages || !string_table)
		return -ENOMEM;
	vec_each(st, &gc->states) {
		if (st->index >= s.n_states)
			continue;
		gcpoll_window(st, &ages[st->index]);
		string_table[st->index] = gcpoll_string_table(st);
	}
	s.out = &out;
	scan_blocks(&s);
	hashmap_deinit(&s.orphan_by_key);
	out.capacity = (uint64_t)n_buckets * LMT_BUCKET_SLOTS;
	live_stats(l, out.stats);
	rc = gather(&s, &out);
	out.end_ns = clock_ns(CLOCK_MONOTONIC);
	if (rc) {
		snapshot_deinit(&out);
		return rc;
	}
	*ret = out;
	return 0;
}
