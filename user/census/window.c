/* SPDX-License-Identifier: MIT */
#include "window.h"

#include <stdlib.h>

#define PAGE 4096ull
#define ENTRY 8 /* bytes that the kernel tells of a page */

struct window *window_new(const struct memread *mem, uint64_t left)
{
	struct window *w = malloc(sizeof(*w));

	if (!w)
		return NULL;
	w->mem = mem;
	w->left = left;
	w->at = w->n = 0;
	return w;
}

static bool may_read(struct window *w, uint64_t bytes)
{
	bool enough = w->left >= bytes;

	w->left = enough ? w->left - bytes : 0;
	return enough;
}

const uint8_t *window_at(struct window *w, uint64_t uaddr, uint64_t len)
{
	uint64_t page = uaddr & ~(PAGE - 1), run, end;

	if (uaddr - w->at >= w->n) {
		w->n = 0;
		if (!may_read(w, WINDOW_BYTES) ||
		    !memread_resident(w->mem, page, page + WINDOW_BYTES, &run, &end) || run > page)
			return NULL;
		w->at = page;
		w->n = w->mem->read(w->mem->ctx, page, w->bytes,
				    end - page < WINDOW_BYTES ? end - page : WINDOW_BYTES);
	}
	return uaddr - w->at + len <= w->n ? w->bytes + (uaddr - w->at) : NULL;
}

uint64_t window_resident(const struct memread *mem, uint64_t from, uint64_t to)
{
	uint64_t run, end, sum = 0;

	while (from < to && memread_resident(mem, from & ~(PAGE - 1), to, &run, &end)) {
		run = run < from ? from : run;
		end = end > to ? to : end;
		if (end <= run)
			break;
		sum += end - run;
		from = end;
	}
	return sum;
}

uint64_t window_present(struct window *w, uint64_t from, uint64_t to)
{
	return from < to && may_read(w, (to - from) / PAGE * ENTRY) ? window_resident(w->mem, from, to) : 0;
}
