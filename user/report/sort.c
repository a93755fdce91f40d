/* SPDX-License-Identifier: MIT */
#include "sort.h"

#include <stdlib.h>
#include <string.h>

static int compare_u64(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

static int compare_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int compare_identity(const struct report_site *a, const struct report_site *b)
{
	int c = compare_u64(a->alloc_bytes, b->alloc_bytes);

	c = c ? c : compare_u64((uint64_t)b->pid, (uint64_t)a->pid);
	c = c ? c : compare_u64(b->state, a->state);
	c = c ? c : compare_text(a->frame.lua, b->frame.lua);
	c = c ? c : compare_text(a->kind, b->kind);
	c = c ? c : compare_text(a->frame.name, b->frame.name);
	return c ? c : a->below - b->below;
}

/* What grows over collections comes first; then size, which always breaks a tie. */
static int compare_sites(const void *pa, const void *pb, void *key)
{
	const struct report_site *a = pa, *b = pb;
	uint64_t va = a->verdict >= VERDICT_GROWING ? a->verdict : 0;
	uint64_t vb = b->verdict >= VERDICT_GROWING ? b->verdict : 0;
	int c = 0;

	switch (*(const int *)key) {
	case SORT_VERDICT:
		c = compare_u64(va, vb);
		break;
	case SORT_COUNT:
		c = compare_u64(a->live_blocks, b->live_blocks);
		break;
	case SORT_AGE:
		c = compare_u64(a->survived_cycles, b->survived_cycles);
		break;
	case SORT_RATE:
		c = compare_u64((uint64_t)a->growth_bytes_per_s, (uint64_t)b->growth_bytes_per_s);
		break;
	default:
		break;
	}
	if (!c && *(const int *)key != SORT_SIZE)
		c = compare_u64(a->old_bytes, b->old_bytes);
	c = c ? c : compare_u64(a->live_bytes, b->live_bytes);
	return c ? c : compare_identity(a, b);
}

void report_sort_sites(struct report *r, enum sort_key key)
{
	int k = (int)key;

	if (r->sites.n)
		qsort_r(r->sites.v, r->sites.n, sizeof(*r->sites.v), compare_sites, &k);
}
