/* SPDX-License-Identifier: MIT */
#include "window.h"

#define PAGE 4096ull

const uint8_t *window_at(struct window *w, uint64_t uaddr, uint64_t len)
{
	uint64_t page = uaddr & ~(PAGE - 1), run, end;

	if (uaddr - w->at >= w->n) {
		w->n = 0;
		if (!memread_resident(w->mem, page, page + WINDOW_BYTES, &run, &end) || run > page)
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
