/* SPDX-License-Identifier: MIT */
/*
 * gc_stall: collectors that rarely complete a cycle, or never: stopped by the program, with a long
 * pause, or with so big a heap that one takes minutes. What survives their cycles tells nothing for as
 * long. A census of the heap tells what is held as a collection would, and what is held now was so all
 * the time since its birth: so stretches of time stand in for cycles, once a census was taken after them.
 * L4 collect. Pure.
 */
#ifndef LMT_COLLECT_GC_STALL_H
#define LMT_COLLECT_GC_STALL_H

#include <stdbool.h>
#include <stdint.h>

/* From some moment on. */
struct gc_mark {
	uint64_t ms, bytes; /* of the heap then */
};

struct gc_stall {
	bool begun;
	struct gc_mark now, cycle; /* the latest look; the latest completed cycle, or the first look */
	struct gc_mark stop;       /* the program has stopped the collector; valid while: */
	bool stopped;
	uint64_t high;             /* since the latest cycle */
	bool rare;
	uint32_t quick;            /* cycles in a row that did not take long */
	uint32_t turns;            /* stretches of time that stand in for cycles, by their number */
	uint64_t turn_ms;          /* when the next is over */
	uint64_t turn_bytes;       /* the heap when the latest was: one in which nothing was done is none */
	uint32_t censuses;
	uint64_t held_first, held_last;     /* bytes that were held then */
	uint64_t next_ms, pause_ms;         /* when the next is due */
	uint64_t asked_bytes;      /* the heap at the latest */
};

/* A look; flipped: a cycle was completed since the one before. */
void gc_stall_note(struct gc_stall *s, uint64_t now_ms, uint64_t bytes, bool flipped, bool stopped);

/* Is a census due? */
bool gc_stall_wants_census(const struct gc_stall *s);

/* It was taken, or tried and failed: held_bytes 0. */
void gc_stall_census(struct gc_stall *s, uint64_t held_bytes);

/* How much more was held at the latest census than at the first one. */
double gc_stall_growth(const struct gc_stall *s);

/* For how long nothing was collected although the heap grows, and how fast. False: it does not. */
struct gc_stall_rate {
	bool stopped; /* by the program, and for so long */
	double seconds, bytes_per_s;
};
bool gc_stall_rate(const struct gc_stall *s, struct gc_stall_rate *ret);

#endif
