/* SPDX-License-Identifier: MIT */
#include "archive_load.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/fmt.h"

void loaded_report_free(struct loaded_report *l)
{
	report_deinit(&l->r);
	strpool_free(l->strings);
	memset(l, 0, sizeof(*l));
}

int load_bad_value(const struct loader *l, const char *table)
{
	return errmsg_set(l->err, -EBADMSG, "cannot read '%s': it is damaged (a value of table '%s')",
			  replay_path(l->from), table);
}

int load_out_of_memory(const struct loader *l)
{
	return errmsg_set(l->err, -ENOMEM, "out of memory");
}

/* The columns of a part for a SELECT; what an older file does not have is NULL. */
static void put_columns(FILE *f, const struct loader *l, const struct part *p, const char *alias,
			bool keys)
{
	for (size_t i = keys ? 0 : p->n_keys; i < p->n_keys + p->n; i++) {
		bool has = replay_has(l->from, p->table, p->columns[i]);

		fprintf(f, "%s%s%s%s", i > (keys ? 0 : p->n_keys) ? "," : "", has ? alias : "",
			has ? "." : "", has ? p->columns[i] : "NULL");
	}
}

/* SELECT keys and fields of one table, with what follows. */
char *load_select(const struct loader *l, const struct part *p, const char *tail)
{
	char *sql = NULL;
	size_t size;
	FILE *f = open_memstream(&sql, &size);

	if (!f)
		return NULL;
	fputs("SELECT ", f);
	put_columns(f, l, p, "t", true);
	fprintf(f, " FROM %s t %s", p->table, tail);
	fclose(f);
	return sql;
}

/* Identity and newest figures of things up to the moment. */
char *load_select_tracked(const struct loader *l, const struct part *identity,
			  const struct part *at, const char *order)
{
	char *sql = NULL;
	size_t size;
	FILE *f = open_memstream(&sql, &size);

	if (!f)
		return NULL;
	fputs("SELECT t.id,", f);
	put_columns(f, l, identity, "t", false);
	fputc(',', f);
	put_columns(f, l, at, "a", false);
	fprintf(f, " FROM %s t CROSS JOIN %s a ON a.%s = t.id AND a.snapshot = (SELECT max(snapshot)"
		" FROM %s WHERE %s = t.id AND snapshot <= ?1) WHERE a.present ORDER BY %s",
		identity->table, at->table, at->columns[0], at->table, at->columns[0], order);
	fclose(f);
	return sql;
}

int load_query(struct loader *l, char *sql, int (*fn)(const struct cell *, size_t, void *))
{
	auto_free char *owned = sql;

	return owned ? replay_query(l->from, owned, &l->moment, strstr(owned, "?1") != NULL, fn, l,
				    l->err) : load_out_of_memory(l);
}

/* meta: key, value */
static int take_meta(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report *r = &l->to->r;
	struct {
		const char *key;
		const char **value;
	} texts[] = {
		{ "kernel", &r->kernel },
		{ "command", &r->command },
		{ "version", &r->recorded_by },
	};

	(void)n;
	if (c[0].type != CELL_TEXT || c[1].type != CELL_TEXT)
		return load_bad_value(l, "meta");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!strcmp(c[0].text, texts[i].key))
			*texts[i].value = strpool_get(l->to->strings,
						      strpool_add(l->to->strings, c[1].text));
	if (!strcmp(c[0].text, "start_ns"))
		r->start_realtime_ns = strtoull(c[1].text, NULL, 10);
	if (!strcmp(c[0].text, "detail_since_ns"))
		r->detail_since_ns = strtoull(c[1].text, NULL, 10);
	return 0;
}

static int take_process(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report_process p = { .pid = (pid_t)c[0].i };

	(void)n;
	if (!part_set(&part_process, &p, c + 1, l->to->strings))
		return load_bad_value(l, "process");
	return vec_push(&l->to->r.processes, p) ? load_out_of_memory(l) : 0;
}

static int take_runtime(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report_runtime rt = { .pid = (pid_t)c[0].i, .runtime = (uint32_t)c[1].i };

	(void)n;
	if (!part_set(&part_runtime, &rt, c + 2, l->to->strings))
		return load_bad_value(l, "runtime");
	return vec_push(&l->to->r.runtimes, rt) ? load_out_of_memory(l) : 0;
}

static int take_function(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report_function f = { 0 };

	(void)n;
	if (!part_set(&part_function, &f, c + 3, l->to->strings))
		return load_bad_value(l, "function");
	vec_each(rt, &l->to->r.runtimes)
		if (rt->pid == c[0].i && rt->runtime == c[1].i)
			return vec_push(&rt->functions, f) ? load_out_of_memory(l) : 0;
	return 0;
}

static int take_state(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report *r = &l->to->r;
	struct report_state s = { 0 };
	uint64_t *at;

	(void)n;
	if (c[0].type != CELL_INT || c[0].i <= 0 ||
	    !part_set(&part_state, &s, c + 1, l->to->strings) ||
	    !part_set(&part_state_at, &s, c + 1 + part_state.n, l->to->strings))
		return load_bad_value(l, "state");
	if (s.closed_realtime_ns > r->end_realtime_ns)
		s.closed_realtime_ns = 0; /* not yet, at the moment asked for */
	if (r->states.n >= MAX_ROWS || vec_push(&r->states, s) || vec_push(&l->state_ids, c[0].i))
		return load_out_of_memory(l);
	at = hashmap_get_or_add(&l->state_by_id, (uint64_t)c[0].i);
	if (at)
		*at = r->states.n;
	return at ? 0 : load_out_of_memory(l);
}

/* state, first moment, lowest and highest heap, live bytes, GC cycles of one stretch */
static int take_point(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	const uint64_t *state = c[0].i ? hashmap_lookup(&l->state_by_id, (uint64_t)c[0].i) : NULL;
	struct report_point p = { 0 };

	for (size_t i = 0; i < n; i++)
		if (c[i].type != CELL_INT || c[i].i < 0)
			return c[i].type == CELL_NULL ? 0 : load_bad_value(l, "state_at");
	if (!state)
		return 0;
	p = (struct report_point){ (uint32_t)*state - 1, (uint64_t)c[1].i, (uint64_t)c[2].i,
				   (uint64_t)c[3].i, (uint64_t)c[4].i, (uint32_t)c[5].i };
	return vec_push(&l->to->r.series, p) ? load_out_of_memory(l) : 0;
}

static int take_event(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report_event e = { .time_ns = (uint64_t)c[0].i, .pid = (pid_t)c[3].i,
				  .state = (uint32_t)c[4].i };

	(void)n;
	if (c[0].type != CELL_INT || c[0].i < 0 || c[1].type != CELL_TEXT)
		return load_bad_value(l, "event");
	e.kind = strpool_get(l->to->strings, strpool_add(l->to->strings, c[1].text));
	if (c[2].type == CELL_TEXT)
		e.text = strpool_get(l->to->strings, strpool_add(l->to->strings, c[2].text));
	return vec_push(&l->to->r.events_log, e) ? load_out_of_memory(l) : 0;
}

#define STATES_LOADED 24
#define STRETCHES 300 /* of a recording: a page is a thousand pixels wide */

/* Weeks of moments become a few hundred stretches, with what was lowest and highest in each. */
static int load_state_series(struct loader *l, int64_t state)
{
	const struct report *r = &l->to->r;
	uint64_t span = r->end_realtime_ns - r->start_realtime_ns;
	int64_t args[] = { l->moment, (int64_t)r->start_realtime_ns,
			   span && span < INT64_MAX / STRETCHES ? (int64_t)span + 1 : INT64_MAX,
			   state };

	return replay_query(l->from,
			    "SELECT a.state, min(m.time_ns), min(a.heap_bytes), max(a.heap_bytes),"
			    " max(a.live_bytes), max(a.gc_cycles) FROM state_at a CROSS JOIN snapshot m"
			    " ON m.id = a.snapshot WHERE a.state = ?4 AND a.snapshot <= ?1 AND"
			    " a.heap_known GROUP BY (m.time_ns - ?2) * 300 / ?3 ORDER BY min(m.time_ns)",
			    args, 4, take_point, l, l->err);
}

struct ranked {
	uint64_t bytes;
	size_t position;
};

static int biggest_first(const void *pa, const void *pb)
{
	const struct ranked *a = pa, *b = pb;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a->position < b->position ? -1 : a->position > b->position;
}

/*
 * The biggest states, by position: those of a thousand could not be drawn, and take long to read.
 */
static struct ranked *rank_states(const struct report *r)
{
	struct ranked *all = calloc(r->states.n + 1, sizeof(*all));

	for (size_t i = 0; all && i < r->states.n; i++) {
		const struct report_state *s = &r->states.v[i];

		all[i] = (struct ranked){ s->heap_known ? s->heap_bytes : s->live_bytes, i };
	}
	if (all && r->states.n)
		qsort(all, r->states.n, sizeof(*all), biggest_first);
	return all;
}

static int load_series(struct loader *l)
{
	auto_free struct ranked *all = rank_states(&l->to->r);
	int rc = all ? 0 : load_out_of_memory(l);

	for (size_t i = 0; !rc && i < l->to->r.states.n && i < STATES_LOADED; i++)
		rc = load_state_series(l, l->state_ids.v[all[i].position]);
	return rc ? rc : replay_query(l->from, "SELECT time_ns, kind, text, pid, state FROM event"
				      " WHERE kind <> 'start' ORDER BY time_ns, id LIMIT 1000", NULL, 0,
				      take_event, l, l->err);
}

static int add_blind_spot(struct loader *l, const char *text)
{
	const char *kept = strpool_get(l->to->strings, strpool_add(l->to->strings, text));

	return vec_push(&l->to->r.blind_spots, kept) ? load_out_of_memory(l) : 0;
}

/* lost: cause, n. A cause that a later version counts is no less lost. */
static int take_lost(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	char text[200];

	(void)n;
	if (c[0].type != CELL_TEXT || c[1].type != CELL_INT || c[1].i < 0)
		return load_bad_value(l, "lost");
	for (unsigned int i = 0; i < LMT_STAT_MAX; i++) {
		if (strcmp(report_lost_key(i), c[0].text))
			continue;
		l->to->r.lost[i] = (uint64_t)c[1].i;
		return 0;
	}
	if (!c[1].i)
		return 0;
	snprintf(text, sizeof(text), "%lld lost for a cause this version does not know: %.60s",
		 (long long)c[1].i, c[0].text);
	return add_blind_spot(l, text);
}

static int take_blind_spot(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;

	(void)n;
	return c[0].type == CELL_TEXT ? add_blind_spot(l, c[0].text) : load_bad_value(l, "blind_spot");
}

static int take_snapshot(const struct cell *c, size_t n, void *ctx)
{
	struct loader *l = ctx;
	struct report *r = &l->to->r;

	(void)n;
	l->moment = c[0].i;
	r->detail_dropped = c[1].type == CELL_INT && !c[1].i;
	r->left_out = c[2].type == CELL_INT && c[2].i > 0 ? (uint64_t)c[2].i : 0;
	return part_set(&part_snapshot, r, c + 3, l->to->strings) ? 0 : load_bad_value(l, "snapshot");
}

static int find_moment(struct loader *l, uint64_t at_ns)
{
	int64_t at = at_ns > INT64_MAX ? INT64_MAX : (int64_t)at_ns;
	struct fmtbuf b;
	int rc;

	l->moment = at;
	rc = load_query(l, load_select(l, &part_snapshot, at_ns == ARCHIVE_LAST ? "ORDER BY id DESC LIMIT 1" :
				"WHERE time_ns <= ?1 ORDER BY id DESC LIMIT 1"), take_snapshot);
	if (!rc && !l->to->r.end_realtime_ns && at_ns >= l->to->r.start_realtime_ns)
		rc = load_query(l, load_select(l, &part_snapshot, "ORDER BY id LIMIT 1"), take_snapshot);
	if (rc || l->to->r.end_realtime_ns)
		return rc;
	if (at_ns >= l->to->r.start_realtime_ns)
		return errmsg_set(l->err, -EBADMSG, "cannot read '%s': nothing was recorded; %s",
				  replay_path(l->from), replay_lacks_log(l->from)
				  ? "the recording ended before its first moment, or its -wal file, which is "
				    "not beside it, has all"
				  : "the recording ended before its first moment");
	return errmsg_set(l->err, -EINVAL, "'%s' holds nothing before %s", replay_path(l->from),
			  fmt_rfc3339(&b, at_ns));
}

static int take_newest(const struct cell *c, size_t n, void *ctx)
{
	(void)n;
	((struct loader *)ctx)->newest_of_file = c[0].type == CELL_INT ? c[0].i : 0;
	return 0;
}

/* A recording without its end is whole up to its last commit; say that it broke off. */
static int note_end(struct loader *l)
{
	struct report *r = &l->to->r;
	int rc = load_query(l, strdup("SELECT max(id) FROM snapshot"), take_newest);

	if (rc)
		return rc;
	if (l->moment != l->newest_of_file)
		r->end_reason = "a moment before the end of the recording";
	else if (!r->last)
		r->end_reason = replay_lacks_log(l->from)
			? "the recording broke off here: its writer was killed, or the -wal file that "
			  "belongs beside it was not copied"
			: "the recording broke off here: its writer was killed, or is still at it";
	r->last = true;
	r->active = true;
	return 0;
}

static int load_all(struct loader *l, uint64_t at_ns)
{
	int rc = load_query(l, strdup("SELECT key, value FROM meta"), take_meta);

	rc = rc ? rc : find_moment(l, at_ns);
	rc = rc ? rc : note_end(l);
	rc = rc ? rc : load_query(l, load_select(l, &part_process, "ORDER BY rowid"), take_process);
	rc = rc ? rc : load_memory(l);
	rc = rc ? rc : load_query(l, load_select(l, &part_runtime, "ORDER BY 1, 2"), take_runtime);
	rc = rc ? rc : load_query(l, load_select(l, &part_function, "ORDER BY 1, 2, 3"), take_function);
	rc = rc ? rc : load_query(l, strdup("SELECT text FROM blind_spot WHERE snapshot <= ?1"
				    " ORDER BY id"),
			     take_blind_spot);
	rc = rc ? rc : load_query(l, strdup("SELECT cause, n FROM lost l WHERE snapshot = (SELECT"
				       " max(snapshot) FROM lost WHERE cause = l.cause AND"
				       " snapshot <= ?1)"), take_lost);
	rc = rc ? rc : load_query(l, load_select_tracked(l, &part_state, &part_state_at, "t.id"), take_state);
	rc = rc ? rc : load_sites(l);
	rc = rc ? rc : load_findings(l);
	rc = rc ? rc : load_census(l);
	return rc;
}

int archive_load_head(struct replay *from, struct loaded_report *ret, struct errmsg *err)
{
	struct loader l = { .from = from, .to = ret, .err = err };

	ret->strings = strpool_new();
	return ret->strings ? load_query(&l, strdup("SELECT key, value FROM meta"), take_meta) :
			      load_out_of_memory(&l);
}

int archive_load(struct replay *from, uint64_t at_ns, bool series, struct loaded_report *ret,
		 struct errmsg *err)
{
	struct loaded_report to = { .strings = strpool_new() };
	struct loader l = { .from = from, .to = &to, .err = err };
	int rc = to.strings ? load_all(&l, at_ns) : load_out_of_memory(&l);

	if (!rc && series)
		rc = load_series(&l);
	vec_deinit(&l.state_ids);
	hashmap_deinit(&l.state_by_id);
	hashmap_deinit(&l.frame_by_id);
	hashmap_deinit(&l.finding_by_id);
	hashmap_deinit(&l.site_by_id);
	if (rc) {
		loaded_report_free(&to);
		return rc;
	}
	*ret = to;
	return 0;
}
