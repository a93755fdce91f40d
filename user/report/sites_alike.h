/* SPDX-License-Identifier: MIT */
/*
 * sites_alike: the same line and kind in several states of one process, added up: a program that
 * makes many states runs the same code in each. For people; the records have each. L6 report.
 */
#ifndef LMT_REPORT_SITES_ALIKE_H
#define LMT_REPORT_SITES_ALIKE_H

#include "model.h"

struct site_alike {
	struct report_site sum; /* stacks and state: of the first of them in the report */
	size_t n;               /* how many states */
};

struct sites_alike {
	vec_of(struct site_alike) v; /* largest first as in the report, by the first of each */
};

/* Those of which something is alive, or that have a verdict. Borrows from r. 0 or -ENOMEM. */
int sites_alike(const struct report *r, struct sites_alike *ret);
void sites_alike_deinit(struct sites_alike *a);

#endif
