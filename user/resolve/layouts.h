/* SPDX-License-Identifier: MIT */
/*
 * layouts: the rows of user/resolve/layouts/{puc,luajit}.tsv, carried inside the program.
 * L2 resolve. Must not know processes: which row fits is for the runtimes' shape tests.
 *
 * The tables were compiled from each release's own headers with debug information and read back
 * from DWARF; how to verify or extend them: docs/ADDING-A-RUNTIME.md.
 */
#ifndef LMT_RESOLVE_LAYOUTS_H
#define LMT_RESOLVE_LAYOUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "layout.h"
#include "layout_census.h"

struct layout {
	struct lmt_layout l;
	struct layout_census c; /* for the census alone */
	const char *id;       /* stable key, for reports and tests */
	const char *variant;  /* puc, redis, skynet, luajit, openresty, … */
	const char *versions; /* what was compiled into the row, comma-separated; a hint */
	const char *history;  /* LuaJIT: ranges of upstream commits with dates */
	const char *packages; /* LuaJIT: distribution packages seen with it */
};

/* All rows, built in and added; borrowed for the life of the program. NULL only on ENOMEM. */
const struct layout *layouts_all(size_t *n_ret);

/* Adds the rows of a table in the same form; they are tried before the built-in ones. */
int layouts_add_file(const char *path, struct errmsg *err);

/* The row of the id, or NULL. */
const struct layout *layouts_find(const char *id);

/* Position of a row among layouts_all(): its id within a run. */
size_t layouts_index(const struct layout *l);

static inline bool layout_has(struct lmt_cell c)
{
	return c.off != LMT_OFF_NONE;
}

#endif
