/* SPDX-License-Identifier: MIT */
#include "diff.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hashmap.h"
#include "base/strpool.h"

struct builder {
	struct diff *d;
	struct strpool *keys;
	struct hashmap by_key; /* key → position + 1 in the rows of its sort */
};

void diff_deinit(struct diff *d)
{
	for (int i = 0; i < DIFF_MAX; i++)
		vec_deinit(&d->rows[i]);
}

static const char *comm_of(const struct report *r, pid_t pid)
{
	vec_each(p, &r->processes)
		if (p->pid == pid)
			return p->comm;
	return "";
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

/* The row that is the same thing as this one, made if there is none; NULL when out of memory. */
static struct diff_row *row_for(struct builder *b, const struct diff_row *like)
{
	auto_free char *key = NULL;
	struct diff *d = b->d;
	uint64_t *at;

	if (asprintf(&key, "%d %s %d %" PRIu32 " %s %s\n%s\n%s", like->of, like->comm, like->pid,
		     like->state, or_empty(like->kind), or_empty(like->frame.lua),
		     or_empty(like->frame.name), or_empty(like->origin)) < 0)
		return NULL;
	at = hashmap_get_or_add(&b->by_key, strpool_add(b->keys, key));
	if (!at)
		return NULL;
	if (!*at) {
		if (vec_push(&d->rows[like->of], *like))
			return NULL;
		*at = d->rows[like->of].n;
	}
	return &d->rows[like->of].v[*at - 1];
}

static int add(struct builder *b, const struct diff_row *like, bool later, uint64_t bytes,
	       uint64_t blocks)
{
	struct diff_row *row = row_for(b, like);
	struct diff_figures *f = row ? later ? &row->after : &row->before : NULL;

	if (!row)
		return -ENOMEM;
	f->bytes += bytes;
	f->blocks += blocks;
	if (later && like->verdict > row->verdict)
		row->verdict = like->verdict;
	if (later && like->path)
		row->path = like->path;
	return 0;
}

static int add_site(struct builder *b, const struct report *r, const struct report_site *s,
		    bool later)
{
	struct diff_row row = {
		.of = DIFF_SITE,
		.comm = comm_of(r, s->pid),
		.pid = b->d->one_run ? s->pid : 0,
		.state = b->d->one_run ? s->state : 0,
		.kind = s->kind,
		.frame = s->frame,
		.verdict = later ? s->verdict : VERDICT_YOUNG,
	};
	int rc = add(b, &row, later, s->live_bytes, s->live_blocks);

	row = (struct diff_row){
		.of = DIFF_KIND, .comm = row.comm, .pid = row.pid, .kind = s->kind
	};
	return rc ? rc : add(b, &row, later, s->live_bytes, s->live_blocks);
}

/* What lay on the heaps, where they were walked before both moments. */
static int add_objects(struct builder *b, const struct report *r, bool later)
{
	int rc = 0;

	if (!b->d->a->objects.n || !b->d->b->objects.n)
		return 0;
	vec_each(o, &r->objects) {
		struct diff_row row = { .of = DIFF_OBJECT, .comm = comm_of(r, o->pid),
					.pid = b->d->one_run ? o->pid : 0,
					.state = b->d->one_run ? o->state : 0,
					.kind = o->kind, .origin = o->origin, .path = o->path };

		if (!rc && !o->dead)
			rc = add(b, &row, later, o->bytes, o->count);
	}
	return rc;
}

static int add_report(struct builder *b, const struct report *r, bool later)
{
	int rc = add_objects(b, r, later);

	vec_each(s, &r->states) {
		struct diff_row row = { .of = DIFF_STATE, .comm = comm_of(r, s->pid),
					.pid = b->d->one_run ? s->pid : 0,
					.state = b->d->one_run ? s->state : 0 };

		rc = rc ? rc : add(b, &row, later, s->heap_known ? s->heap_bytes : s->live_bytes,
				   s->live_blocks);
	}
	for (size_t i = 0; !rc && i < r->sites.n; i++)
		rc = add_site(b, r, &r->sites.v[i], later);
	return rc;
}

static int most_grown_first(const void *pa, const void *pb)
{
	const struct diff_row *a = pa, *b = pb;
	int64_t ga = diff_growth(a), gb = diff_growth(b);
	int c;

	if (ga != gb)
		return ga > gb ? -1 : 1;
	c = strcmp(or_empty(a->frame.lua), or_empty(b->frame.lua));
	c = c ? c : strcmp(or_empty(a->origin), or_empty(b->origin));
	return c ? c : strcmp(or_empty(a->kind), or_empty(b->kind));
}

/* Same start, same processes: two moments of one recording. */
static bool is_one_run(const struct report *a, const struct report *b)
{
	return a->start_realtime_ns == b->start_realtime_ns && a->processes.n && b->processes.n &&
	       a->processes.v[0].pid == b->processes.v[0].pid;
}

int diff_build(const struct report *a, const struct report *b, uint64_t min_growth,
	       struct diff *ret)
{
	struct diff d = { .a = a, .b = b, .one_run = is_one_run(a, b), .min_growth = min_growth };
	struct builder builder = { .d = &d, .keys = strpool_new() };
	int rc = builder.keys ? add_report(&builder, a, false) : -ENOMEM;

	if (!rc)
		rc = add_report(&builder, b, true);
	hashmap_deinit(&builder.by_key);
	strpool_free(builder.keys);
	if (rc) {
		diff_deinit(&d);
		return rc;
	}
	for (int i = 0; i < DIFF_MAX; i++)
		if (d.rows[i].n)
			qsort(d.rows[i].v, d.rows[i].n, sizeof(*d.rows[i].v), most_grown_first);
	*ret = d;
	return 0;
}

bool diff_grew(const struct diff *d, const struct diff_row *r)
{
	int64_t growth = diff_growth(r);

	return growth > 0 && (uint64_t)growth >= d->min_growth &&
	       (uint64_t)growth > r->before.bytes / 16;
}

size_t diff_count_grown(const struct diff *d)
{
	size_t n = 0;

	vec_each(r, &d->rows[DIFF_SITE])
		n += diff_grew(d, r);
	return n;
}
