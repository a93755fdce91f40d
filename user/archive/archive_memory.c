/* SPDX-License-Identifier: MIT */
/* Where the memory of a process was: a row when it has changed. */
#include <errno.h>

#include "archive_db.h"
#include "archive_load.h"

#define NOTE_BYTES (64u << 10) /* what changes by less, and… */
#define NOTE_SHARE 128         /* …by less than that part of all, is not worth a row */

static bool differs(const struct memory_point *a, const struct memory_point *b)
{
	for (unsigned int p = 0; p < MEMORY_MAX; p++) {
		uint64_t x = a->part[p], y = b->part[p], by = x > y ? x - y : y - x;

		if (by > NOTE_BYTES && by > a->rss / NOTE_SHARE)
			return true;
	}
	return false;
}

static int save_one(struct archive *a, const struct report_process *p, bool last)
{
	uint64_t *at = hashmap_get_or_add(&a->memory_by_pid, (uint64_t)p->pid);
	struct cell keys[] = { cell_int(p->pid), cell_int(a->moment) };

	if (!at)
		return -ENOMEM;
	if (*at && !last && !a->rewrite && !differs(&a->memory.v[*at - 1], &p->memory.now))
		return 0;
	if (!*at && vec_push(&a->memory, p->memory.now))
		return -ENOMEM;
	if (!*at)
		*at = a->memory.n;
	a->memory.v[*at - 1] = p->memory.now;
	return archive_put_row(a, &part_memory, keys, &p->memory);
}

int archive_save_memory(struct archive *a, const struct report *r)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < r->processes.n; i++)
		if (r->processes.v[i].memory.known)
			rc = save_one(a, &r->processes.v[i], r->last);
	return rc;
}

static int take_memory(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report_memory m = { .known = true };

	(void)n;
	if (!part_set(&part_memory, &m, c + 2, l->to->strings))
		return load_bad_value(l, "memory");
	vec_each(p, &l->to->r.processes)
		if (p->pid == c[0].i)
			p->memory = m;
	return 0;
}

int load_memory(struct loader *l)
{
	if (!replay_has(l->from, "memory", NULL))
		return 0; /* an older file */
	return load_query(l, load_select(l, &part_memory, "WHERE t.snapshot = (SELECT max(snapshot) FROM memory"
					 " WHERE pid = t.pid AND snapshot <= ?1) ORDER BY t.pid"), take_memory);
}
