/* SPDX-License-Identifier: MIT */
/* The newest census up to the moment, else the first. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "archive_load.h"

/* Of one part, snapshot and seq first, into the vector of the report. */
#define TAKE(name)                                                                              \
	static int take_##name(const struct cell *c, size_t n, void *ctx)                       \
	{                                                                                       \
		struct loader *l = ctx;                                                         \
		struct report_##name row = { 0 };                                               \
												\
		(void)n;                                                                        \
		if (!part_set(&part_##name, &row, c + 2, l->to->strings))                       \
			return load_bad_value(l, #name);                                        \
		return vec_push(&l->to->r.PLURAL(name), row) ? load_out_of_memory(l) : 0;       \
	}
#define PLURAL(name) PLURAL_##name
#define PLURAL_census censuses
#define PLURAL_object objects
#define PLURAL_holder holders

TAKE(census)
TAKE(object)
TAKE(holder)

/* The one of the start takes a moment, and comes with the second. */
#define NEWEST "WHERE t.snapshot = coalesce((SELECT max(snapshot) FROM census WHERE snapshot <= ?1)," \
	       " (SELECT min(snapshot) FROM census)) ORDER BY t.seq LIMIT 5000" /* more than a recording writes at once */

/* pid, state, kind, origin, bytes of a held type in the first census */
static int take_first(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;

	(void)n;
	if (c[0].type != CELL_INT || c[1].type != CELL_INT || c[2].type != CELL_TEXT ||
	    (c[3].type != CELL_TEXT && c[3].type != CELL_NULL) || c[4].type != CELL_INT ||
	    c[4].i < 0)
		return load_bad_value(l, "object");
	vec_each(o, &l->to->r.objects) {
		if (o->pid != c[0].i || o->state != c[1].i || o->dead ||
		    strcmp(o->kind, c[2].text) || !o->origin != !c[3].text ||
		    (o->origin && strcmp(o->origin, c[3].text)))
			continue;
		o->first_bytes = (uint64_t)c[4].i;
		return 0;
	}
	return 0;
}

static int take_first_state(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;

	(void)n;
	vec_each(o, &l->to->r.objects)
		o->first_known |= o->pid == c[0].i && o->state == c[1].i;
	return 0;
}

/* What grew since the first census, of the states that were in it. */
static int load_first(struct loader *l)
{
	int rc = load_query(l, strdup("SELECT pid, state FROM census WHERE why_not IS NULL AND snapshot ="
				      " (SELECT min(snapshot) FROM census) AND snapshot < ?1 LIMIT 2000"),
			    take_first_state);

	return rc ? rc : load_query(l, strdup("SELECT pid, state, kind, origin, bytes FROM object WHERE"
					      " NOT dead AND snapshot = (SELECT min(snapshot) FROM census)"
					      " ORDER BY seq LIMIT 5000"), take_first);
}

int load_census(struct loader *l)
{
	static const struct {
		const struct part *part;
		int (*take)(const struct cell *, size_t, void *);
	} parts[] = {
		{ &part_census, take_census },
		{ &part_object, take_object },
		{ &part_holder, take_holder },
	};
	int rc = 0;

	if (!replay_has(l->from, "census", NULL))
		return 0; /* an older file */
	for (size_t i = 0; !rc && i < sizeof(parts) / sizeof(parts[0]); i++)
		rc = load_query(l, load_select(l, parts[i].part, NEWEST), parts[i].take);
	return rc ? rc : load_first(l);
}
