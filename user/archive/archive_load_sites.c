/* SPDX-License-Identifier: MIT */
/* Sites, their stacks, and the frames of those. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive_load.h"

static int take_frame(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report_frame f = { 0 };
	uint64_t *at;

	(void)n;
	if (c[0].type != CELL_INT || c[0].i <= 0 ||
	    !part_set(&part_frame, &f, c + 1, l->to->strings))
		return load_bad_value(l, "frame");
	at = hashmap_get_or_add(&l->frame_by_id, (uint64_t)c[0].i);
	if (!at || l->to->r.frames.n >= MAX_ROWS || vec_push(&l->to->r.frames, f))
		return load_out_of_memory(l);
	*at = l->to->r.frames.n;
	return 0;
}

static int take_site(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report *r = &l->to->r;
	struct report_site s = { 0 };
	uint64_t *at;

	(void)n;
	if (!part_set(&part_site, &s, c + 1, l->to->strings) ||
	    !part_set(&part_site_at, &s, c + 1 + part_site.n, l->to->strings))
		return load_bad_value(l, "site");
	at = c[0].type == CELL_INT && c[0].i > 0 ?
		hashmap_get_or_add(&l->site_by_id, (uint64_t)c[0].i) : NULL;
	if (!at || r->sites.n >= MAX_ROWS || vec_push(&r->sites, s))
		return load_out_of_memory(l);
	*at = r->sites.n;
	return 0;
}

int load_more_frames(struct loader *l, const char *text, struct report_stack *s)
{
	struct report *r = &l->to->r;

	while (*text) {
		char *end;
		unsigned long long id = strtoull(text, &end, 10);
		const uint64_t *at = id && end != text ? hashmap_lookup(&l->frame_by_id, id) : NULL;

		if (!at || (*end && *end != ' '))
			return load_bad_value(l, "stack");
		if (r->stack_frames.n >= 4 * MAX_ROWS ||
		    vec_push(&r->stack_frames, (uint32_t)*at - 1))
			return load_out_of_memory(l);
		s->n++;
		text = *end ? end + 1 : end;
	}
	return 0;
}

int load_frames(struct loader *l, const char *text, struct report_stack *s)
{
	s->first = (uint32_t)l->to->r.stack_frames.n;
	s->n = 0;
	return load_more_frames(l, text, s);
}

/* Stacks come site by site, in their order. */
static int take_stack(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report *r = &l->to->r;
	struct stored_stack st = { 0 };
	const uint64_t *at;
	struct report_site *site;
	int rc;

	(void)n;
	if (!part_set(&part_stack, &st, c + 1, l->to->strings) ||
	    !part_set(&part_stack_at, &st, c + 1 + part_stack.n, l->to->strings))
		return load_bad_value(l, "stack");
	at = st.site ? hashmap_lookup(&l->site_by_id, st.site) : NULL;
	if (!at)
		return 0;
	site = &r->sites.v[*at - 1];
	if (site->n_stacks && site->first_stack + site->n_stacks != r->stacks.n)
		return load_bad_value(l, "stack");
	rc = load_frames(l, st.frames, &st.s);
	if (rc)
		return rc;
	if (!site->n_stacks++)
		site->first_stack = (uint32_t)r->stacks.n;
	return r->stacks.n >= MAX_ROWS || vec_push(&r->stacks, st.s) ? load_out_of_memory(l) : 0;
}

int load_sites(struct loader *l)
{
	int rc = load_query(l, load_select(l, &part_frame, "ORDER BY id"), take_frame);

	rc = rc ? rc : load_query(l, load_select_tracked(l, &part_site, &part_site_at, "t.id"), take_site);
	return rc ? rc : load_query(l, load_select_tracked(l, &part_stack, &part_stack_at,
							   "t.site, a.rank, t.id"), take_stack);
}
