/* SPDX-License-Identifier: MIT */
/*
 * estimate: what stays alive of the objects born in windows, where their frees are not seen.
 * L5 correlate. Pure: whoever has the target reads it.
 *
 * Some objects of each place that are alive when a window closes are remembered by their first
 * words. As long as these words are still there after collections the object has not been freed:
 * memory that was given away again holds other pointers, lengths or text. It is a sign, not a proof,
 * so it counts only where the heap as a whole grows too.
 */
#ifndef LMT_HEAP_ESTIMATE_H
#define LMT_HEAP_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "collect/gcpoll.h"
#include "collect/snapshot.h"
#include "heap.h"

#define ESTIMATE_WORDS 8

struct estimate_sample {
	uint32_t site, state; /* BPF indices */
	uint64_t uaddr;
	uint64_t words[ESTIMATE_WORDS];
	uint32_t n_words;
	uint32_t cycle;  /* of its state when the window closed */
	uint32_t window;
	double blocks, bytes; /* it stands for */
	bool gone;
};

struct estimate {
	vec_of(struct estimate_sample) samples;
	uint32_t windows;
};

void estimate_deinit(struct estimate *e);

/*
 * Remembers up to SNAPSHOT_SAMPLES objects of a place; read() gives up to n words at an address,
 * false when they cannot be read. 0 or -ENOMEM.
 */
struct estimate_reader {
	bool (*read)(void *ctx, uint32_t state, uint64_t uaddr, uint64_t *words, uint32_t n);
	void *ctx;
};
int estimate_add(struct estimate *e, const struct snapshot_site *site, uint32_t cycle,
		 const struct estimate_reader *r);

/* Looks at all samples again. */
void estimate_check(struct estimate *e, const struct estimate_reader *r);

/*
 * Gives the sites of the heap their estimated live bytes and verdicts. scale: calls of the
 * allocators for each that was seen; seconds: since the start.
 */
void estimate_apply(const struct estimate *e, struct heap *h, const struct gcpoll *gc, double scale,
		    double seconds);

#endif
