/* SPDX-License-Identifier: MIT */
#include "flame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"

static const struct {
	const char *name, *unit, *title;
} metrics[METRIC_MAX] = {
	[METRIC_INUSE_SPACE] = { "inuse_space", "bytes", "live bytes" },
	[METRIC_INUSE_OBJECTS] = { "inuse_objects", "count", "live blocks" },
	[METRIC_ALLOC_SPACE] = { "alloc_space", "bytes", "bytes allocated" },
	[METRIC_ALLOC_OBJECTS] = { "alloc_objects", "count", "allocations" },
};

const char *metric_name(enum metric m)
{
	return metrics[m].name;
}

const char *metric_unit(enum metric m)
{
	return metrics[m].unit;
}

const char *metric_title(enum metric m)
{
	return metrics[m].title;
}

void flame_free(struct flame *f)
{
	if (!f)
		return;
	strpool_free(f->text);
	vec_deinit(&f->nodes);
	vec_deinit(&f->samples);
	vec_deinit(&f->states);
	vec_deinit(&f->kinds);
	hashmap_deinit(&f->node_by_key);
	hashmap_deinit(&f->sample_by_key);
	free(f);
}

int flame_new(struct flame **ret)
{
	struct flame *f = calloc(1, sizeof(*f));

	if (!f || !(f->text = strpool_new()) ||
	    vec_push(&f->nodes, (struct flame_node){ .label = strpool_add(f->text, "all"),
						     .class = FLAME_ROOT })) {
		flame_free(f);
		return -ENOMEM;
	}
	*ret = f;
	return 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void flame_frame_text(const struct report_frame *f, char *buf, size_t size)
{
	const char *where = f->lua;

	if (f->truncated) {
		snprintf(buf, size, "[stack goes on]");
	} else if (where) {
		snprintf(buf, size, "%s%s%s", f->name ? f->name : "", f->name ? " " : "",
			 fmt_chunk(where));
	} else if (f->name || f->native) {
		snprintf(buf, size, "[C] %s", f->name ? f->name : f->native);
	} else if (f->module) {
		snprintf(buf, size, "[C] %s+0x%llx", base_name(f->module),
			 (unsigned long long)f->offset);
	} else {
		snprintf(buf, size, "[C] built-in function");
	}
}

void flame_short_text(const char *label, char *buf, size_t size)
{
	const char *path = strchr(label, '/'), *last = strrchr(label, '/');

	if (path && (path == label || path[-1] == ' '))
		snprintf(buf, size, "%.*s%s", (int)(path - label), label, last + 1);
	else
		snprintf(buf, size, "%s", label);
}

enum flame_class flame_frame_class(const struct report_frame *f)
{
	if (f->truncated)
		return FLAME_NOTE;
	if (f->name && (!strcmp(f->name, "__gc") || !strcmp(f->name, "gc")))
		return FLAME_GC;
	if (!f->lua)
		return FLAME_C;
	return f->jit ? FLAME_JIT : FLAME_LUA;
}

/* Index of the child, made if need be; 0 when out of memory. */
static uint32_t child(struct flame *f, uint32_t parent, const char *text, enum flame_class class)
{
	uint32_t label = strpool_add(f->text, text);
	struct flame_node n = { .parent = parent, .label = label, .class = class,
				.depth = f->nodes.v[parent].depth + 1 };
	uint64_t *at = hashmap_get_or_add(&f->node_by_key, (uint64_t)parent << 34 |
					  (uint64_t)label << 3 | class);

	if (!at || !label)
		return 0;
	if (!*at) {
		if (vec_push(&f->nodes, n))
			return 0;
		*at = f->nodes.n - 1;
	}
	return (uint32_t)*at;
}

static uint32_t process_node(struct flame *f, const struct report *r, const struct report_site *s)
{
	uint32_t at = 0;
	char text[64];

	vec_each(p, &r->processes) {
		if (p->pid != s->pid)
			continue;
		if (r->processes.n > 1)
			snprintf(text, sizeof(text), "%s (%d)", p->comm, p->pid);
		else
			snprintf(text, sizeof(text), "%s", p->comm);
		at = child(f, 0, text, FLAME_ROOT);
		break;
	}
	if (!f->many_states)
		return at;
	snprintf(text, sizeof(text), "state %u", s->state);
	return child(f, at, text, FLAME_ROOT);
}

/* The node of the innermost frame of a stack; 0 when out of memory. */
static uint32_t stack_node(struct flame *f, const struct report *r, const struct report_site *s,
			   const struct report_stack *st)
{
	uint32_t at = process_node(f, r, s);
	char text[1400];

	for (uint32_t i = st ? st->n : 0; i-- > 0;) {
		const struct report_frame *frame = report_frame_at(r, st, i);

		flame_frame_text(frame, text, sizeof(text));
		at = child(f, at, text, flame_frame_class(frame));
		if (!at)
			return 0;
	}
	if (st && st->n)
		return at;
	if (!s->frame.lua)
		return child(f, at, "[no Lua code on the stack]", FLAME_NOTE);
	flame_frame_text(&s->frame, text, sizeof(text));
	return child(f, at, text, FLAME_LUA);
}

static uint32_t state_index(struct flame *f, const struct report_site *s)
{
	for (uint32_t i = 0; i < f->states.n; i++)
		if (f->states.v[i].pid == s->pid && f->states.v[i].state == s->state)
			return i;
	return vec_push(&f->states, (struct flame_state){ s->pid, s->state })
		       ? 0 : (uint32_t)f->states.n - 1;
}

static uint32_t kind_index(struct flame *f, const char *kind)
{
	for (uint32_t i = 0; i < f->kinds.n; i++)
		if (!strcmp(f->kinds.v[i], kind))
			return i;
	return vec_push(&f->kinds, kind) ? 0 : (uint32_t)f->kinds.n - 1;
}

static int add_values(struct flame *f, uint32_t node, const struct report_site *s,
		      const uint64_t v[METRIC_MAX], bool base)
{
	struct flame_sample fresh = { .node = node };
	uint64_t *at, *to;

	if (!node)
		return -ENOMEM;
	fresh.state = state_index(f, s);
	fresh.kind = kind_index(f, s->kind);
	at = hashmap_get_or_add(&f->sample_by_key, (uint64_t)node << 32 |
				(uint64_t)fresh.state << 8 | (fresh.kind + 1));
	if (!at)
		return -ENOMEM;
	if (!*at) {
		if (vec_push(&f->samples, fresh))
			return -ENOMEM;
		*at = f->samples.n;
	}
	to = base ? f->samples.v[*at - 1].base : f->samples.v[*at - 1].now;
	for (int m = 0; m < METRIC_MAX; m++)
		to[m] += v[m];
	return 0;
}

static int add_site(struct flame *f, const struct report *r, const struct report_site *s, bool base)
{
	uint64_t whole[] = { s->live_bytes, s->live_blocks, report_scaled(r, s->alloc_bytes),
			     report_scaled(r, s->allocs) };

	if (!s->n_stacks)
		return add_values(f, stack_node(f, r, s, NULL), s, whole, base);
	for (uint32_t i = 0; i < s->n_stacks; i++) {
		const struct report_stack *st = &r->stacks.v[s->first_stack + i];
		uint64_t v[] = { st->live_bytes, st->live_blocks,
				 report_scaled(r, st->alloc_bytes), report_scaled(r, st->allocs) };
		int rc = add_values(f, stack_node(f, r, s, st), s, v, base);

		if (rc)
			return rc;
	}
	return 0;
}

int flame_add(struct flame *f, const struct report *r, bool base)
{
	if (base)
		f->base_realtime_ns = r->end_realtime_ns;
	if (!f->samples.n)
		vec_each(s, &r->sites)
			f->many_states |= s->state != r->sites.v[0].state ||
					  s->pid != r->sites.v[0].pid;
	vec_each(s, &r->sites) {
		int rc = add_site(f, r, s, base);

		if (rc)
			return rc;
	}
	return 0;
}

void flame_finish(struct flame *f)
{
	vec_each(s, &f->samples)
		for (int m = 0; m < METRIC_MAX; m++)
			f->nodes.v[s->node].self[m] += s->now[m];
	for (size_t i = f->nodes.n; i-- > 0;) {
		struct flame_node *n = &f->nodes.v[i], *p = &f->nodes.v[n->parent];

		for (int m = 0; m < METRIC_MAX; m++) {
			n->total[m] += n->self[m];
			if (i)
				p->total[m] += n->total[m];
		}
		if (i) {
			n->next = p->first_child;
			p->first_child = (uint32_t)i;
		}
	}
}
