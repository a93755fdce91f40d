/* SPDX-License-Identifier: MIT */
/*
 * makers: which lines of Lua could have made a table, told by its shape: the constant keys that a
 * table constructor, and what follows it, gives it; for a mere list, the size that it asks for.
 * Part of the stage census.
 *
 * A table has no memory of where it was made. What is said holds of every table that Lua code made
 * and that was given no other keys since; where the constructors of more than one line make such
 * tables, all of them are said to.
 */
#ifndef LMT_CENSUS_MAKERS_H
#define LMT_CENSUS_MAKERS_H

#include "base/strpool.h"
#include "base/vec.h"
#include "walk.h"

#define MAKERS_NAMED 3
#define MAKERS_KEYS 64 /* keys of one table that are looked at in a constructor */

/* What is made alike, and the first few lines that do it. */
struct maker {
	uint32_t origin[MAKERS_NAMED];
	uint32_t n; /* lines */
};

struct makers {
	const struct walk *w;
	struct strpool *pool;
	struct hashmap by_shape; /* → index + 1 in maker */
	vec_of(struct maker) maker;
	struct hashmap known;    /* shape of a table → 1 + string id of who could have made it */
	bool failed;
};

/* Finds the constructors in all prototypes on the heap. -ENOMEM. */
int makers_find(struct makers *m, const struct walk *w, struct strpool *pool);
void makers_deinit(struct makers *m);

/* "app.lua:12", "one of 2: app.lua:12, app.lua:40"; 0: nobody is known who makes such tables. */
uint32_t makers_origin(struct makers *m, uint64_t table);

/* --- for the family files --- */

/* A constructor, as far as its code has been looked at. */
struct making {
	uint64_t proto, pc;      /* behind the instruction that makes the table */
	unsigned int reg;        /* where the table is */
	uint64_t key[MAKERS_KEYS]; /* strings, in the order in which they are set */
	unsigned int keys, at_least; /* all of them; those that are always set */
	uint64_t array;          /* slots asked for */
};

/* Another key of the table; which one was there before is none. */
void making_add(struct making *mk, uint64_t string);
void makers_add(struct makers *m, const struct making *mk);

/* Keys of a table that are strings, as a sum of what each is mixed to, so that order is no matter. */
struct table_shape {
	uint64_t all, live;    /* with and without those whose value is nil */
	unsigned int n_all, n_live;
	uint64_t array;
	bool may_have_grown;   /* the array has a size that a list grows to */
};
void table_shape_add(struct table_shape *s, uint64_t string, bool is_nil);

void makers_puc(struct makers *m, uint64_t proto);
bool table_shape_puc(const struct walk *w, uint64_t table, struct table_shape *ret);
void makers_luajit(struct makers *m, uint64_t proto);
bool table_shape_luajit(const struct walk *w, uint64_t table, struct table_shape *ret);

#endif
