/* SPDX-License-Identifier: MIT */
#include "stall.h"

#define SHARE 0.03 /* of the heap's growth */

void heap_apply_stall(struct heap *h, struct heap_state *st, double bytes_per_s, double scale,
			   double seconds)
{
	vec_each(s, &h->sites) {
		double bytes = (double)s->live_bytes;

		if (&h->states.v[s->state] != st || s->verdict >= VERDICT_GROWING || seconds <= 0)
			continue;
		/*
		 * What windows saw being born is there still; but buffers grow, and go when they
		 * have.
		 */
		if (scale > 0 && s->kind != KIND_BUFFER && (double)s->alloc_bytes * scale > bytes) {
			bytes = (double)s->alloc_bytes * scale;
			st->live_bytes += (uint64_t)bytes - s->live_bytes;
			st->live_blocks += (uint64_t)((double)s->allocs * scale) - s->live_blocks;
			s->live_bytes = (uint64_t)bytes;
			s->live_blocks = (uint64_t)((double)s->allocs * scale);
		}
		if (bytes < SHARE * bytes_per_s * seconds)
			continue;
		s->verdict = VERDICT_GROWING;
		s->growth_bytes_per_s = bytes / seconds;
	}
}
