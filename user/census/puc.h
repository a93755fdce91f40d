/* SPDX-License-Identifier: MIT */
/*
 * puc: objects of PUC Lua, decoded out of the image; shared by walk_puc.c, edges_puc.c and the
 * files that name things. Part of the stage census.
 */
#ifndef LMT_CENSUS_PUC_H
#define LMT_CENSUS_PUC_H

#include "walk.h"

/* enum census_kind of a type tag, or -1. */
int puc_kind(const struct walk *w, uint8_t tag);

/* Of a function object of which at least 24 bytes are there. */
bool puc_is_c(const struct walk *w, const uint8_t *fn);

struct puc_text {
	uint64_t text, len; /* where the bytes are, how many */
	uint64_t block;     /* what the string takes of the heap */
};
bool puc_text(const struct walk *w, uint64_t s, struct puc_text *ret);

struct puc_table {
	uint64_t array, array_n; /* 5.5: array is where the values end and the tags begin */
	uint64_t node, meta;
	unsigned int log_nodes;
	bool no_nodes;           /* the hash part is the static empty node */
	uint8_t flags;           /* bit n set: the metatable has no metamethod n */
	uint64_t block;
};
bool puc_table(const struct walk *w, uint64_t t, struct puc_table *ret);

/* Bytes before a userdata's own; *n_ret: its user values. At least 24 bytes are there. */
uint64_t puc_userdata_head(const struct walk *w, const uint8_t *u, uint64_t *n_ret);

#endif
