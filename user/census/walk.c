/* SPDX-License-Identifier: MIT */
#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SMALLEST_OBJECT 16
#define AHEAD 8
#define THREAD_BYTES 200 /* about: the one object whose size hangs on more than its first words */
#define TOLERANCE 200 /* LuaJIT: one part in so many may be buffers not known here */

const char *census_kind_name(enum census_kind kind)
{
	static const char *const name[] = {
#define CENSUS_KIND(n, text) text,
		CENSUS_KINDS(CENSUS_KIND)
#undef CENSUS_KIND
	};

	return name[kind];
}

const char *census_part_name(enum census_part part)
{
	static const char *const name[] = {
#define CENSUS_PART(n, text) text,
		CENSUS_PARTS(CENSUS_PART)
#undef CENSUS_PART
	};

	return name[part];
}

bool walk_torn(struct walk *w, uint64_t uaddr, const char *why)
{
	if (!w->torn++) {
		w->torn_why = why;
		w->torn_uaddr = uaddr;
	}
	return false;
}

bool walk_mark(struct walk *w, uint64_t uaddr)
{
	if (++w->marked > w->limit)
		return walk_torn(w, uaddr, "more objects than the heap could hold");
	switch (image_mark(w->im, uaddr)) {
	case IMAGE_MARKED:
		return true;
	case IMAGE_WAS_MARKED:
		return walk_torn(w, uaddr, "an object is listed twice");
	case IMAGE_OUTSIDE:
		break;
	}
	return walk_torn(w, uaddr, "a list leads out of the heap");
}

void walk_look_ahead(struct walk *w, const uint8_t *table, uint64_t i, uint64_t n)
{
	uint64_t far = i + 2 * AHEAD < n ? walk_ref(w, table + w->ref * (i + 2 * AHEAD)) & ~7ull : 0;
	uint64_t near = i + AHEAD < n ? walk_ref(w, table + w->ref * (i + AHEAD)) & ~7ull : 0;
	const uint8_t *p = near ? image_at(w->im, near, 8) : NULL;

	if (far)
		image_prefetch(w->im, far);
	if (p && walk_ref(w, p))
		image_prefetch(w->im, walk_ref(w, p));
}

static int add_object(void *ctx, uint64_t uaddr)
{
	struct walk *w = ctx;

	if (uaddr >> 47)
		return -EBADMSG;
	w->obj[w->n++] = (struct census_object){ .uaddr = uaddr };
	return 0;
}

static bool set_bytes(struct walk *w, struct census_object *o, uint64_t bytes)
{
	uint64_t *large;

	w->object_bytes += bytes;
	o->small = bytes < CENSUS_LARGE ? bytes : CENSUS_LARGE;
	if (bytes < CENSUS_LARGE)
		return true;
	large = hashmap_get_or_add(&w->large, o->uaddr);
	if (large)
		*large = bytes;
	return large != NULL;
}

/* In order of address; what each looks at besides its head is fetched some objects before. */
static int measure_all(struct walk *w, const struct walk_family *f)
{
	for (uint32_t i = 0; i < w->n; i++) {
		uint64_t bytes;

		if (i + 2 * AHEAD < w->n) {
			image_prefetch(w->im, w->obj[i + 2 * AHEAD].uaddr);
			image_prefetch(w->im, w->obj[i + 2 * AHEAD].uaddr + THREAD_BYTES / 2);
		}
		if (f->ahead && i + AHEAD < w->n)
			f->ahead(w, w->obj[i + AHEAD].uaddr);
		if (!f->measure(w, &w->obj[i], &bytes))
			return -EBADMSG;
		if (!set_bytes(w, &w->obj[i], bytes))
			return -ENOMEM;
	}
	return 0;
}

static uint64_t vm_total(const struct walk *w)
{
	uint64_t total = walk_get(w->g, w->l->G_total);

	if (!layout_has(w->l->G_debt))
		return total;
	return w->l->version >= 505 ? total - walk_get(w->g, w->l->G_debt)
				    : total + walk_get(w->g, w->l->G_debt);
}

int64_t walk_difference(const struct walk *w)
{
	uint64_t sum = w->object_bytes;

	for (unsigned int i = 0; i < CENSUS_PART_MAX; i++)
		sum += w->part_bytes[i];
	return (int64_t)(w->vm_bytes - sum);
}

static bool adds_up(const struct walk *w)
{
	int64_t diff = walk_difference(w);
	uint64_t size = (uint64_t)(diff < 0 ? -diff : diff);

	return w->l->family == LMT_FAMILY_PUC ? !diff : size <= w->vm_bytes / TOLERANCE;
}

static void set_up(struct walk *w, const struct layout *row)
{
	bool puc = row->l.family == LMT_FAMILY_PUC;

	w->row = row;
	w->l = &row->l;
	w->c = &row->c;
	w->ref = puc || row->l.gc64.off ? 8 : 4;
	w->tag_at = puc ? 8 : w->ref + 1;
	w->vm_bytes = vm_total(w);
	w->limit = w->vm_bytes / SMALLEST_OBJECT;
}

bool walk_open(struct walk *w, struct image *im, const struct proc_maps *maps,
	       const struct layout *row, uint64_t L, uint64_t G)
{
	*w = (struct walk){ .im = im, .maps = maps, .L = L, .G = G };
	w->g = image_at(im, G, (uint64_t)row->l.size_G.off);
	if (!w->g || !image_at(im, L, (uint64_t)row->l.size_L.off))
		return walk_torn(w, G, "the state itself is not in the copy");
	set_up(w, row);
	return true;
}

int walk_heap(struct walk *w, struct image *im, const struct proc_maps *maps,
	      const struct layout *row, uint64_t L, uint64_t G)
{
	const struct walk_family *f = row->l.family == LMT_FAMILY_PUC ? &walk_puc : &walk_luajit;
	uint32_t n;
	int rc;

	if (!walk_open(w, im, maps, row, L, G))
		return -EBADMSG;
	if (w->vm_bytes >> 40) {
		walk_torn(w, G, "an absurd heap size");
		return -EBADMSG;
	}
	if (image_clear_marks(im))
		return -ENOMEM;
	if (!f->mark(w))
		return -EBADMSG;
	n = image_index(im);
	if (n == IMAGE_NONE)
		return -ENOMEM;
	w->obj = malloc(((size_t)n + 1) * sizeof(*w->obj));
	if (!w->obj)
		return -ENOMEM;
	rc = image_each_mark(im, add_object, w);
	if (!rc)
		rc = measure_all(w, f);
	if (rc)
		return rc;
	f->count_parts(w);
	return w->torn || !adds_up(w) ? -EBADMSG : 0;
}

void walk_deinit(struct walk *w)
{
	free(w->obj);
	hashmap_deinit(&w->large);
	if (w->shared) {
		hashmap_deinit(w->shared);
		free(w->shared);
	}
	*w = (struct walk){ 0 };
}
