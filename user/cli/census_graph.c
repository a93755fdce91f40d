/* SPDX-License-Identifier: MIT */
#include "census_graph.h"

#include <errno.h>
#include <string.h>

/* "registry;.cache;[*];table", outermost first; a report's stacks are innermost first. */
static int add_frames(struct built_report *b, char *text, struct report_stack *st,
		      const char **kind_ret)
{
	char *cut = strrchr(text, ';');

	*kind_ret = built_report_keep(b, cut ? cut + 1 : text);
	while (cut) {
		*cut = '\0';
		cut = strrchr(text, ';');
		if (vec_push(&b->r.frames, (struct report_frame){
				.lua = built_report_keep(b, cut ? cut + 1 : text) }) ||
		    vec_push(&b->r.stack_frames, (uint32_t)(b->r.frames.n - 1)))
			return -ENOMEM;
		st->n++;
	}
	return 0;
}

static int add_stack(struct built_report *b, const struct census *c, uint32_t state,
		     const struct census_stack *from)
{
	struct report_stack st = { .first = (uint32_t)b->r.stack_frames.n, .samples = 1,
				   .live_bytes = from->bytes, .live_blocks = from->count };
	struct report_site site = { .pid = c->target->pid, .state = state, .n_stacks = 1,
				    .first_stack = (uint32_t)b->r.stacks.n,
				    .live_bytes = from->bytes, .live_blocks = from->count };
	char text[8192];

	strncpy(text, strpool_get(c->pool, from->text), sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	if (add_frames(b, text, &st, &site.kind))
		return -ENOMEM;
	return vec_push(&b->r.stacks, st) || vec_push(&b->r.sites, site) ? -ENOMEM : 0;
}

int census_graph_add(struct built_report *b, const struct census *c, uint32_t first)
{
	vec_each(s, &c->states)
		vec_each(st, &s->stacks)
			if (add_stack(b, c, first + s->index, st))
				return -ENOMEM;
	return 0;
}
