/* SPDX-License-Identifier: MIT */
/* The census on a made-up heap of Lua 5.4: it adds up or is refused; who holds what is exact. */
#include "unit.h"

#include <errno.h>

#include "census/reach.h"
#include "resolve/layouts.h"

#define BASE 0x10000000ull
#define SIZE (1u << 20)
#define WHITE 8
#define TABLES 60
#define SLOTS 4 /* of each table's array */

struct heap {
	const struct layout *row;
	uint8_t *bytes;
	uint64_t next, G, L, last, total; /* addresses; of what is listed last */
	uint64_t table[TABLES], array[TABLES];
	struct image im;
	struct proc_maps maps;
};

static size_t heap_read(void *ctx, uint64_t uaddr, void *buf, size_t len)
{
	struct heap *h = ctx;

	if (uaddr < BASE || uaddr + len > BASE + SIZE)
		return 0;
	memcpy(buf, h->bytes + (uaddr - BASE), len);
	return len;
}

static void put(struct heap *h, uint64_t at, struct lmt_cell c, uint64_t value)
{
	assert_true(layout_has(c));
	memcpy(h->bytes + (at + (uint64_t)c.off - BASE), &value, c.size > 8 ? 8 : c.size);
}

static void put_u64(struct heap *h, uint64_t at, uint64_t value)
{
	memcpy(h->bytes + (at - BASE), &value, sizeof(value));
}

static uint64_t take(struct heap *h, uint64_t bytes)
{
	uint64_t at = h->next;

	h->next = (h->next + bytes + 15) & ~15ull;
	assert_true(h->next < BASE + SIZE);
	return at;
}

/* A collectable object at the end of the list. */
static uint64_t add_object(struct heap *h, uint64_t bytes, unsigned int tag)
{
	uint64_t at = take(h, bytes);

	h->bytes[at + 8 - BASE] = (uint8_t)tag;
	h->bytes[at + 9 - BASE] = WHITE;
	if (h->last)
		put_u64(h, h->last, at);
	else
		put(h, h->G, h->row->l.G_allgc, at);
	h->last = at;
	return at;
}

static void add_table(struct heap *h, int i)
{
	const struct lmt_layout *l = &h->row->l;

	h->table[i] = add_object(h, (uint64_t)l->size_tab.off, 5);
	h->array[i] = take(h, 16 * SLOTS);
	put(h, h->table[i], l->T_sizearray, SLOTS);
	put(h, h->table[i], l->T_array, h->array[i]);
	put(h, h->table[i], l->T_node, 0x5000); /* in the module, see heap_init() */
	h->total += (uint64_t)l->size_tab.off + 16 * SLOTS;
}

static void refer(struct heap *h, int from, int slot, int to)
{
	put_u64(h, h->array[from] + 16 * (uint64_t)slot, h->table[to]);
	put_u64(h, h->array[from] + 16 * (uint64_t)slot + 8, 5 | 0x40);
}

static void heap_init(struct heap *h)
{
	const struct lmt_layout *l;
	uint64_t strings;

	memset(h, 0, sizeof(*h));
	h->row = layouts_find("lua-5.4.3..5.4.8");
	assert_non_null(h->row);
	l = &h->row->l;
	h->bytes = calloc(1, SIZE);
	h->next = BASE + 4096;
	assert_int_equal(vec_push(&h->maps.maps, (struct proc_map){ .start = 0x4000, .end = 0x8000,
			.inode = 7, .prot = PROC_R, .path = strdup("/made/up") }), 0);
	/* Like a real one, the main thread and the state are one block. */
	h->L = take(h, (uint64_t)l->g_minus_L.off + (uint64_t)l->size_G.off);
	h->G = h->L + (uint64_t)l->g_minus_L.off;
	strings = take(h, 8 * 128);
	put(h, h->G, l->G_hash, strings);
	put(h, h->G, l->G_strsize, 128);
	put(h, h->G, l->G_white, WHITE);
	h->bytes[h->L + 8 - BASE] = 8;
	h->bytes[h->L + 9 - BASE] = WHITE;
	put(h, h->G, l->G_allgc, h->L);
	h->last = h->L;
	/* No stack: EXTRA_STACK is counted only where there is one. */
	h->total = 8 * 128 + (uint64_t)l->size_G.off + (uint64_t)l->size_L.off + 8;
	for (int i = 0; i < TABLES; i++)
		add_table(h, i);
	put_u64(h, h->G + (uint64_t)l->G_registry.off, h->table[0]);
}

static void heap_deinit(struct heap *h)
{
	image_deinit(&h->im);
	proc_maps_deinit(&h->maps);
	free(h->bytes);
}

static int walk(struct heap *h, struct walk *w)
{
	const struct memread mem = { .ctx = h, .read = heap_read };
	struct image_range r = { BASE, BASE + SIZE, false };
	image_ranges ranges = { &r, 1, 1 };

	put(h, h->G, h->row->l.G_total, h->total);
	assert_int_equal(image_prepare(&h->im, &ranges), 0);
	assert_true(image_fill(&h->im, &mem, 0));
	return walk_heap(w, &h->im, &h->maps, h->row, h->L, h->G);
}

static void a_sound_heap_adds_up_to_the_byte(void **state)
{
	struct heap h;
	struct walk w;

	(void)state;
	heap_init(&h);
	assert_int_equal(walk(&h, &w), 0);
	assert_int_equal(walk_difference(&w), 0);
	assert_int_equal(w.n, TABLES + 1);
	for (uint32_t i = 1; i < w.n; i++) {
		assert_true(w.obj[i - 1].uaddr < w.obj[i].uaddr);
		assert_int_equal(walk_number(&w, w.obj[i].uaddr), i);
		assert_int_equal(image_number_below(&h.im, w.obj[i].uaddr + 20), i);
	}
	assert_int_equal(walk_number(&w, h.table[3] + 8), IMAGE_NONE);
	assert_int_equal(walk_number(&w, 0x123), IMAGE_NONE);
	walk_deinit(&w);
	heap_deinit(&h);
}

static void expect_refused(void (*damage)(struct heap *h), const char *why)
{
	struct heap h;
	struct walk w;

	heap_init(&h);
	damage(&h);
	assert_int_equal(walk(&h, &w), -EBADMSG);
	if (why) {
		assert_int_equal(w.torn > 0, 1);
		assert_string_equal(w.torn_why, why);
	}
	walk_deinit(&w);
	heap_deinit(&h);
}

static void a_byte_too_many(struct heap *h) { h->total++; }
static void list_is_a_ring(struct heap *h) { put_u64(h, h->last, h->table[5]); }
static void list_leads_out(struct heap *h) { put_u64(h, h->last, BASE + SIZE + 64); }
static void list_leads_to_odd_place(struct heap *h) { put_u64(h, h->last, h->table[5] + 4); }
static void unknown_type(struct heap *h) { h->bytes[h->table[7] + 8 - BASE] = 0x3c; }
static void huge_array(struct heap *h) { put(h, h->table[9], h->row->l.T_sizearray, 0x7fffffff); }
static void huge_nodes(struct heap *h) { put(h, h->table[9], h->row->l.T_lsizenode, 31); }
static void huge_total(struct heap *h) { h->total = 1ull << 50; }
static void tiny_total(struct heap *h) { h->total = 100; }

static void a_damaged_heap_is_refused_with_a_reason(void **state)
{
	(void)state;
	expect_refused(a_byte_too_many, NULL);
	expect_refused(list_is_a_ring, "an object is listed twice");
	expect_refused(list_leads_out, "a list leads out of the heap");
	expect_refused(list_leads_to_odd_place, "a list leads out of the heap");
	expect_refused(unknown_type, "an object of no known type");
	expect_refused(huge_array, "an impossible table");
	expect_refused(huge_nodes, "an impossible table");
	expect_refused(huge_total, "an absurd heap size");
	expect_refused(tiny_total, "more objects than the heap could hold");
}

/* Every bit of the heap's lists and headers flipped in turn: refused or counted, never worse. */
static void any_flipped_bit_is_survived(void **state)
{
	unsigned int refused = 0, tried = 0;
	struct heap h;
	struct walk w;

	(void)state;
	heap_init(&h);
	for (uint64_t at = h.L; at < h.next; at += 5) {
		uint8_t *byte = &h.bytes[at - BASE], was = *byte;

		*byte ^= (uint8_t)(1u << (at % 8));
		refused += walk(&h, &w) != 0;
		tried++;
		if (!w.torn && w.obj && w.object_bytes) {
			struct reach r;

			reach_build(&r, &w);
			reach_retained(&r);
			reach_deinit(&r);
		}
		walk_deinit(&w);
		*byte = was;
	}
	assert_true(tried > 1000);
	assert_true(refused > 50);
	heap_deinit(&h);
}

/* Bytes that become unreachable without one object, counted the slow way. */
static uint64_t retained_slowly(struct heap *h, int (*edge)[SLOTS], int without, uint64_t each)
{
	int queue[TABLES], n = 0, reached = 0;
	bool seen[TABLES] = { false };

	(void)h;
	for (int pass = 0; pass < 2; pass++) {
		int at = 0;

		memset(seen, 0, sizeof(seen));
		n = 0;
		if (pass == 0 || without != 0) {
			seen[0] = true;
			queue[n++] = 0;
		}
		while (at < n) {
			int from = queue[at++];

			for (int s = 0; s < SLOTS; s++) {
				int to = edge[from][s];

				if (to < 0 || seen[to] || (pass && to == without))
					continue;
				seen[to] = true;
				queue[n++] = to;
			}
		}
		if (pass == 0 && !seen[without])
			return 0;
		reached = pass ? reached - n : n;
	}
	return (uint64_t)reached * each;
}

static void compare_retained(unsigned int seed)
{
	int edge[TABLES][SLOTS];
	struct reach r;
	struct heap h;
	struct walk w;

	heap_init(&h);
	srand(seed);
	for (int i = 0; i < TABLES; i++) {
		for (int s = 0; s < SLOTS; s++) {
			edge[i][s] = rand() % 5 < 2 ? rand() % TABLES : -1;
			if (!i && s == 1) /* registry[2], the globals, are a root themselves */
				edge[i][s] = -1;
			if (edge[i][s] >= 0)
				refer(&h, i, s, edge[i][s]);
		}
	}
	assert_int_equal(walk(&h, &w), 0);
	assert_int_equal(reach_build(&r, &w), 0);
	assert_int_equal(reach_retained(&r), 0);
	for (int i = 0; i < TABLES; i++) {
		uint32_t n = walk_number(&w, h.table[i]);
		uint64_t want = retained_slowly(&h, edge, i, walk_bytes(&w, &w.obj[n]));

		assert_int_equal(reach_is_live(&r, n), want != 0);
		assert_int_equal(reach_is_live(&r, n) ? r.retained[n] : 0, want);
	}
	reach_deinit(&r);
	walk_deinit(&w);
	heap_deinit(&h);
}

static void what_an_object_retains_is_what_goes_with_it(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 40; seed++)
		compare_retained(seed);
}

static void a_chain_of_objects_needs_no_stack(void **state)
{
	struct reach r;
	struct heap h;
	struct walk w;
	uint32_t last;

	(void)state;
	heap_init(&h);
	for (int i = 0; i + 1 < TABLES; i++)
		refer(&h, i, 0, i + 1);
	assert_int_equal(walk(&h, &w), 0);
	assert_int_equal(reach_build(&r, &w), 0);
	assert_int_equal(reach_retained(&r), 0);
	last = walk_number(&w, h.table[TABLES - 1]);
	assert_int_equal(r.parent[last], walk_number(&w, h.table[TABLES - 2]));
	assert_int_equal(r.retained[walk_number(&w, h.table[0])],
			 TABLES * walk_bytes(&w, &w.obj[last]));
	reach_deinit(&r);
	walk_deinit(&w);
	heap_deinit(&h);
}

static void a_sparse_image_fetches_what_is_touched_and_no_more(void **state)
{
	const struct memread mem = { .read = heap_read };
	struct memread m = mem;
	struct image_range range = { BASE, BASE + SIZE, false };
	image_ranges ranges = { &range, 1, 1 };
	struct heap h;

	(void)state;
	heap_init(&h);
	m.ctx = &h;
	h.im.sparse = true;
	assert_int_equal(image_prepare(&h.im, &ranges), 0);
	assert_null(image_at(&h.im, h.G, 8));
	assert_int_equal(h.im.misses, 1);
	h.im.fetch = &m;
	assert_non_null(image_at(&h.im, h.G, 8));
	h.im.fetch = NULL;
	assert_true(image_fill(&h.im, &m, 0));
	assert_true(h.im.copied_bytes > 0 && h.im.copied_bytes < SIZE / 4);
	assert_non_null(image_at(&h.im, h.G, 8));
	assert_null(image_at(&h.im, BASE + SIZE - 8, 8));
	assert_null(image_at(&h.im, BASE + SIZE - 4, 8));
	heap_deinit(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sound_heap_adds_up_to_the_byte),
		cmocka_unit_test(a_damaged_heap_is_refused_with_a_reason),
		cmocka_unit_test(any_flipped_bit_is_survived),
		cmocka_unit_test(what_an_object_retains_is_what_goes_with_it),
		cmocka_unit_test(a_chain_of_objects_needs_no_stack),
		cmocka_unit_test(a_sparse_image_fetches_what_is_touched_and_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
