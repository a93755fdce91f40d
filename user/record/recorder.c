/* SPDX-License-Identifier: MIT */
#include "recorder.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "archive/archive.h"
#include "archive/store.h"
#include "base/clock.h"
#include "base/fmt.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "record_census.h"
#include "trace/build_report.h"
#include "trace/session.h"
#include "trigger.h"

#define RING_BYTES (64u << 20)

struct recorder {
	struct trace_sink sink;
	struct recorder_config cfg;
	struct store *store;
	struct archive *archive;
	struct hashmap mapped; /* processes whose mappings are kept */
	struct triggers *triggers; /* NULL: written from the start */
	struct record_census *census; /* NULL: none are taken */
	const char *asked;         /* why one is wanted now */
	bool waiting;              /* in memory, for a trigger */
	uint64_t moments;
	bool complained;       /* that writing failed */
};

static struct recorder *recorder_of(const struct trace_sink *k)
{
	return (struct recorder *)k;
}

static void free_recorder(struct trace_sink *k)
{
	struct recorder *r = recorder_of(k);

	/* The trace could not begin: a file without a moment in it would only puzzle. */
	if (r->store && !r->moments && !r->waiting)
		unlink(r->cfg.path);
	record_census_free(r->census);
	archive_free(r->archive);
	triggers_free(r->triggers);
	store_free(r->store);
	hashmap_deinit(&r->mapped);
	free(r);
}

static void put_meta(struct recorder *r, const struct session *s)
{
	struct built_report b = { 0 };
	char number[32];

	snprintf(number, sizeof(number), "%" PRIu64, s->clock.start_realtime_ns);
	archive_put_meta(r->archive, "start_ns", number);
	archive_put_meta(r->archive, "version", LMT_VERSION);
	archive_put_meta(r->archive, "command", s->cfg.command_line);
	build_report_header(s, &b.r);
	archive_put_meta(r->archive, "kernel", b.r.kernel);
	build_report_free(&b);
}

static struct store_config file_config(const struct recorder_config *c)
{
	return (struct store_config){ c->path, c->force, c->max_bytes, 0 };
}

/* Tells now, not at three in the morning, that the file cannot be made. */
static int try_file(const struct recorder_config *c, struct errmsg *err)
{
	struct store_config cfg = file_config(c);
	struct store *s = NULL;
	int rc;

	cfg.force = false;
	if (c->force && !access(c->path, W_OK))
		return 0; /* is overwritten only when there is something to write */
	rc = store_create(&cfg, &s, err);
	if (rc)
		return rc;
	store_free(s);
	unlink(c->path);
	return 0;
}

static int open_store(struct recorder *r, struct errmsg *err)
{
	struct store_config cfg = file_config(&r->cfg);
	int rc = 0;

	if (r->cfg.trigger)
		rc = triggers_parse(r->cfg.trigger, &r->triggers, err);
	if (!rc && r->triggers) {
		rc = try_file(&r->cfg, err);
		r->waiting = true;
		cfg = (struct store_config){ NULL, false, RING_BYTES,
					     (uint64_t)(r->cfg.before_s * 1e9) };
	}
	if (!rc)
		rc = store_create(&cfg, &r->store, err);
	if (!rc && archive_new(r->store, &r->archive))
		rc = errmsg_set(err, -ENOMEM, "out of memory");
	if (!rc && r->cfg.census && record_census_new(&r->census))
		rc = errmsg_set(err, -ENOMEM, "out of memory");
	return rc;
}

static int open_recorder(struct trace_sink *k, struct session *s, struct errmsg *err)
{
	struct recorder *r = recorder_of(k);
	int rc = open_store(r, err);

	if (rc)
		return rc;
	put_meta(r, s);
	store_commit(r->store);
	return store_error(r->store) ? errmsg_set(err, -EIO, "%s", store_error(r->store)->text) : 0;
}

static uint64_t realtime_now(const struct session *s)
{
	return session_realtime(s, clock_ns(CLOCK_MONOTONIC));
}

/* From memory into the file, and on in the file. */
static void write_out(struct recorder *r, const struct session *s, const char *kind,
		      const char *why)
{
	struct store_config cfg = file_config(&r->cfg);

	archive_put_event(r->archive, realtime_now(s), kind, 0, 0, why);
	r->asked = kind;
	log_info("%s: %s%s%s", kind, why, r->waiting ? "; writing " : "",
		 r->waiting ? r->cfg.path : "");
	if (r->waiting && !store_to_file(r->store, &cfg, NULL))
		r->waiting = false;
}

static void on_target_end(struct trace_sink *k, struct session *s, pid_t pid, int status)
{
	struct recorder *r = recorder_of(k);
	char text[96], why[256];

	if (store_error(r->store))
		return;
	fmt_exit_status(status, text, sizeof(text));
	archive_put_event(r->archive, realtime_now(s), "end", pid, 0, *text ? text : "ended");
	if (triggers_check_end(r->triggers, pid, status, why, sizeof(why)))
		write_out(r, s, "trigger", why);
}

/* Write what is in memory now; a mark in the file in any case. */
static void on_signal(struct trace_sink *k, struct session *s)
{
	struct recorder *r = recorder_of(k);

	if (!store_error(r->store))
		write_out(r, s, "mark", "SIGUSR1");
}

static int put_maps(struct recorder *r, const struct session *s)
{
	vec_each(t, &s->targets.all) {
		uint64_t *known = hashmap_get_or_add(&r->mapped, (uint64_t)t->target->pid);

		if (!known)
			return -ENOMEM;
		if (*known)
			continue;
		*known = 1;
		vec_each(m, &t->target->maps.maps)
			archive_put_map(r->archive, t->target->pid, m->start, m->end, m->offset,
					m->path, m->deleted);
	}
	return 0;
}

/* The census that is there goes into the moment; another may begin. */
static int take_census(struct recorder *r, struct session *s, struct report *to, bool last)
{
	int rc;

	if (!r->census)
		return 0;
	rc = last ? 0 : record_census_look(r->census, s, to, &r->asked);
	to->new_census = record_census_is_new(r->census);
	return rc || last ? rc : record_census_show(r->census, s, to);
}

static int add_to_last(const struct trace_sink *k, const struct session *s, struct report *to)
{
	const struct recorder *r = recorder_of(k);

	return r->census ? record_census_show(r->census, s, to) : 0;
}

/* Looks at the heaps once more. */
static int before_end(struct trace_sink *k, struct session *s, bool broke_off)
{
	struct recorder *r = recorder_of(k);

	return !broke_off && r->census && !r->waiting && !store_error(r->store) ?
		record_census_end(r->census, s) : 0;
}

static void complain_once(struct recorder *r)
{
	if (!store_error(r->store) || r->complained)
		return;
	r->complained = true;
	log_warn("%s; the recording ends here, what is in the file can be read", store_error(r->store)->text);
}

/* Keeps a moment. Only -ENOMEM is an error: that the disk is full does not end the trace. */
static int on_look(struct trace_sink *k, struct session *s, const struct trace_look *l)
{
	struct built_report b = { .r.last = l->last, .whole = true };
	struct recorder *r = recorder_of(k);
	char why[256];
	int rc;

	/* The first moment is what the others are compared with. */
	if (store_error(r->store) || (r->moments && !l->report && !l->last && r->cfg.only_reports))
		return 0;
	rc = build_report_static(s, true, false, &b);
	if (!rc)
		rc = build_report_live(s, l->snap, &b);
	b.r.end_reason = l->last ? session_end_reason(s) : NULL;
	if (!rc)
		rc = put_maps(r, s);
	if (!rc)
		rc = take_census(r, s, &b.r, l->last);
	if (!rc) {
		rc = archive_save(r->archive, &b.r);
		r->moments++;
		if (triggers_check(r->triggers, &b.r, why, sizeof(why)))
			write_out(r, s, "trigger", why);
	}
	build_report_free(&b);
	complain_once(r);
	return rc == -ENOMEM && !store_error(r->store) ? rc : 0;
}

static const struct errmsg *error(const struct trace_sink *k)
{
	return store_error(recorder_of(k)->store);
}

static int close_recorder(struct trace_sink *k, struct errmsg *err)
{
	struct recorder *r = recorder_of(k);
	struct fmtbuf a, b;

	if (r->waiting && !store_error(r->store)) {
		log_info("no trigger fired: '%s' was not written", r->cfg.path);
		return 0;
	}
	store_finish(r->store);
	if (store_error(r->store))
		return errmsg_set(err, -EIO, "%s", store_error(r->store)->text);
	log_info("wrote '%s': %s moments, %s; 'luamemtrace report %s' shows it", r->cfg.path,
		 fmt_count(&a, r->moments), fmt_bytes(&b, store_bytes(r->store)), r->cfg.path);
	return 0;
}

static const struct trace_sink_ops ops = {
	.open = open_recorder,
	.on_look = on_look,
	.on_target_end = on_target_end,
	.on_signal = on_signal,
	.before_end = before_end,
	.add_to_last = add_to_last,
	.error = error,
	.close = close_recorder,
	.free = free_recorder,
};

int recorder_new(const struct recorder_config *cfg, struct trace_sink **ret)
{
	struct recorder *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->cfg = *cfg;
	r->sink = (struct trace_sink){ .ops = &ops, .fd = -1, .records = true, .sole = cfg->sole };
	/* SQLite makes and removes files beside its own; the folder may be another user's. */
	r->sink.capabilities = 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER;
	*ret = &r->sink;
	return 0;
}
