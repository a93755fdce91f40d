/* SPDX-License-Identifier: MIT */
#include "heap_trend.h"

#define STRETCH_MS 2000 /* a hundred polls: some come right after one of many quick collections */
#define STRETCH_CYCLES 2
#define RISE 1.05       /* above the mark */
#define STILL_RISES 1.003
#define NOISE_BYTES 4096
#define REST_STRETCHES 10 /* then what it has come to is the new mark */
#define MIN_STRETCHES 2
#define BELOW_STRETCHES 8 /* in a row below the mark, and the highest of them is the new one */

static bool is_above(uint64_t bytes, uint64_t than, double times)
{
	return bytes > than + NOISE_BYTES && (double)bytes > (double)than * times;
}

/* The mark does not follow what rises, or what does so slowly would never be above it. */
static void stay_calm(struct heap_trend *t, uint64_t low)
{
	if (low >= t->mark) {
		t->below = 0;
		return;
	}
	t->high = t->below++ && t->high > low ? t->high : low;
	if (t->below < BELOW_STRETCHES)
		return;
	t->mark = t->high;
	t->below = 0;
}

static void end_stretch(struct heap_trend *t, uint64_t low)
{
	if (!t->stretches++)
		t->mark = low;
	if (!t->rising && !is_above(low, t->mark, RISE)) {
		stay_calm(t, low);
		return;
	}
	t->below = 0;
	if (!t->rising || is_above(low, t->high, STILL_RISES)) {
		t->rising = true;
		t->high = low;
		t->resting = 0;
		return;
	}
	if (++t->resting < REST_STRETCHES)
		return;
	t->rising = false;
	t->mark = t->high;
}

static void begin_stretch(struct heap_trend *t, uint64_t now_ms, uint64_t bytes)
{
	t->start_ms = now_ms;
	t->cycles = 0;
	t->low = bytes;
	t->begun = true;
}

void heap_trend_note(struct heap_trend *t, uint64_t now_ms, uint64_t bytes, bool flipped)
{
	if (!t->begun) {
		t->first = bytes;
		begin_stretch(t, now_ms, bytes);
	}
	t->moves |= bytes != t->first;
	t->low = bytes < t->low ? bytes : t->low;
	t->cycles += flipped;
	if (now_ms - t->start_ms < STRETCH_MS || t->cycles < STRETCH_CYCLES)
		return;
	end_stretch(t, t->low);
	begin_stretch(t, now_ms, bytes);
}

void heap_trend_held(struct heap_trend *t, uint64_t now_ms, uint64_t bytes)
{
	end_stretch(t, bytes);
	begin_stretch(t, now_ms, bytes);
}

bool heap_trend_known(const struct heap_trend *t)
{
	return t->stretches >= MIN_STRETCHES || !t->moves;
}
