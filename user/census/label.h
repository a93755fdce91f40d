/* SPDX-License-Identifier: MIT */
/*
 * label: what the states of a running process are used for, by a few reads of its memory. Part of the
 * stage census. The process runs on: what does not make sense gives no label.
 */
#ifndef LMT_CENSUS_LABEL_H
#define LMT_CENSUS_LABEL_H

#include "census.h"

struct labels {
	const struct target *target;
	const struct memread *mem;
	struct copier copier;
};

/* Is there a row for the program? */
bool labels_known(const struct target *t);

/* Can a state's name be read by BPF when it is closed (bpf/label.bpf.h)? And the label made of that. */
bool label_known_at_close(const struct target *t);
uint32_t label_at_close(const struct target *t, const char *text, uint32_t handle, struct strpool *pool);

/* For the states of one moment; labels_close() in any case. False when the process is gone. */
bool labels_open(const struct target *t, const struct memread *mem, struct labels *ret);
uint32_t labels_of(struct labels *l, const struct layout *row, uint64_t L, uint64_t G,
		   struct strpool *pool);
void labels_close(struct labels *l);

#endif
