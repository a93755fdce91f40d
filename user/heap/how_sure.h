/* SPDX-License-Identifier: MIT */
/*
 * how_sure: is it a leak, or a cache that still fills? L5 correlate. Pure.
 *
 * What gains an entry for each new thing and has never lost one may have a bound that it has not
 * reached. Only what such a cache cannot do makes an error of the warning; each such reason is
 * named in the finding.
 */
#ifndef LMT_HEAP_HOW_SURE_H
#define LMT_HEAP_HOW_SURE_H

#include "detect.h"

struct how_sure {
	unsigned int reasons;
	char text[400]; /* the reasons, in words */
	const char *advice; /* what mends such a thing; NULL: nothing in particular */
	double share, low, high; /* of what is born, what stays, and its interval; 0: not known */
};

/* A site of the cause; strings: where its holder's path is. Zero bytes begin. */
void how_sure_add(struct how_sure *sure, const struct strpool *strings, const struct heap_site *s);

enum severity how_sure_severity(const struct how_sure *sure);
enum confidence how_sure_confidence(const struct how_sure *sure);

#endif
