/* SPDX-License-Identifier: MIT */
#include "archive_db.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static const char *const meta_columns[] = { "key", "value" };
static const char *const map_columns[] = { "pid", "start", "end", "offset", "path", "deleted" };
static const char *const lost_columns[] = { "cause", "snapshot", "n" };
static const char *const blind_columns[] = { "id", "text", "snapshot" };
static const char *const event_columns[] = { "id", "time_ns", "kind", "pid", "state", "text" };

static void tracked_deinit(struct tracked *t)
{
	vec_each(i, &t->items)
		free(i->last);
	vec_deinit(&t->items);
	hashmap_deinit(&t->by_key);
}

int archive_new(struct store *store, struct archive **ret)
{
	struct archive *a = calloc(1, sizeof(*a));

	if (!a || !(a->strings = strpool_new())) {
		archive_free(a);
		return -ENOMEM;
	}
	a->store = store;
	a->states = (struct tracked){ .identity = &part_state, .at = &part_state_at,
				       .size = sizeof(struct report_state) };
	a->sites = (struct tracked){ .identity = &part_site, .at = &part_site_at,
				      .size = sizeof(struct report_site) };
	a->stacks = (struct tracked){ .identity = &part_stack, .at = &part_stack_at,
				       .size = sizeof(struct stored_stack) };
	*ret = a;
	return 0;
}

void archive_free(struct archive *a)
{
	if (!a)
		return;
	tracked_deinit(&a->states);
	tracked_deinit(&a->sites);
	tracked_deinit(&a->stacks);
	hashmap_deinit(&a->memory_by_pid);
	vec_deinit(&a->memory);
	hashmap_deinit(&a->runtimes);
	hashmap_deinit(&a->blind_spots);
	hashmap_deinit(&a->frames);
	hashmap_deinit(&a->findings);
	vec_deinit(&a->saved_findings);
	strpool_free(a->strings);
	free(a);
}

int archive_put_meta(struct archive *a, const char *key, const char *value)
{
	struct cell cells[] = { cell_text(key), cell_text(value ? value : "") };

	return store_put(a->store, "meta", meta_columns, cells, 2);
}

int archive_put_map(struct archive *a, pid_t pid, uint64_t start, uint64_t end, uint64_t offset,
		    const char *path, bool deleted)
{
	struct cell cells[] = { cell_int(pid), cell_int((int64_t)(start & INT64_MAX)),
				cell_int((int64_t)(end & INT64_MAX)), cell_int((int64_t)offset),
				cell_text(*path ? path : NULL), cell_int(deleted) };

	return store_put(a->store, "map", map_columns, cells, 6);
}

int archive_put_event(struct archive *a, uint64_t realtime_ns, const char *kind, pid_t pid,
		      uint32_t state, const char *text)
{
	struct cell cells[] = { cell_int(++a->events), cell_int((int64_t)realtime_ns),
				cell_text(kind), cell_int(pid), cell_int(state), cell_text(text) };

	if (!pid)
		cells[3].type = CELL_NULL;
	if (!state)
		cells[4].type = CELL_NULL;
	return store_put(a->store, "event", event_columns, cells, 6);
}

int archive_put_row(struct archive *a, const struct part *p, const struct cell *keys,
		    const void *obj)
{
	struct cell cells[PART_COLUMNS];

	memcpy(cells, keys, p->n_keys * sizeof(*keys));
	part_get(p, obj, cells + p->n_keys);
	return store_put(a->store, p->table, p->columns, cells, p->n_keys + p->n);
}

static int put_part(struct archive *a, const struct part *p, const int64_t *keys, const void *obj)
{
	struct cell cells[PART_COLUMNS];

	for (size_t i = 0; i < p->n_keys; i++)
		cells[i] = cell_int(keys[i]);
	return archive_put_row(a, p, cells, obj);
}

static int put_at(struct archive *a, struct tracked *t, size_t i, bool present, const void *obj)
{
	t->items.v[i].present = present;
	return put_part(a, t->at, (int64_t[]){ (int64_t)i + 1, a->moment, present }, obj);
}

/* Keeps a copy of what is in the file now. */
static void remember(struct archive *a, struct tracked *t, size_t i, const void *obj)
{
	memcpy(t->items.v[i].last, obj, t->size);
	part_keep(t->identity, t->items.v[i].last, a->strings);
	part_keep(t->at, t->items.v[i].last, a->strings);
}

/* Position of the thing, a new one if need be; -ENOSPC when there is no room for more. */
static long find_item(struct archive *a, struct tracked *t, const char *key, bool *fresh_ret)
{
	uint32_t name = strpool_add(a->strings, key);
	uint64_t *at = name ? hashmap_get_or_add(&t->by_key, name) : NULL;
	struct item fresh = { 0 };

	*fresh_ret = false;
	if (!at)
		return -ENOMEM;
	if (*at)
		return (long)*at - 1;
	if (t->items.n >= store_room(a->store))
		return -ENOSPC;
	fresh.last = calloc(1, t->size);
	if (!fresh.last || vec_push(&t->items, fresh)) {
		free(fresh.last);
		return -ENOMEM;
	}
	*at = t->items.n;
	*fresh_ret = true;
	return (long)t->items.n - 1;
}

int archive_track(struct archive *a, struct tracked *t, const char *key, const void *obj,
		  long *position_ret)
{
	bool fresh;
	long i = find_item(a, t, key, &fresh);
	struct item *item;
	int rc = 0;

	if (position_ret)
		*position_ret = i < 0 ? -1 : i;
	if (i == -ENOSPC) {
		t->left_out++;
		return 0;
	}
	if (i < 0)
		return (int)i;
	item = &t->items.v[i];
	item->seen = a->moment;
	fresh |= a->rewrite;
	if (fresh || !part_equal(t->identity, item->last, obj))
		rc = put_part(a, t->identity, (int64_t[]){ i + 1 }, obj);
	if (!rc && (fresh || !item->present || !part_equal(t->at, item->last, obj)))
		rc = put_at(a, t, (size_t)i, true, obj);
	remember(a, t, (size_t)i, obj);
	return rc;
}

/* What was there before and is no more. */
static int end_tracking(struct archive *a, struct tracked *t)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < t->items.n; i++)
		if (t->items.v[i].present && t->items.v[i].seen != a->moment)
			rc = put_at(a, t, i, false, t->items.v[i].last);
	return rc;
}

static int save_states(struct archive *a, const struct report *r)
{
	char key[64];
	int rc = 0;

	a->states.left_out = 0;
	for (size_t i = 0; !rc && i < r->states.n; i++) {
		const struct report_state *s = &r->states.v[i];

		snprintf(key, sizeof(key), "%d %" PRIu32, s->pid, s->state);
		rc = archive_track(a, &a->states, key, s, NULL);
	}
	return rc ? rc : end_tracking(a, &a->states);
}

static int save_site(struct archive *a, const struct report *r, const struct report_site *s,
		     const int64_t *frame_ids)
{
	auto_free char *key = NULL;
	long site;
	int rc;

	if (asprintf(&key, "%d %" PRIu32 " %d%d %s %s\n%s", s->pid, s->state, s->frame.approx, s->below,
		     s->kind, s->frame.lua ? s->frame.lua : "", s->frame.name ? s->frame.name : "") < 0) {
		key = NULL;
		return -ENOMEM;
	}
	rc = archive_track(a, &a->sites, key, s, &site);
	return rc || site < 0 ? rc : archive_save_stacks(a, r, s, site, frame_ids);
}

static int save_sites(struct archive *a, const struct report *r)
{
	auto_free int64_t *frame_ids = archive_frame_ids(a, r);
	int rc = frame_ids ? 0 : -ENOMEM;

	a->sites.left_out = a->stacks.left_out = 0;
	for (size_t i = 0; !rc && i < r->sites.n; i++)
		rc = save_site(a, r, &r->sites.v[i], frame_ids);
	rc = rc ? rc : end_tracking(a, &a->sites);
	return rc ? rc : end_tracking(a, &a->stacks);
}

static int save_runtime(struct archive *a, const struct report_runtime *rt, bool again)
{
	uint64_t *known =
		hashmap_get_or_add(&a->runtimes, (uint64_t)rt->pid << 32 | (rt->runtime + 1));
	int64_t keys[] = { rt->pid, rt->runtime, 0 };
	int rc;

	if (!known)
		return -ENOMEM;
	if (*known && !again)
		return 0;
	*known = 1;
	rc = put_part(a, &part_runtime, keys, rt);
	for (size_t i = 0; !rc && i < rt->functions.n; i++) {
		keys[2] = (int64_t)i;
		rc = put_part(a, &part_function, keys, &rt->functions.v[i]);
	}
	return rc;
}

/* Processes and runtimes come and may learn more; they are few. */
static int save_subjects(struct archive *a, const struct report *r)
{
	bool again = a->rewrite || r->last;
	int rc = 0;

	for (size_t i = 0; !rc && i < r->processes.n; i++) {
		const struct report_process *p = &r->processes.v[i];
		uint64_t *known = hashmap_get_or_add(&a->runtimes, (uint64_t)p->pid << 32);

		if (!known)
			return -ENOMEM;
		if (!*known || again)
			rc = put_part(a, &part_process, (int64_t[]){ p->pid }, p);
		*known = 1;
	}
	for (size_t i = 0; !rc && i < r->runtimes.n; i++)
		rc = save_runtime(a, &r->runtimes.v[i], again);
	return rc;
}

static int save_losses(struct archive *a, const struct report *r)
{
	int rc = 0;

	for (unsigned int i = 0; !rc && i < LMT_STAT_MAX; i++) {
		struct cell cells[] = { cell_text(report_lost_key(i)), cell_int(a->moment),
					cell_int((int64_t)r->lost[i]) };

		if (r->lost[i] != a->lost[i] || a->rewrite)
			rc = store_put(a->store, "lost", lost_columns, cells, 3);
		a->lost[i] = r->lost[i];
	}
	for (size_t i = 0; !rc && i < r->blind_spots.n; i++) {
		const char *text = r->blind_spots.v[i];
		uint64_t *known =
			hashmap_get_or_add(&a->blind_spots, strpool_add(a->strings, text));
		bool fresh = known && (!*known || a->rewrite);

		if (!known)
			return -ENOMEM;
		if (!*known)
			*known = ++a->n_blind_spots;
		if (fresh)
			rc = store_put(a->store, "blind_spot", blind_columns,
				       (struct cell[]){ cell_int((int64_t)*known), cell_text(text),
							cell_int(a->moment) }, 3);
	}
	return rc;
}

/* Rows of a moment, as they are. */
static int save_rows(struct archive *a, const struct part *p, const void *first, size_t n,
		     size_t size)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++)
		rc = put_part(a, p, (int64_t[]){ a->moment, (int64_t)i },
			      (const char *)first + i * size);
	return rc;
}

static int save_census(struct archive *a, const struct report *r)
{
	int rc = 0;

	a->census_due |= r->new_census;
	if (!a->census_due)
		return 0;
	rc = save_rows(a, &part_census, r->censuses.v, r->censuses.n, sizeof(*r->censuses.v));
	if (!rc)
		rc = save_rows(a, &part_object, r->objects.v, r->objects.n, sizeof(*r->objects.v));
	if (!rc)
		rc = save_rows(a, &part_holder, r->holders.v, r->holders.n, sizeof(*r->holders.v));
	return rc;
}

static int save_all(struct archive *a, const struct report *r)
{
	int rc = save_subjects(a, r);

	if (!rc)
		rc = archive_save_memory(a, r);
	if (!rc)
		rc = save_losses(a, r);
	if (!rc)
		rc = save_states(a, r);
	if (!rc)
		rc = save_sites(a, r);
	if (!rc)
		rc = archive_save_findings(a, r);
	if (!rc)
		rc = save_census(a, r);
	if (!rc)
		rc = put_part(a, &part_snapshot,
			      (int64_t[]){ a->moment, 1,
					   (int64_t)(a->sites.left_out + a->states.left_out) }, r);
	return rc;
}

int archive_save(struct archive *a, const struct report *r)
{
	int rc;

	a->moment++;
	rc = save_all(a, r);
	if (rc == -ENOMEM)
		store_roll_back(a->store);
	else
		rc = store_commit(a->store);
	a->rewrite = rc == -EAGAIN || rc == -ENOMEM;
	a->census_due &= a->rewrite;
	return rc == -EAGAIN ? 0 : rc;
}
