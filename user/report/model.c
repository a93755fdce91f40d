/* SPDX-License-Identifier: MIT */
#include "model.h"

void report_deinit(struct report *r)
{
	vec_each(rt, &r->runtimes)
		vec_deinit(&rt->functions);
	vec_each(f, &r->findings)
		vec_deinit(&f->evidence);
	vec_deinit(&r->findings);
	vec_deinit(&r->processes);
	vec_deinit(&r->runtimes);
	vec_deinit(&r->states);
	vec_deinit(&r->sites);
	vec_deinit(&r->blind_spots);
	vec_deinit(&r->censuses);
	vec_deinit(&r->objects);
	vec_deinit(&r->holders);
	vec_deinit(&r->series);
	vec_deinit(&r->events_log);
	vec_deinit(&r->frames);
	vec_deinit(&r->stack_frames);
	vec_deinit(&r->stacks);
}

uint32_t report_frames_above(const struct report *r, const struct report_stack *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		if (report_frame_at(r, s, i)->lua)
			return i;
	return 0;
}

bool report_complete(const struct report *r)
{
	for (unsigned int i = 0; i < LMT_STAT_MAX; i++)
		if (r->lost[i] && i != LMT_STAT_STACK_LOST) /* its block is counted all the same */
			return false;
	return r->blind_spots.n == 0 && !r->left_out && !r->detail_dropped && !r->windows;
}

const char *report_lost_key(unsigned int stat)
{
	static const char *const keys[] = {
#define STAT_KEY(name, key, text) key,
		LMT_STATS(STAT_KEY)
#undef STAT_KEY
	};

	return keys[stat];
}

const char *report_lost_text(unsigned int stat)
{
	static const char *const texts[] = {
#define STAT_TEXT(name, key, text) text,
		LMT_STATS(STAT_TEXT)
#undef STAT_TEXT
	};

	return texts[stat];
}

uint64_t report_scaled(const struct report *r, uint64_t seen)
{
	return r->windows && r->seen_pct > 0 ? (uint64_t)((double)seen * 100 / r->seen_pct) : seen;
}
