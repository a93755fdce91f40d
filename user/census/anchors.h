/* SPDX-License-Identifier: MIT */
/*
 * anchors: where the lists of a state's objects begin, as they were before a running heap was copied.
 * Part of the stage census.
 *
 * What is born goes to the front of these lists. In a copy whose anchors are older than the rest all objects
 * that they lead to are whole; the other way round they lead to what is not written yet.
 */
#ifndef LMT_CENSUS_ANCHORS_H
#define LMT_CENSUS_ANCHORS_H

#include "base/vec.h"
#include "image.h"
#include "resolve/runtime.h"

struct anchor {
	uint64_t uaddr, n;
	uint8_t *bytes;
};

struct anchors {
	vec_of(struct anchor) v;
};

void anchors_deinit(struct anchors *a);

/*
 * Reads those of a state, in a moment in which its collector frees no objects; false: there was none for a
 * while, or they cannot be read.
 */
bool anchors_read(struct anchors *a, const struct memread *mem, const struct resolved_state *rs);

/* Puts them into the copy. False: it lacks their place. */
bool anchors_lay(const struct anchors *a, struct image *im);

#endif
