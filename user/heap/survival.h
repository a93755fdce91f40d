/* SPDX-License-Identifier: MIT */
/*
 * survival: how many of the blocks that a site made together are alive at each age. L5 correlate.
 * Pure.
 *
 * The common leak is one in K behind objects that live T seconds: what is alive says little about
 * it, for of the last T seconds everything is. What tells it is that at some age they have stopped
 * to die, that some are left then, and that later births leave as many. Deaths are counted by age
 * over all looks (Kaplan and Meier's estimate, of blocks that are looked at in groups), and what is
 * left is compared over the time of birth.
 */
#ifndef LMT_HEAP_SURVIVAL_H
#define LMT_HEAP_SURVIVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "collect/cohort.h"
#include "verdict.h"

#define SURVIVAL_AGES BIRTH_STRETCHES /* as long as these stretches */

struct survival {
	uint32_t width_ms;  /* of a cohort, as of the latest look; 0: none yet */
	uint64_t seen_ms;   /* the latest look, since the start of the trace */
	uint64_t allocs;    /* that the site had made then */
	bool sampled;       /* by survival_add_sample(): no more can be alive than were born */
	uint64_t old_ms;    /* what was born before was held then: collections had passed over it */
	float born[BIRTH_STRETCHES], alive[BIRTH_STRETCHES];
	/* by age: blocks times the seconds that they were looked on; those missing then */
	float at_risk[SURVIVAL_AGES], died[SURVIVAL_AGES];
	float let_go[SURVIVAL_AGES]; /* of those, what had been held */
};

/*
 * What a look saw: allocs that the site made since the start of the trace, what is alive by time of
 * birth, and which of it is old. since_ms: the look before, when a site that was not known had made
 * none. Its work does not depend on the number of blocks.
 */
void survival_add(struct survival *s, uint64_t since_ms, uint64_t now_ms, uint64_t allocs,
		  const struct births *alive, const struct age_window *w);

/*
 * Of samples instead, in heap walks: a walk at that time; then each sample that it tells of.
 * weight: the blocks that it stands for; seen_ms: the walk before that told of it, else its birth.
 */
struct survival_sample {
	uint64_t born_ms, seen_ms;
	double weight;
	bool fresh;     /* no walk told of it before… */
	bool was_held;  /* …or somebody held it then */
	bool held;
};
void survival_begin_walk(struct survival *s, uint64_t now_ms);
void survival_add_sample(struct survival *s, const struct survival_sample *x);

/* Adds what was seen of other blocks that are to be judged with them. */
void survival_merge(struct survival *into, const struct survival *from);

/*
 * What looks by samples compare by: stretches in each of which as much was born, of all that was
 * seen of a state. Every walk passes over all that is alive.
 */
struct age_window survival_window(const struct survival *all);

/* Of the births of the first third as large a part is alive as half of that of the last. */
bool survival_goes_on(const struct survival *s, const struct age_window *w);

enum survival_says {
	SURVIVAL_UNKNOWN,
	SURVIVAL_DIE,  /* all are gone at an age that many have had the time for */
	SURVIVAL_STAY, /* from some age on they stay, and ever more come to that age */
};

struct survival_answer {
	enum survival_says says;
	double stay_s;   /* STAY: from that age on */
	double share, low, high; /* STAY: of those born, what stays, and its interval of 95 % */
	double released; /* STAY: blocks that were held for a while, but not so long */
	bool turns_over; /* STAY: as many go that predate the trace */
	double growth_bytes_per_s; /* STAY, if the blocks are as large as those alive */
};

/* w: which blocks are old; bytes, blocks: of all that is alive. */
struct survival_answer survival_judge(const struct survival *s, const struct age_window *w,
				      uint64_t bytes, uint64_t blocks);

/* What is to be said of a site of which verdict_of() said v. */
enum verdict survival_verdict(enum verdict v, const struct survival_answer *a,
			      const struct age_window *w);

/* The part that lives to that age, with its interval of 95 %; false when too little was seen. */
bool survival_at(const struct survival *s, double age_s, double *share_ret, double *low_ret,
		 double *high_ret);

#endif
