/* SPDX-License-Identifier: MIT */
#include "limit.h"

#define MIN_STEP 4096 /* nobody sets limits by the byte */
#define NO_CHANCE 32  /* as many times rarer than the range is wide */

/* The number in the range that the highest power of `base` divides, which is *step_ret. */
static uint64_t roundest(uint64_t held, uint64_t refused, uint64_t base, uint64_t *step_ret)
{
	uint64_t ret = 0, last = refused - 1;

	*step_ret = 0;
	for (uint64_t step = base; last / step && last / step * step >= held; step *= base) {
		ret = last / step * step;
		*step_ret = step;
		if (step > UINT64_MAX / base)
			break;
	}
	return ret;
}

uint64_t limit_between(uint64_t held, uint64_t refused)
{
	uint64_t step, step10, ret, ret10;

	if (!held || refused <= held)
		return 0;
	ret = roundest(held, refused, 2, &step);
	ret10 = roundest(held, refused, 10, &step10);
	if (step10 > step) {
		ret = ret10;
		step = step10;
	}
	return step >= MIN_STEP && step / NO_CHANCE >= refused - held ? ret : 0;
}
