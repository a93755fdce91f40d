/* SPDX-License-Identifier: MIT */
#include "stored.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "archive/schema.h"
#include "base/cleanup.h"

/* "2026-11-21T12:34:56.789Z" → nanoseconds; 0 when it is none. Fewer parts name their end. */
static uint64_t parse_rfc3339(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t ns = 0, unit = 100000000;
	time_t t;

	if (!rest)
		return 0;
	if (*rest == '.')
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			ns += unit * (uint64_t)(*rest - '0');
	else
		ns = 999999999; /* the whole second */
	t = timegm(&tm);
	return (*rest && strcmp(rest, "Z")) || t < 0 ? 0 : (uint64_t)t * 1000000000u + ns;
}

/* A file may have '@' in its name. */
static const char *time_in(const char *word)
{
	const char *at = strrchr(word, '@');
	struct stat st;

	return at && stat(word, &st) ? at : NULL;
}

static int at_of(struct replay *from, const char *text, uint64_t *ret, struct errmsg *err)
{
	struct loaded_report whole = { 0 };
	char *end;
	double seconds = strtod(text, &end);
	int rc;

	*ret = parse_rfc3339(text);
	if (*ret)
		return 0;
	if (end == text || *end || !isfinite(seconds) || fabs(seconds) > 1e9)
		return errmsg_set(err, -EINVAL, "'%s' is not a time: give seconds after the start, or "
				  "-seconds before the end, or a time like 2026-01-31T12:34:56Z", text);
	rc = seconds < 0 ? archive_load(from, ARCHIVE_LAST, false, &whole, err) :
			   archive_load_head(from, &whole, err);
	if (!rc)
		*ret = (seconds < 0 ? whole.r.end_realtime_ns : whole.r.start_realtime_ns) +
		       (uint64_t)(int64_t)(seconds * 1e9);
	loaded_report_free(&whole);
	return rc;
}

char *stored_path(const char *word)
{
	const char *at = time_in(word);

	return at ? strndup(word, (size_t)(at - word)) : strdup(word);
}

int stored_load(const char *word, bool series, struct loaded_report *ret, struct errmsg *err)
{
	const char *at = time_in(word);
	auto_free char *path = stored_path(word);
	struct replay *from = NULL;
	uint64_t at_ns = ARCHIVE_LAST;
	int rc;

	if (!path)
		return errmsg_set(err, -ENOMEM, "out of memory");
	rc = replay_open(path, &from, err);
	if (!rc && at)
		rc = at_of(from, at + 1, &at_ns, err);
	if (!rc)
		rc = archive_load(from, at_ns, series, ret, err);
	replay_free(from);
	return rc;
}

/* Points name their state by its position, which changes. */
static void keep_points(struct report *r, const uint32_t *moved)
{
	size_t n = 0;

	vec_each(p, &r->series) {
		uint32_t to = moved[p->state];

		if (!to)
			continue;
		r->series.v[n] = *p;
		r->series.v[n++].state = to - 1;
	}
	r->series.n = n;
}

/* Keeps the elements of a vector that are of the state. */
#define keep_of_state(vec, number)                              \
	do {                                                    \
		size_t kept_ = 0;                               \
		vec_each(row_, vec)                             \
			if (row_->state == (number))            \
				(vec)->v[kept_++] = *row_;      \
		(vec)->n = kept_;                               \
	} while (0)

static void keep_findings(struct report *r, uint32_t state)
{
	size_t n = 0;

	for (size_t i = 0; i < r->findings.n; i++) {
		if (r->findings.v[i].state == state || !r->findings.v[i].state)
			r->findings.v[n++] = r->findings.v[i];
		else
			vec_deinit(&r->findings.v[i].evidence);
	}
	r->findings.n = n;
}

int stored_keep_state(struct report *r, uint32_t state, struct errmsg *err)
{
	auto_free uint32_t *moved = calloc(r->states.n + 1, sizeof(*moved));
	uint32_t n = 0;

	if (!moved)
		return errmsg_set(err, -ENOMEM, "out of memory");
	if (!state)
		return 0;
	for (size_t i = 0; i < r->states.n; i++) {
		if (r->states.v[i].state != state)
			continue;
		r->states.v[n++] = r->states.v[i];
		moved[i] = n;
	}
	r->states.n = n;
	keep_points(r, moved);
	keep_of_state(&r->sites, state);
	keep_of_state(&r->censuses, state);
	keep_of_state(&r->objects, state);
	keep_of_state(&r->holders, state);
	keep_findings(r, state);
	return 0;
}

bool stored_describe(const char *view, const char **about_ret, const char **sql_ret)
{
	const struct schema_view *v = schema_find_view(view);

	if (!v)
		return false;
	*about_ret = v->about;
	*sql_ret = v->sql;
	return true;
}
