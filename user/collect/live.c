/* SPDX-License-Identifier: MIT */
#include "live.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/clock.h"

struct live {
	const struct attach_maps *maps;
	struct ring_buffer *ring;
	struct lmt_bucket *buckets;
	struct lmt_state *states;
	struct lmt_site *sites;
	size_t buckets_len, states_len, sites_len;
	int n_cpus;
	int (*fn)(const struct lmt_event *e, void *ctx);
	void *fn_ctx;
	int fn_rc;
	unsigned int n_drained;  /* in this turn */
	uint64_t drain_until_ns; /* its end */
};

static void unmap(void *p, size_t len)
{
	if (p && p != MAP_FAILED)
		munmap(p, len);
}

void live_free(struct live *l)
{
	if (!l)
		return;
	ring_buffer__free(l->ring);
	unmap(l->buckets, l->buckets_len);
	unmap(l->states, l->states_len);
	unmap(l->sites, l->sites_len);
	free(l);
}

static void *map_array(int fd, size_t n, size_t size, bool writable, size_t *len)
{
	*len = (n * size + 4095) & ~(size_t)4095;
	return mmap(NULL, *len, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
}

/* Bytes that an event of this kind takes at least. */
static size_t event_size(const struct lmt_event *e, size_t size)
{
	const struct lmt_stack_event *s = (const struct lmt_stack_event *)e;

	if (size >= sizeof(*e) && e->kind == LMT_EV_CALL)
		return sizeof(struct lmt_call_event);
	if (size >= sizeof(*e) && (e->kind == LMT_EV_NATIVE || e->kind == LMT_EV_CREATOR))
		return sizeof(struct lmt_native);
	if (size < sizeof(*e) || e->kind != LMT_EV_STACK)
		return sizeof(*e);
	if (size < offsetof(struct lmt_stack_event, frame) || s->n > LMT_STACK_FRAMES)
		return SIZE_MAX;
	return offsetof(struct lmt_stack_event, frame) + s->n * sizeof(s->frame[0]);
}

/* A turn's work on the ring, however fast others fill it: signals and timers have their turn then. */
#define DRAIN_MS 50
#define DRAIN_STEP 16 /* events between two looks at the clock */

static int on_event(void *ctx, void *data, size_t size)
{
	struct live *l = ctx;

	if (size >= event_size(data, size) && !l->fn_rc)
		l->fn_rc = l->fn(data, l->fn_ctx);
	if (++l->n_drained % DRAIN_STEP || clock_ns(CLOCK_MONOTONIC) < l->drain_until_ns)
		return 0;
	return -EAGAIN; /* libbpf stops there, and goes on behind it the next time */
}

int live_new(const struct attach_maps *maps, struct live **ret, struct errmsg *err)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l)
		return errmsg_set(err, -ENOMEM, "out of memory");
	l->maps = maps;
	l->buckets = map_array(maps->blocks, maps->n_buckets, sizeof(struct lmt_bucket), true,
			       &l->buckets_len);
	l->states = map_array(maps->states, maps->n_states, sizeof(struct lmt_state), true,
			      &l->states_len);
	l->sites = map_array(maps->sites, maps->n_sites + maps->n_stacks,
			     sizeof(struct lmt_site), true, &l->sites_len);
	l->ring = ring_buffer__new(maps->ring, on_event, l, NULL);
	l->n_cpus = libbpf_num_possible_cpus();
	if (l->buckets == MAP_FAILED || l->states == MAP_FAILED || l->sites == MAP_FAILED ||
	    !l->ring || l->n_cpus < 1) {
		int rc = errmsg_set(err, -ENOMEM, "cannot map the tables of the BPF programs: %s",
				    strerror(errno));

		live_free(l);
		return rc;
	}
	*ret = l;
	return 0;
}

int live_fd(const struct live *l)
{
	return ring_buffer__epoll_fd(l->ring);
}

int live_drain(struct live *l, int (*fn)(const struct lmt_event *e, void *ctx), void *ctx)
{
	int n;

	l->fn = fn;
	l->fn_ctx = ctx;
	l->fn_rc = 0;
	l->n_drained = 0;
	l->drain_until_ns = clock_ns(CLOCK_MONOTONIC) + DRAIN_MS * 1000000ull;
	n = ring_buffer__consume(l->ring);
	return l->fn_rc ? l->fn_rc : n == -EAGAIN ? 1 : n < 0 ? n : 0;
}

const struct lmt_bucket *live_buckets(const struct live *l, uint32_t *n_ret)
{
	*n_ret = l->maps->n_buckets;
	return l->buckets;
}

struct lmt_state *live_states(const struct live *l, uint32_t *n_ret)
{
	uint32_t next = *l->maps->next_state;

	*n_ret = next < l->maps->n_states ? next : l->maps->n_states;
	return l->states;
}

const struct lmt_site *live_sites(const struct live *l, uint32_t *n_ret)
{
	*n_ret = l->maps->n_sites;
	return l->sites;
}

const struct lmt_site *live_stacks(const struct live *l, uint32_t *n_ret)
{
	*n_ret = l->maps->n_stacks;
	return (const struct lmt_site *)l->sites + l->maps->n_sites;
}

uint32_t live_site_of(const struct live *l, uint32_t site)
{
	const struct lmt_site *sites = l->sites;

	if (site < l->maps->n_sites)
		return site;
	if (site >= l->maps->n_sites + l->maps->n_stacks)
		return 0;
	site = sites[site].parent;
	return site < l->maps->n_sites ? site : 0;
}

uint64_t live_sample_bytes(const struct live *l)
{
	return l->maps->sample_bytes;
}

void live_stats(const struct live *l, uint64_t stats[LMT_STAT_MAX])
{
	auto_free uint64_t *percpu = calloc((size_t)l->n_cpus, sizeof(*percpu));

	memset(stats, 0, LMT_STAT_MAX * sizeof(*stats));
	for (uint32_t i = 0; percpu && i < LMT_STAT_MAX; i++) {
		if (bpf_map_lookup_elem(l->maps->stats, &i, percpu))
			continue;
		for (int cpu = 0; cpu < l->n_cpus; cpu++)
			stats[i] += percpu[cpu];
	}
}

void live_forget_owner(struct live *l, uint32_t slot, uint64_t uaddr, uint32_t state)
{
	uint64_t key = LMT_KEY(slot, uaddr);
	uint32_t now;

	if (!bpf_map_lookup_elem(l->maps->owners, &key, &now) && now == state)
		bpf_map_delete_elem(l->maps->owners, &key);
}

/*
 * BPF may put another block under the same address meanwhile, so the place is marked busy before it
 * is looked at again.
 */
static void purge_place(struct lmt_bucket *b, int k, bool (*gone)(uint32_t, uint32_t, void *), void *ctx)
{
	__u64 key = __atomic_load_n(&b->key[k], __ATOMIC_ACQUIRE);
	__u64 now = key;

	if (!key || key & LMT_KEY_BUSY || !gone(LMT_KEY_SLOT(key), b->block[k].state, ctx))
		return;
	if (!__atomic_compare_exchange_n(&b->key[k], &now, key | LMT_KEY_BUSY, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&b->key[k], gone(LMT_KEY_SLOT(key), b->block[k].state, ctx) ? 0 : key,
			 __ATOMIC_RELEASE);
}

void live_purge(struct live *l, bool (*gone)(uint32_t slot, uint32_t state, void *ctx), void *ctx)
{
	for (uint32_t i = 0; i < l->maps->n_buckets; i++)
		for (int k = 0; k < LMT_BUCKET_SLOTS; k++)
			purge_place(&l->buckets[i], k, gone, ctx);
}

void live_empty(struct live *l)
{
	static const struct lmt_bucket empty;

	for (uint32_t i = 0; i < l->maps->n_buckets; i++)
		if (memcmp(&l->buckets[i], &empty, sizeof(empty)))
			memset(&l->buckets[i], 0, sizeof(empty));
}

void live_wipe_site(struct live *l, uint32_t index)
{
	struct lmt_site *s = &l->sites[index];

	memset((char *)s + sizeof(s->key), 0, sizeof(*s) - sizeof(s->key));
	__atomic_store_n(&s->key, 0, __ATOMIC_RELEASE);
}

uint64_t live_tick(struct live *l)
{
	*l->maps->now_ms = (clock_ns(CLOCK_MONOTONIC) - l->maps->start_ns) / 1000000;
	return *l->maps->now_ms;
}

uint64_t live_start_ns(const struct live *l)
{
	return l->maps->start_ns;
}

/* The buckets a key may be in: first, second and third of bpf/ledger.bpf.h. */
static void buckets_of(uint64_t key, uint64_t ret[3])
{
	ret[0] = (((key >> 20) * 0x9E3779B97F4A7C15ull) >> 32) + (key >> LMT_LINE_BITS & 0x3fff);
	ret[1] = ((key >> LMT_LINE_BITS) * 0xD6E8FEB86659FD93ull) >> 32;
	ret[2] = ((key >> LMT_LINE_BITS) * 0xC2B2AE3D27D4EB4Full) >> 32;
}

uint32_t live_place_at(const struct live *l, uint32_t slot, uint64_t uaddr)
{
	uint64_t key = LMT_KEY(slot, uaddr), at[3];

	buckets_of(key, at);
	for (int i = 0; i < 3; i++) {
		const struct lmt_bucket *b = &l->buckets[at[i] & (l->maps->n_buckets - 1)];

		for (int k = 0; k < LMT_BUCKET_SLOTS; k++)
			if (__atomic_load_n(&b->key[k], __ATOMIC_ACQUIRE) == key)
				return live_site_of(l, b->block[k].site);
	}
	return 0;
}

bool live_any_block(const struct live *l, uint32_t slot, uint64_t start, uint64_t end)
{
	const struct lmt_bucket *b = l->buckets;
	uint64_t from = LMT_KEY(slot, start), to = LMT_KEY(slot, end);

	for (uint32_t i = 0; i < l->maps->n_buckets; i++)
		for (int k = 0; k < LMT_BUCKET_SLOTS; k++)
			if (b[i].key[k] >= from && b[i].key[k] < to)
				return true;
	return false;
}

size_t live_some_blocks(const struct live *l, uint32_t slot, uint64_t *uaddr, uint64_t *size, size_t max)
{
	uint32_t n_states;
	const struct lmt_state *states = live_states(l, &n_states);
	size_t n = 0;

	for (uint32_t i = 0; i < l->maps->n_buckets && n < max; i++) {
		const struct lmt_bucket *b = &l->buckets[(i * 2654435761u) & (l->maps->n_buckets - 1)];

		for (int k = 0; k < LMT_BUCKET_SLOTS && n < max; k++) {
			uint32_t state = b->block[k].state;

			if (LMT_KEY_SLOT(b->key[k]) != slot || b->key[k] & LMT_KEY_BUSY ||
			    state >= n_states || states[state].flags & LMT_STATE_DEAD)
				continue;
			uaddr[n] = b->key[k] & LMT_ADDR_MASK;
			size[n++] = LMT_BLOCK_SIZE(&b->block[k]);
		}
	}
	return n;
}

#define CLOCK_SLACK_MS 2000 /* the BPF side's clock is set now and then */

/* The block in one place of the ledger; see live_covered(). */
static bool place_covers(uint64_t key, const struct lmt_block *b, uint64_t want, uint64_t ms)
{
	uint64_t start = key ? key : b->born & ~(1ull << 63);

	if (want < start + (LMT_COVER_LINES << LMT_LINE_BITS) || want - start >= LMT_BLOCK_SIZE(b))
		return false; /* what starts nearer the BPF side has looked at itself */
	if (key)
		return LMT_BLOCK_MS(b) <= ms;
	ms -= ms < CLOCK_SLACK_MS ? ms : CLOCK_SLACK_MS;
	return b->born >> 63 && ((LMT_FREED_MS(b) - ms) & LMT_FREED_MS_MASK) < LMT_FREED_MS_MASK / 2;
}

bool live_covered(const struct live *l, uint32_t slot, uint64_t uaddr, uint64_t ms)
{
	const struct lmt_bucket *b = l->buckets;
	uint64_t want = LMT_KEY(slot, uaddr);

	for (uint32_t i = 0; i < l->maps->n_buckets; i++)
		for (int k = 0; k < LMT_BUCKET_SLOTS; k++)
			if (place_covers(b[i].key[k], &b[i].block[k], want, ms))
				return true;
	return false;
}

uint64_t live_find_count(const struct live *l, uint64_t key)
{
	uint64_t n = 0;

	return bpf_map_lookup_elem(l->maps->find_counts, &key, &n) ? 0 : n;
}
