/* SPDX-License-Identifier: MIT */
#include "confirm.h"

#include <string.h>

#include "base/hashmap.h"

#define MAX_LISTS 64   /* of objects: by state and kind */
#define WINDOW_SLACK 2 /* objects may be born while a window closes */

/* Another kind of object lies there now. */
static void reject_other_kinds(struct census_ask *asks, const struct confirm_object *of, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (of[i].sample && asks[i].answer == CENSUS_HELD &&
		    strcmp(census_kind_name(asks[i].kind), kind_name(of[i].kind)))
			asks[i].answer = CENSUS_ABSENT;
}

/*
 * What a later window saw being born at the same address is another one: also where objects have
 * no order.
 */
static void reject_reused(struct census_ask *asks, const struct confirm_object *of, size_t n)
{
	struct hashmap later = { 0 }; /* state and address → window + 1 */

	for (size_t i = n; i-- > 0;) {
		const struct estimate_sample *x = of[i].sample;
		uint64_t *at =
			x ? hashmap_get_or_add(&later, (uint64_t)x->state << 48 ^ x->uaddr) : NULL;

		if (!at)
			continue;
		if (!*at)
			*at = x->window + 1ull;
		else if (*at > x->window + 1ull && asks[i].answer == CENSUS_HELD)
			asks[i].answer = CENSUS_ABSENT;
	}
	hashmap_deinit(&later);
}

/* Objects of one kind in one state, while windows are gone through from the latest back. */
struct newer {
	uint32_t state, window;
	enum block_kind kind;
	uint64_t later, here; /* the oldest one known of later windows, of this one */
};

static struct newer *newer_of(struct newer *v, size_t *n, uint32_t state, enum block_kind kind)
{
	for (size_t i = 0; i < *n; i++)
		if (v[i].state == state && v[i].kind == kind)
			return &v[i];
	if (*n == MAX_LISTS)
		return NULL;
	v[*n] = (struct newer){ .state = state, .kind = kind, .window = UINT32_MAX };
	return &v[(*n)++];
}

/*
 * An object that stands in the list before one that a later window saw being born is younger than
 * that: its memory was given away again, even if it looks the same.
 */
static void reject_younger(struct census_ask *asks, const struct confirm_object *of, size_t n)
{
	struct newer newer[MAX_LISTS];
	size_t n_newer = 0;

	for (size_t i = n; i-- > 0;) {
		const struct estimate_sample *x = of[i].sample;
		struct newer *w;

		if (!x || asks[i].answer != CENSUS_HELD || !asks[i].order)
			continue;
		w = newer_of(newer, &n_newer, x->state, of[i].kind);
		if (!w)
			continue;
		if (w->window != x->window) {
			w->later = w->here > w->later ? w->here : w->later;
			w->here = 0;
			w->window = x->window;
		}
		if (asks[i].order <= w->later)
			asks[i].answer = CENSUS_ABSENT;
		else if (asks[i].order > w->here)
			w->here = asks[i].order;
	}
}

/* What survived of one window in one list of the VM: userdata often have their own. */
struct survivors {
	uint32_t state;
	bool userdata;
	uint64_t oldest; /* place in the list of all objects */
};

static struct survivors *survivors_of(struct survivors *v, size_t *n,
				      const struct confirm_object *of)
{
	bool userdata = of->kind == KIND_USERDATA;

	for (size_t i = 0; i < *n; i++)
		if (v[i].state == of->sample->state && v[i].userdata == userdata)
			return &v[i];
	if (*n == MAX_LISTS)
		return NULL;
	v[*n] = (struct survivors){ .state = of->sample->state, .userdata = userdata };
	return &v[(*n)++];
}

/*
 * Those of one window stand together in the list, and nothing that was given their memory later is
 * older: what stands further from the oldest than as many as there were is another one.
 */
static void reject_outliers(struct census_ask *asks, const struct confirm_object *of, size_t n)
{
	struct survivors survivors[MAX_LISTS];
	size_t n_survivors = 0;

	for (size_t i = 0; i < n; i++) {
		struct survivors *l = survivors_of(survivors, &n_survivors, &of[i]);

		if (l && asks[i].order > l->oldest && asks[i].answer != CENSUS_ABSENT)
			l->oldest = asks[i].order;
	}
	for (size_t i = 0; i < n; i++) {
		const struct survivors *l = survivors_of(survivors, &n_survivors, &of[i]);

		if (l && asks[i].order && asks[i].answer == CENSUS_HELD &&
		    l->oldest - asks[i].order > WINDOW_SLACK * of[i].sample->survivors)
			asks[i].answer = CENSUS_ABSENT;
	}
}

static bool of_one_window(const struct confirm_object *a, const struct confirm_object *b)
{
	return a->sample && b->sample && a->sample->window == b->sample->window;
}

void confirm_reject(struct census_ask *asks, const struct confirm_object *of, size_t n)
{
	size_t from = 0;

	reject_reused(asks, of, n);
	reject_other_kinds(asks, of, n);
	reject_younger(asks, of, n);
	for (size_t i = 1; i <= n; i++) {
		if (i < n && of_one_window(&of[i], &of[from]))
			continue;
		if (of[from].sample)
			reject_outliers(asks + from, of + from, i - from);
		from = i;
	}
}
