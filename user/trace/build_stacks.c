/* SPDX-License-Identifier: MIT */
#include "build_stacks.h"

#include <errno.h>
#include <stdlib.h>

static const char *known(const struct session *s, uint32_t id)
{
	return id ? strpool_get(s->names.strings, id) : NULL;
}

int build_frames(const struct session *s, struct built_report *b)
{
	vec_each(f, &s->names.stacks.frames) {
		struct report_frame out = {
			.lua = known(s, f->where),
			.name = known(s, f->name),
			.approx = f->flags & STACK_APPROX,
			.tail = f->flags & STACK_TAIL,
			.jit = f->flags & STACK_JIT,
			.thread = f->flags & STACK_THREAD,
			.truncated = f->kind == STACK_TRUNCATED,
			.native = known(s, f->native),
			.module = known(s, f->module),
			.offset = f->offset,
			.line_defined = f->line_defined,
		};

		if (vec_push(&b->r.frames, out))
			return -ENOMEM;
	}
	return 0;
}

int build_one_stack(const struct session *s, struct built_report *b, uint32_t stack,
		    struct report_stack *out)
{
	uint32_t frames[STACKDB_FRAMES];
	size_t n = stackdb_frames(&s->names.stacks, stack, frames, STACKDB_FRAMES);

	out->first = (uint32_t)b->r.stack_frames.n;
	for (size_t i = 0; i < n; i++) {
		if (s->cfg.lua_only && s->names.stacks.frames.v[frames[i]].kind == STACK_NATIVE)
			continue;
		if (vec_push(&b->r.stack_frames, frames[i]))
			return -ENOMEM;
	}
	out->n = (uint32_t)b->r.stack_frames.n - out->first;
	return 0;
}

static int add_stack(const struct session *s, struct built_report *b,
		     const struct heap_share *share)
{
	struct report_stack out = {
		.samples = share->samples,
		.error_pct = share->error_pct,
		.live_bytes = share->live_bytes,
		.live_blocks = share->live_blocks,
		.old_bytes = share->old_bytes,
		.allocs = share->allocs,
		.alloc_bytes = share->alloc_bytes,
		.growth_bytes_per_s = share->growth_bytes_per_s,
	};

	if (build_one_stack(s, b, share->stack, &out))
		return -ENOMEM;
	return vec_push(&b->r.stacks, out);
}

int build_site_stacks(const struct session *s, struct built_report *b, size_t site,
		      struct report_site *out)
{
	struct heap_share *shares;
	int n = heap_share(&s->heap, site, &shares), rc = 0;

	if (n < 0)
		return n;
	out->first_stack = (uint32_t)b->r.stacks.n;
	out->n_stacks = (uint32_t)n;
	for (int i = 0; !rc && i < n; i++)
		rc = add_stack(s, b, &shares[i]);
	free(shares);
	return rc;
}
