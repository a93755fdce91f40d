/* SPDX-License-Identifier: MIT */
#include "gc_stall.h"

#define RARE_MS 5000        /* without a completed cycle, while… */
#define TOLD_MS 10000       /* …that is worth telling */
#define RARE_BYTES 65536    /* …the heap grows by so much at least */
#define RARE_GROWTH 1.1     /* …and to so many times its size */
#define QUICK_CYCLES 4      /* then it is not rare any more: what survives them tells */
#define FALL 0.75           /* of the highest: something was collected, though no cycle was seen */
#define TURN_MS 4000
#define FIRST_PAUSE_MS 4000 /* between two censuses */
#define LAST_PAUSE_MS 240000 /* …that find that no more is held than before */
#define MORE_HELD 1.01
#define STOPPED_MS 2000     /* a finalizer stops the collector too, for a moment */

static bool grew(uint64_t from, uint64_t to)
{
	return to >= from + RARE_BYTES && (double)to >= (double)from * RARE_GROWTH;
}

static void on_cycle(struct gc_stall *s, struct gc_mark now)
{
	s->quick = now.ms - s->cycle.ms < RARE_MS ? s->quick + 1 : 0;
	s->cycle = now;
	s->high = now.bytes;
	if (s->quick < QUICK_CYCLES)
		return;
	s->rare = false;
	s->held_first = s->held_last = 0;
}

void gc_stall_note(struct gc_stall *s, uint64_t now_ms, uint64_t bytes, bool flipped, bool stopped)
{
	struct gc_mark now = { now_ms, bytes };
	bool fell = s->begun && (double)bytes < (double)s->high * FALL && s->high - bytes > RARE_BYTES;

	if (!s->begun)
		s->cycle = now;
	s->begun = true;
	s->now = now;
	if (flipped || fell)
		on_cycle(s, now);
	if (!s->stopped || !stopped || flipped || fell)
		s->stop = now;
	s->stopped = stopped;
	if (bytes > s->high)
		s->high = bytes;
	if (bytes < s->cycle.bytes)
		s->cycle.bytes = bytes; /* its sweep goes on */
	if (s->rare && now_ms >= s->turn_ms && bytes != s->turn_bytes) {
		s->turns++;
		s->turn_ms = now_ms + TURN_MS;
		s->turn_bytes = bytes;
	}
	if (s->rare || now_ms - s->cycle.ms < RARE_MS || !grew(s->cycle.bytes, bytes))
		return;
	s->rare = true;
	s->next_ms = now_ms;
	s->turn_ms = now_ms + TURN_MS;
	s->pause_ms = FIRST_PAUSE_MS;
}

bool gc_stall_wants_census(const struct gc_stall *s)
{
	return s->rare && s->now.ms >= s->next_ms && s->now.bytes != s->asked_bytes;
}

void gc_stall_census(struct gc_stall *s, uint64_t held_bytes)
{
	bool more = !s->held_last || (double)held_bytes > (double)s->held_last * MORE_HELD;

	s->asked_bytes = s->now.bytes;
	s->pause_ms = more && held_bytes ? FIRST_PAUSE_MS : s->pause_ms * 2;
	if (s->pause_ms > LAST_PAUSE_MS)
		s->pause_ms = LAST_PAUSE_MS;
	s->next_ms = s->now.ms + s->pause_ms;
	if (!held_bytes)
		return;
	s->censuses++;
	s->held_last = held_bytes;
	if (!s->held_first)
		s->held_first = held_bytes;
}

double gc_stall_growth(const struct gc_stall *s)
{
	return s->held_first ? (double)s->held_last / (double)s->held_first : 1;
}

bool gc_stall_rate(const struct gc_stall *s, struct gc_stall_rate *ret)
{
	bool stopped = s->stopped && s->now.ms - s->stop.ms >= STOPPED_MS;
	const struct gc_mark *from = stopped ? &s->stop : &s->cycle;

	if (!stopped && (!s->rare || s->now.ms - s->cycle.ms < TOLD_MS))
		return false;
	if (s->now.bytes < from->bytes + RARE_BYTES)
		return false;
	*ret = (struct gc_stall_rate){
		.stopped = stopped,
		.seconds = (double)(s->now.ms - from->ms) / 1000,
	};
	ret->bytes_per_s = (double)(s->now.bytes - from->bytes) / ret->seconds;
	return true;
}
