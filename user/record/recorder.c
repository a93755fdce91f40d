/* SPDX-License-Identifier: MIT */
#include "recorder.h"

#include <errno.h>
#include <inttypes.h>
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
	const struct options *opt;
	struct store *store;
	struct archive *archive;
	struct hashmap mapped; /* processes whose mappings are kept */
	struct triggers *triggers; /* NULL: written from the start */
	struct record_census *census; /* NULL: none are taken */
	const char *asked;         /* why one is wanted now */
	bool waiting;              /* in memory, for a trigger */
	uint64_t moments;
	bool told;             /* that writing failed */
};

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	/* The trace could not begin: a file without a moment in it would only puzzle. */
	if (r->store && !r->moments && !r->waiting)
		unlink(r->opt->write_file);
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

	snprintf(number, sizeof(number), "%" PRIu64, s->start_realtime_ns);
	archive_put_meta(r->archive, "start_ns", number);
	archive_put_meta(r->archive, "version", LMT_VERSION);
	archive_put_meta(r->archive, "command", s->cfg.command_line);
	build_report_header(s, &b.r);
	archive_put_meta(r->archive, "kernel", b.r.kernel);
	build_report_free(&b);
}

static struct store_config file_config(const struct options *o)
{
	return (struct store_config){ o->write_file, o->force, o->max_file, 0 };
}

/* Tells now, not at three in the morning, that the file cannot be made. */
static int try_file(const struct options *o, struct errmsg *err)
{
	struct store_config cfg = file_config(o);
	struct store *s = NULL;
	int rc;

	cfg.force = false;
	if (o->force && !access(o->write_file, W_OK))
		return 0; /* is overwritten only when there is something to write */
	rc = store_create(&cfg, &s, err);
	if (rc)
		return rc;
	store_free(s);
	unlink(o->write_file);
	return 0;
}

static int open_store(struct recorder *r, struct errmsg *err)
{
	struct store_config cfg = file_config(r->opt);
	int rc = 0;

	if (r->opt->trigger_text)
		rc = triggers_parse(r->opt->trigger_text, &r->triggers, err);
	if (!rc && r->triggers) {
		rc = try_file(r->opt, err);
		r->waiting = true;
		cfg = (struct store_config){ NULL, false, RING_BYTES,
					     (uint64_t)(r->opt->before * 1e9) };
	}
	if (!rc)
		rc = store_create(&cfg, &r->store, err);
	if (!rc && archive_new(r->store, &r->archive))
		rc = errmsg_set(err, -ENOMEM, "out of memory");
	if (!rc && !r->opt->no_census && record_census_new(&r->census))
		rc = errmsg_set(err, -ENOMEM, "out of memory");
	return rc;
}

int recorder_open(const struct session *s, struct recorder **ret, struct errmsg *err)
{
	struct recorder *r;
	int rc;

	if (!s->opt->write_file)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return errmsg_set(err, -ENOMEM, "out of memory");
	r->opt = s->opt;
	rc = open_store(r, err);
	if (!rc) {
		put_meta(r, s);
		store_commit(r->store);
		if (store_error(r->store))
			rc = errmsg_set(err, -EIO, "%s", store_error(r->store)->text);
	}
	if (rc) {
		recorder_free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

static uint64_t realtime_now(const struct session *s)
{
	return session_realtime(s, clock_ns(CLOCK_MONOTONIC));
}

/* From memory into the file, and on in the file. */
static void write_out(struct recorder *r, const struct session *s, const char *kind, const char *why)
{
	struct store_config cfg = file_config(r->opt);

	archive_put_event(r->archive, realtime_now(s), kind, 0, 0, why);
	r->asked = kind;
	log_info("%s: %s%s%s", kind, why, r->waiting ? "; writing " : "",
		 r->waiting ? r->opt->write_file : "");
	if (r->waiting && !store_to_file(r->store, &cfg, NULL))
		r->waiting = false;
}

void recorder_target_ended(struct recorder *r, const struct session *s, pid_t pid, int status)
{
	char text[96], why[256];

	if (!r || store_error(r->store))
		return;
	exit_text(status, text, sizeof(text));
	archive_put_event(r->archive, realtime_now(s), "end", pid, 0, *text ? text : "ended");
	if (triggers_check_end(r->triggers, pid, status, why, sizeof(why)))
		write_out(r, s, "trigger", why);
}

void recorder_mark(struct recorder *r, const struct session *s)
{
	if (r && !store_error(r->store))
		write_out(r, s, "mark", "SIGUSR1");
}

static int put_maps(struct recorder *r, const struct session *s)
{
	vec_each(t, &s->targets) {
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

int recorder_show_census(const struct recorder *r, const struct session *s, struct report *to)
{
	return r && r->census ? record_census_show(r->census, s, to) : 0;
}

int recorder_before_end(struct recorder *r, struct session *s)
{
	return r && r->census && !r->waiting && !store_error(r->store) ?
		record_census_end(r->census, s) : 0;
}

static void tell_once(struct recorder *r)
{
	if (!store_error(r->store) || r->told)
		return;
	r->told = true;
	log_warn("%s; the recording ends here, what is in the file can be read", store_error(r->store)->text);
}

int recorder_take(struct recorder *r, struct session *s, const struct snapshot *snap, bool report,
		  bool last)
{
	struct built_report b = { .r.last = last, .whole = true };
	char why[256];
	int rc;

	/* The first moment is what the others are compared with. */
	if (!r || store_error(r->store) ||
	    (r->moments && !report && !last && r->opt->no_report && r->opt->interval > 0))
		return 0;
	rc = build_report_static(s, true, false, &b);
	if (!rc)
		rc = build_report_live(s, snap, &b);
	b.r.end_reason = last ? session_end_reason(s) : NULL;
	if (!rc)
		rc = put_maps(r, s);
	if (!rc)
		rc = take_census(r, s, &b.r, last);
	if (!rc) {
		rc = archive_save(r->archive, &b.r);
		r->moments++;
		if (triggers_check(r->triggers, &b.r, why, sizeof(why)))
			write_out(r, s, "trigger", why);
	}
	build_report_free(&b);
	tell_once(r);
	return rc == -ENOMEM && !store_error(r->store) ? rc : 0;
}

const struct errmsg *recorder_error(const struct recorder *r)
{
	return r ? store_error(r->store) : NULL;
}

int recorder_close(struct recorder *r, struct errmsg *err)
{
	struct fmtbuf a, b;

	if (!r)
		return 0;
	if (r->waiting && !store_error(r->store)) {
		log_info("no trigger fired: '%s' was not written", r->opt->write_file);
		return 0;
	}
	store_finish(r->store);
	if (store_error(r->store))
		return errmsg_set(err, -EIO, "%s", store_error(r->store)->text);
	log_info("wrote '%s': %s moments, %s; 'luamemtrace report %s' shows it", r->opt->write_file,
		 fmt_count(&a, r->moments), fmt_bytes(&b, store_bytes(r->store)), r->opt->write_file);
	return 0;
}
