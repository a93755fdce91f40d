/* SPDX-License-Identifier: MIT */
/*
 * path: who holds an object, in words, from a root down to it; and what a single object is called.
 * Part of the stage census.
 */
#ifndef LMT_CENSUS_PATH_H
#define LMT_CENSUS_PATH_H

#include "base/strpool.h"
#include "reach.h"

#define PATH_STEPS 64

struct census_path {
	uint32_t step[PATH_STEPS]; /* string ids: "registry", "_LOADED.cache", ".entries[1042]", … */
	unsigned int n;
	/*
	 * The table on the way that holds most, unless all hold few: its way is the steps before,
	 * and the beginning of the next one (a string id; 0: none of it). entries 0: there is none.
	 */
	unsigned int container_steps;
	uint32_t container_tail;
	uint32_t entries; /* that are objects */
};

/* False when nobody holds it. Steps beyond what fits are replaced by "…". */
bool path_build(struct reach *r, uint32_t object, struct strpool *pool, struct census_path *ret);

/* "@app.lua:12", the chunk and line where a prototype or Lua function is defined; 0: not told. */
uint32_t path_proto_origin(const struct walk *w, uint64_t proto, struct strpool *pool);

/* The prototype of a Lua function, or 0. */
uint64_t path_proto_of(const struct walk *w, const struct census_object *fn);

/* One step's text. size: of out. */
void path_step(const struct walk *w, const struct census_object *from, enum edge edge, uint64_t key,
	       char *out, size_t size);

#define PATH_MANY 16 /* entries, of what may be a container that grows */

/* Name of a root. */
const char *path_root_name(enum edge edge, uint64_t key, bool puc);

#endif
