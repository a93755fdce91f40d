/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <string.h>

#include "archive/archive.h"
#include "exports.h"
#include "report/format.h"
#include "report/sort.h"
#include "stored.h"

/* Only findings of the kinds asked for. */
static void keep_kinds(struct report *r, uint32_t kinds)
{
	size_t n = 0;

	if (!kinds)
		return;
	for (size_t i = 0; i < r->findings.n; i++) {
		if (kinds & 1u << r->findings.v[i].kind)
			r->findings.v[n++] = r->findings.v[i];
		else
			vec_deinit(&r->findings.v[i].evidence);
	}
	r->findings.n = n;
}

static int write_report(const struct options *o, struct loaded_report *l, struct errmsg *err)
{
	struct format_options fo = {
		.color = o->color,
		.first = true,
	};
	struct exports e = { 0 };
	int rc;

	report_sort_sites(&l->r, (enum sort_key)o->sort);
	if (stored_keep_state(&l->r, (uint32_t)o->only_state, err))
		return -ENOMEM;
	keep_kinds(&l->r, o->kinds);
	l->r.top = options_top(o);
	rc = exports_open(&e, o, err);
	if (!rc && !exports_take_stdout(o) && (o->json || !exports_wanted(o)))
		format_find(o->json ? "json" : "text")->write(&l->r, &fo, stdout);
	if (!rc && exports_report(&e, o, &l->r) && errno != EPIPE)
		rc = errmsg_set(err, -EIO, "cannot write the report: %s", strerror(errno));
	exports_deinit(&e);
	return rc;
}

int cmd_report(struct options *o)
{
	struct loaded_report l = { 0 };
	struct errmsg err;
	int status, rc;

	if (o->n_words != 1)
		rc = errmsg_set(&err, -EINVAL, "which file? luamemtrace report FILE.db; see --help");
	else
		rc = stored_load(o->words[0], o->html != NULL, &l, &err);
	if (!rc)
		rc = write_report(o, &l, &err);
	status = o->exit_code && l.r.findings.n ? EXIT_FINDINGS : EXIT_DONE;
	loaded_report_free(&l);
	if (rc)
		return command_fail(rc, &err);
	return command_flush() ? status : EXIT_WRITE;
}
