/* SPDX-License-Identifier: MIT */
/* The census of a recording: walks the heaps, writes what was found as rows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archive/archive_fields.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "census/census.h"
#include "record_census.h"
#include "trace/session.h"

#define PROCESSES 16   /* the biggest */
#define STATES 64      /* of a process, the biggest */
#define OBJECTS 100    /* of a state: kinds and origins */
#define DEAD_OBJECTS 20
#define HOLDERS 20
#define ROWS 4000      /* in all */
#define HEAP_MAX (4ull << 30) /* a copy of more would be a danger to the machine */

struct child {
	struct session *s;
	const char *reason;
	FILE *out;
	size_t rows;
	uint64_t time_ns;
};

static void put_cell(FILE *out, const struct cell *c)
{
	uint32_t len = c->type == CELL_TEXT ? (uint32_t)strlen(c->text) : 0;

	putc((int)c->type, out);
	if (c->type == CELL_INT)
		fwrite(&c->i, sizeof(c->i), 1, out);
	if (c->type != CELL_TEXT)
		return;
	fwrite(&len, sizeof(len), 1, out);
	fwrite(c->text, 1, len, out);
}

static void put_row(struct child *k, enum census_row row, const struct part *p, const void *obj)
{
	struct cell cells[PART_COLUMNS];

	if (k->rows++ >= ROWS)
		return;
	part_get(p, obj, cells);
	putc((int)row, k->out);
	for (size_t i = 0; i < p->n; i++)
		put_cell(k->out, &cells[i]);
}

/* Steps and arrows; a step that holds an arrow, which a key of a table may, loses it. */
static const char *path_text(const struct census *c, const struct census_path *p, char *buf,
			     size_t size)
{
	size_t at = 0;

	for (unsigned int i = 0; i < p->n; i++) {
		auto_free char *step = strdup(strpool_get(c->pool, p->step[i]));
		char *arrow = step;
		int n;

		while (arrow && (arrow = strstr(arrow, "→")))
			memcpy(arrow, "-->", 3);
		n = snprintf(buf + at, size - at, "%s%s", i ? REPORT_ARROW : "", step ? step : "?");
		if (n < 0 || (size_t)n >= size - at)
			break;
		at += (size_t)n;
	}
	buf[at] = '\0';
	return at ? buf : NULL;
}

/* What the session calls the state; 0: it has not met it yet. */
static uint32_t number_of(const struct child *k, pid_t pid, uint64_t G)
{
	vec_each(h, &k->s->heap.states)
		if (h->pid == pid && h->st.g == G && h->number && !h->closed && !h->ended)
			return h->number;
	return 0;
}

static const char *known(const struct census *c, uint32_t text)
{
	return text ? strpool_get(c->pool, text) : NULL;
}

static void put_groups(struct child *k, const struct census *c, const struct census_state *s,
		       uint32_t number)
{
	size_t shown[2] = { 0 };
	char path[4000];

	vec_each(g, &s->groups) {
		struct report_object o = {
			.pid = c->target->pid, .state = number, .kind = census_kind_name(g->kind),
			.origin = known(c, g->origin), .dead = g->dead, .count = g->count,
			.bytes = g->bytes, .path = path_text(c, &g->path, path, sizeof(path)),
		};

		if (shown[g->dead]++ < (g->dead ? DEAD_OBJECTS : OBJECTS))
			put_row(k, CENSUS_ROW_OBJECT, &part_object, &o);
	}
	vec_each(h, &s->holders) {
		struct report_holder o = {
			.pid = c->target->pid,
			.state = number,
			.kind = census_kind_name(h->kind),
			.origin = known(c, h->origin),
			.bytes = h->bytes,
			.retained_bytes = h->retained,
			.path = path_text(c, &h->path, path, sizeof(path)),
		};

		put_row(k, CENSUS_ROW_HOLDER, &part_holder, &o);
	}
}

static void put_census(struct child *k, const struct census *c, const struct census_state *s,
		       uint32_t number)
{
	struct report_census o = {
		.pid = c->target->pid, .state = number, .time_ns = k->time_ns, .reason = k->reason,
		.pause_ns = c->copier.pause_ns,
	};

	if (s->done) {
		o.heap_bytes = s->vm_bytes;
		o.held_objects = s->live_objects;
		o.held_bytes = s->live_bytes;
		o.dead_objects = s->dead_objects;
		o.dead_bytes = s->dead_bytes;
	} else {
		o.why_not = c->not_stopped ? c->not_stopped : s->refused ? known(c, s->refused)
									 : "it could not be walked";
	}
	put_row(k, CENSUS_ROW_CENSUS, &part_census, &o);
	if (s->done)
		put_groups(k, c, s, number);
}

static void put_refusal(struct child *k, pid_t pid, const char *why)
{
	struct report_census o = { .pid = pid, .time_ns = k->time_ns, .reason = k->reason,
				   .why_not = why };

	put_row(k, CENSUS_ROW_CENSUS, &part_census, &o);
}

static int biggest_state(const void *pa, const void *pb)
{
	const struct resolved_state *a = pa, *b = pb;

	return a->gc.heap_bytes == b->gc.heap_bytes  ? 0
	       : a->gc.heap_bytes > b->gc.heap_bytes ? -1
						     : 1;
}

/* The biggest states of the process; all that they hold, in *bytes_ret. */
static void keep_biggest(struct resolved *r, uint64_t *bytes_ret)
{
	if (r->states.n)
		qsort(r->states.v, r->states.n, sizeof(*r->states.v), biggest_state);
	if (r->states.n > STATES)
		r->states.n = STATES;
	*bytes_ret = 0;
	vec_each(st, &r->states)
		*bytes_ret += st->gc.heap_bytes;
}

static void take_states(struct child *k, const struct target *t, const struct memread *mem,
			const struct resolved *res)
{
	struct census_options opt = {
		.by = CENSUS_BY_ORIGIN, .top = HOLDERS,
		.pause_budget_ns = k->s->cfg.pause_budget_ms * 1000000,
	};
	struct census c;
	struct errmsg err;
	int rc;

	census_init(&c, t, mem, res, &opt);
	rc = census_take(&c, &err);
	if (rc)
		put_refusal(k, t->pid, err.text);
	vec_each(st, &c.states) {
		uint32_t number = number_of(k, t->pid, res->states.v[st->index].G);

		if (!rc && number && !st->gone)
			put_census(k, &c, st, number);
	}
}

/* States may have come since the attach: looks for all of them again. */
static void take_process(struct child *k, pid_t pid)
{
	struct target *t = NULL;
	struct memread mem;
	struct resolved *res = NULL;
	struct errmsg err;
	uint64_t bytes;

	k->time_ns = session_realtime(k->s, clock_ns(CLOCK_MONOTONIC));
	if (target_open(pid, &t, &err))
		return; /* it has ended */
	if (memread_open_process(pid, &mem) ||
	    resolve_process(t, &mem, &k->s->files, &res, &err)) {
		put_refusal(k, pid, "its memory could not be read");
		return;
	}
	keep_biggest(res, &bytes);
	if (bytes > HEAP_MAX)
		put_refusal(k, pid, "its heaps are too large to be copied");
	else if (res->states.n)
		take_states(k, t, &mem, res);
	fflush(k->out); /* what comes later may be cut off */
}

struct ranked {
	pid_t pid;
	uint64_t bytes;
};

static int biggest_process(const void *pa, const void *pb)
{
	const struct ranked *a = pa, *b = pb;

	return a->bytes == b->bytes ? 0 : a->bytes > b->bytes ? -1 : 1;
}

/* This process ends afterwards: what was opened is not given back. */
void record_census_take(struct session *s, const char *reason, FILE *out)
{
	struct child k = { .s = s, .reason = reason, .out = out };
	vec_of(struct ranked) all = { 0 };

	vec_each(t, &s->targets.all) {
		struct ranked r = { .pid = t->target->pid };

		if (session_target_ended(t))
			continue;
		vec_each(h, &s->heap.states)
			if (h->pid == r.pid && !h->closed && !h->ended)
				r.bytes += h->heap_bytes;
		if (r.bytes && vec_push(&all, r))
			break;
	}
	if (all.n)
		qsort(all.v, all.n, sizeof(*all.v), biggest_process);
	for (size_t i = 0; i < all.n && i < PROCESSES; i++)
		take_process(&k, all.v[i].pid);
}
