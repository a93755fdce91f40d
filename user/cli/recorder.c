/* SPDX-License-Identifier: MIT */
#include "recorder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fmt.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "build_report.h"
#include "collect/store.h"
#include "report/archive.h"
#include "session.h"

struct recorder {
	const struct options *opt;
	struct store *store;
	struct archive *archive;
	struct hashmap mapped; /* processes whose mappings are kept */
	uint64_t moments;
	bool told;             /* that writing failed */
};

void recorder_free(struct recorder *r)
{
	if (!r)
		return;
	archive_free(r->archive);
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
	archive_put_meta(r->archive, "command", s->command);
	build_report_header(s, &b.r);
	archive_put_meta(r->archive, "kernel", b.r.kernel);
	build_report_free(&b);
}

int recorder_open(const struct session *s, struct recorder **ret, struct errmsg *err)
{
	struct store_config cfg = { s->opt->write_file, s->opt->force, s->opt->max_file, 0 };
	struct recorder *r;
	int rc;

	if (!s->opt->write_file)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return errmsg_set(err, -ENOMEM, "out of memory");
	r->opt = s->opt;
	rc = store_create(&cfg, &r->store, err);
	if (!rc && archive_new(r->store, &r->archive))
		rc = errmsg_set(err, -ENOMEM, "out of memory");
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
	if (!rc) {
		rc = archive_save(r->archive, &b.r);
		r->moments++;
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
	store_finish(r->store);
	if (store_error(r->store))
		return errmsg_set(err, -EIO, "%s", store_error(r->store)->text);
	log_info("wrote '%s': %s moments, %s; 'luamemtrace report %s' shows it", r->opt->write_file,
		 fmt_count(&a, r->moments), fmt_bytes(&b, store_bytes(r->store)), r->opt->write_file);
	return 0;
}
