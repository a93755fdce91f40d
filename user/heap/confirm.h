/* SPDX-License-Identifier: MIT */
/*
 * confirm: what a census says of the objects that windows saw being born, taken with care. L5
 * correlate. Pure: whoever has the target takes the census.
 *
 * A census finds an object at an address; whether it is the one that was born there is another
 * question: the allocator gives memory away again, often to the like. The list that the VM keeps of
 * all objects, newest first, and the windows' order speak against those that cannot be.
 */
#ifndef LMT_HEAP_CONFIRM_H
#define LMT_HEAP_CONFIRM_H

#include <stddef.h>

#include "census/census.h"
#include "collect/kind.h"
#include "estimate.h"

/* What is known of an object that a census is asked for. */
struct confirm_object {
	struct estimate_sample *sample; /* NULL: the ledger has it, nothing speaks against it */
	size_t site;                    /* its place: position in heap.sites */
	enum block_kind kind;           /* of what the place makes */
};

/*
 * asks, which are answered, and what is known of each, windows from the first to the latest: what
 * is held but cannot be the object that the window saw is CENSUS_ABSENT then.
 */
void confirm_reject(struct census_ask *asks, const struct confirm_object *of, size_t n);

#endif
