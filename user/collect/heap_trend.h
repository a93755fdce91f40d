/* SPDX-License-Identifier: MIT */
/*
 * heap_trend: does what a heap holds rise? Asked of its lowest size over stretches of time that hold a
 * few collections each, by polls alone: a leak, however slow, lifts it in the end; the sawtooth of a heap
 * that only turns over does not. Where the collector hardly runs censuses tell instead. It convicts
 * nobody: it says when looking closer is worth its price. L4 collect. Pure.
 */
#ifndef LMT_COLLECT_HEAP_TREND_H
#define LMT_COLLECT_HEAP_TREND_H

#include <stdbool.h>
#include <stdint.h>

struct heap_trend {
	bool begun;
	uint64_t start_ms; /* of this stretch */
	uint32_t cycles;   /* completed in it */
	uint64_t low;      /* in it */
	uint64_t first;    /* size that was ever seen */
	bool moves;        /* others were: somebody uses the heap */
	uint32_t stretches; /* that are over */
	uint64_t mark;     /* what the heap's low was before anything rose */
	bool rising;       /* above the mark, and not at rest since */
	uint64_t high;     /* the highest low since it rises, or since it is below the mark */
	uint32_t resting;  /* stretches in a row that were no higher than that */
	uint32_t below;    /* …that were below the mark */
};

/* A look at the heap; flipped: a collection was completed since the one before. */
void heap_trend_note(struct heap_trend *t, uint64_t now_ms, uint64_t bytes, bool flipped);

/* A census takes the place of a whole stretch. */
void heap_trend_held(struct heap_trend *t, uint64_t now_ms, uint64_t bytes);

/* Is there anything to compare with yet? Of a heap that nobody uses all is known. */
bool heap_trend_known(const struct heap_trend *t);

#endif
