/* SPDX-License-Identifier: MIT */
#include "states.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define CHUNK (1u << 20)
#define REACH 4096 /* |word_delta| stays below; the table of wanted distances */
#define MAX_GC64_ADDR (1ull << 32)

/* Which distances are wanted: bit 0 in 64-bit words, bit 1 in 32-bit ones. */
struct wanted {
	uint8_t at[2 * REACH];
};

struct scan {
	const struct memread *mem;
	struct memread buffered; /* the same, but for what is in buf */
	struct shape_env env;
	const struct layout *rows;
	size_t n_rows;
	struct wanted wanted;
	uint8_t *buf;
	uint64_t buf_uaddr;
	size_t buf_len;
	struct states *out;
	int rc;
};

static bool is_narrow(const struct layout *row)
{
	return row->l.L_glob.size == 4;
}

static void set_wanted(struct scan *s)
{
	for (size_t i = 0; i < s->n_rows; i++) {
		int d = s->rows[i].l.word_delta.off;

		if (d > -REACH && d < REACH)
			s->wanted.at[d + REACH] |= is_narrow(&s->rows[i]) ? 2 : 1;
	}
}

/* The scan goes upwards: only its neighbours can be the same state. */
static bool known(const struct states *out, uint64_t L)
{
	for (size_t i = out->states.n; i && L - out->states.v[i - 1].L + REACH < 2 * REACH; i--)
		if (out->states.v[i - 1].L == L)
			return true;
	return false;
}

/* A state lies in one block, most of which is in the buffer: thousands of them cost no calls. */
static size_t read_buffered(void *ctx, uint64_t uaddr, void *buf, size_t len)
{
	const struct scan *s = ctx;
	uint64_t at = uaddr - s->buf_uaddr;

	if (at >= s->buf_len || len > s->buf_len - at)
		return s->mem->read(s->mem->ctx, uaddr, buf, len);
	memcpy(buf, s->buf + at, len);
	return len;
}

/* The cheap first step, from the buffer at hand: is the tag byte that of a thread? */
static bool tag_plausible(const struct scan *s, const struct layout *row, uint64_t L)
{
	uint64_t at = L + (uint64_t)row->l.L_tag.off - s->buf_uaddr;

	if (at >= s->buf_len)
		return true;
	return s->buf[at] == (row->l.family == LMT_FAMILY_PUC ? 8 : 6);
}

static bool try_rows(struct scan *s, uint64_t L, uint64_t G, struct lua_state *st)
{
	*st = (struct lua_state){ .L = L, .G = G };
	for (size_t i = 0; i < s->n_rows && st->n_rows < STATE_ROWS; i++) {
		const struct layout *row = &s->rows[i];

		if (G - L != (uint64_t)(int64_t)row->l.g_minus_L.off || !tag_plausible(s, row, L))
			continue;
		if (shape_test(&s->env, row, L, G) == SHAPE_OK)
			st->rows[st->n_rows++] = row;
	}
	st->layout = st->n_rows ? st->rows[0] : NULL;
	return st->n_rows > 0;
}

/* A word at uaddr whose distance is wanted; each row tells where L would be then. */
static void candidate(struct scan *s, uint64_t uaddr, uint64_t G, bool narrow)
{
	uint64_t tried = 0;

	for (size_t i = 0; i < s->n_rows; i++) {
		const struct layout *row = &s->rows[i];
		uint64_t L = uaddr - (uint64_t)row->l.L_glob.off;
		struct lua_state st;

		if (is_narrow(row) != narrow || G - uaddr != (uint64_t)(int64_t)row->l.word_delta.off ||
		    L == tried || !tag_plausible(s, row, L))
			continue;
		tried = L;
		if (!known(s->out, L) && try_rows(s, L, G, &st))
			s->rc = vec_push(&s->out->states, st);
	}
}

static void scan_words(struct scan *s)
{
	const uint64_t *w = (const uint64_t *)(const void *)s->buf;
	uint64_t a = s->buf_uaddr;

	for (size_t n = s->buf_len / 8; n && !s->rc; n--, w++, a += 8) {
		uint64_t d = *w - a + REACH;
		uint32_t narrow;

		if (d < 2 * REACH && s->wanted.at[d] & 1)
			candidate(s, a, *w, false);
		if (a >= MAX_GC64_ADDR)
			continue;
		narrow = (uint32_t)*w - (uint32_t)a + REACH;
		if (narrow < 2 * REACH && s->wanted.at[narrow] & 2)
			candidate(s, a, (uint32_t)*w, true);
	}
}

static void scan_range(struct scan *s, uint64_t start, uint64_t end)
{
	while (start < end && !s->rc) {
		size_t want = end - start < CHUNK ? end - start : CHUNK;
		size_t got = s->mem->read(s->mem->ctx, start, s->buf, want);

		s->buf_uaddr = start;
		s->buf_len = got;
		s->out->scanned_bytes += got;
		scan_words(s);
		/* A hole: go on behind the page that could not be read. */
		start = got == want ? start + want : ((start + got) & ~4095ull) + 4096;
	}
}

bool states_may_hold(const struct proc_map *map)
{
	if ((map->prot & (PROC_R | PROC_W)) != (PROC_R | PROC_W))
		return false;
	if (!strncmp(map->path, "/dev/", 5) && strncmp(map->path, "/dev/zero", 9) &&
	    strncmp(map->path, "/dev/shm/", 9))
		return false; /* reading a device's memory may have effects */
	return strcmp(map->path, "[vvar]") != 0;
}

static void scan_map(struct scan *s, const struct proc_map *map)
{
	uint64_t at = map->start, run, run_end;

	while (!s->rc && at < map->end &&
	       memread_resident(s->mem, at, map->end, &run, &run_end)) {
		s->out->skipped_bytes += run - at;
		scan_range(s, run, run_end);
		at = run_end;
	}
	s->out->skipped_bytes += map->end > at ? map->end - at : 0;
}

static int by_address(const void *a, const void *b)
{
	const struct lua_state *x = a, *y = b;

	return x->L < y->L ? -1 : x->L > y->L;
}

int states_scan(const struct target *t, const struct memread *mem, struct states *ret)
{
	auto_free struct scan *s = calloc(1, sizeof(*s));
	auto_free uint8_t *buf = malloc(CHUNK);
	struct states out = { 0 };

	if (!s || !buf)
		return -ENOMEM;
	s->mem = mem;
	s->buffered = (struct memread){ .ctx = s, .read = read_buffered };
	s->env = (struct shape_env){ .mem = &s->buffered, .maps = &t->maps };
	s->rows = layouts_all(&s->n_rows);
	s->buf = buf;
	s->out = &out;
	set_wanted(s);
	vec_each(map, &t->maps.maps)
		if (states_may_hold(map))
			scan_map(s, map);
	memcpy(out.rejected, s->env.step, sizeof(out.rejected));
	if (s->rc) {
		states_deinit(&out);
		return s->rc;
	}
	if (out.states.n)
		qsort(out.states.v, out.states.n, sizeof(*out.states.v), by_address);
	*ret = out;
	return 0;
}

void states_deinit(struct states *s)
{
	vec_deinit(&s->states);
}

bool states_check(const struct proc_maps *maps, const struct memread *mem, uint64_t L, uint64_t G,
		  struct lua_state *ret)
{
	struct scan s = { .env = { .mem = mem, .maps = maps } };

	s.rows = layouts_all(&s.n_rows);
	return try_rows(&s, L, G, ret);
}

#define NO_LIMIT (1ull << 46)    /* LJ_MAX_MEM64 and 5.1's MAX_LUMEM lie above */
#define NO_LIMIT_32 0x7fffff00u /* LJ_MAX_MEM32 */
#define RUNNING_MOVED 5         /* from currentwhite on: up to 5.4.2 */

/*
 * collectgarbage("stop"): 5.1 and LuaJIT set a threshold that no heap reaches. 5.2 up to 5.4.2 have a flag
 * that says it runs, those later one whose lowest bit says that the program has stopped it; both are also
 * changed for the time of a finalizer.
 */
static bool is_stopped(const struct lmt_layout *l, const uint8_t *g, size_t n)
{
	uint64_t flag, limit;

	if (layout_has(l->G_stop)) {
		flag = shape_get(g, n, l->G_stop);
		if (l->version < 504 || (l->version == 504 && l->G_stop.off - l->G_white.off == RUNNING_MOVED))
			return !flag;
		return flag & 1;
	}
	if (!layout_has(l->G_threshold))
		return false;
	limit = shape_get(g, n, l->G_threshold);
	return limit >= (l->G_threshold.size == 4 ? NO_LIMIT_32 : NO_LIMIT);
}

#define G_BYTES 160       /* all members read here lie in the first 160 bytes of every row */
#define BLOCK_BYTES 1024  /* from the main thread's link to there; they are one allocation */
#define MAX_TOTAL (1ull << 46)

/*
 * What lies from the main thread's link to its global_State up to the collector's members of that, in one
 * read where they are near each other; false unless the link is what it must be.
 */
static bool read_state(const struct memread *mem, const struct lmt_layout *l, uint64_t G, uint8_t *g)
{
	uint64_t L = G - (uint64_t)(int64_t)l->g_minus_L.off, link = L + (uint64_t)l->L_glob.off, at;
	uint8_t buf[BLOCK_BYTES];

	if (link < G && G - link <= sizeof(buf) - G_BYTES) {
		size_t n = (size_t)(G - link);

		if (!memread_exact(mem, link, buf, n + G_BYTES))
			return false;
		memcpy(g, buf + n, G_BYTES);
		return shape_get(buf, l->L_glob.size, (struct lmt_cell){ .size = l->L_glob.size }) == G;
	}
	return memread_exact(mem, G, g, G_BYTES) && memread_uint(mem, link, l->L_glob.size, &at) && at == G;
}

static uint64_t total_of(const struct lmt_layout *l, const uint8_t *g)
{
	uint64_t total = shape_get(g, G_BYTES, l->G_total), debt;

	if (!layout_has(l->G_debt))
		return total;
	debt = shape_get(g, G_BYTES, l->G_debt);
	return l->version >= 505 ? total - debt : total + debt;
}

bool states_read_gc(const struct memread *mem, const struct lmt_layout *l, uint64_t G,
		    struct state_gc *ret)
{
	uint8_t g[G_BYTES];

	/* The parts of the total change one after the other: what cannot be is looked at again. */
	for (int i = 0;; i++) {
		if (i == 2 || !read_state(mem, l, G, g))
			return false;
		if (total_of(l, g) < MAX_TOTAL)
			break;
	}
	*ret = (struct state_gc){
		.heap_bytes = total_of(l, g),
		.gcstate = (uint8_t)shape_get(g, sizeof(g), l->G_gcstate),
		.white = (uint8_t)shape_get(g, sizeof(g), l->G_white),
		.kind = layout_has(l->G_kind) ? (uint8_t)shape_get(g, sizeof(g), l->G_kind) : 0,
		.stopped = is_stopped(l, g, sizeof(g)),
		.estimate = layout_has(l->G_estimate) ? shape_get(g, sizeof(g), l->G_estimate) : 0,
		.alloc = shape_get(g, sizeof(g), l->G_alloc),
		.ud = shape_get(g, sizeof(g), l->G_ud),
	};
	return true;
}
