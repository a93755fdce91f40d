/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <string.h>

#include "exports.h"
#include "report/diff.h"
#include "stored.h"

static int load_both(const struct options *o, struct loaded_report l[2], struct errmsg *err)
{
	int rc = 0;

	if (o->n_words != 2)
		return errmsg_set(err, -EINVAL, "which files? luamemtrace diff A.db B.db, or two moments of "
				  "one: FILE.db@T1 FILE.db@T2; see --help");
	for (int i = 0; !rc && i < 2; i++) {
		rc = stored_load(o->words[i], false, &l[i], err);
		if (!rc)
			rc = stored_keep_state(&l[i].r, (uint32_t)o->only_state, err);
	}
	return rc;
}

/* Both reports as one graph, coloured by what changed. */
static int write_graphs(struct exports *e, const struct options *o, struct loaded_report l[2],
			struct errmsg *err)
{
	int rc = exports_open(e, o, err);

	if (rc)
		return rc;
	l[0].r.last = false; /* the base of the comparison */
	rc = exports_report(e, o, &l[0].r);
	rc = rc ? rc : exports_report(e, o, &l[1].r);
	l[0].r.last = true;
	return rc && errno != EPIPE ? errmsg_set(err, -EIO, "cannot write the graph: %s",
						 strerror(errno)) : 0;
}

/* The exit status asked for, or a negative errno. */
static int write_diff(const struct options *o, struct loaded_report l[2], struct errmsg *err)
{
	struct format_options fo = {
		.color = o->color,
		.first = true,
	};
	size_t top = options_top(o);
	struct exports e = { 0 };
	struct diff d;
	int status, rc;

	rc = write_graphs(&e, o, l, err);
	exports_deinit(&e);
	if (rc || exports_take_stdout(o))
		return rc;

	if (diff_build(&l[0].r, &l[1].r, o->min_growth, &d))
		return errmsg_set(err, -ENOMEM, "out of memory");
	if (o->json)
		diff_write_json(&d, top, stdout);
	else
		diff_write_text(&d, top, &fo, stdout);
	status = o->exit_code && diff_count_grown(&d) ? EXIT_FINDINGS : EXIT_DONE;
	diff_deinit(&d);
	return status;
}

int cmd_diff(struct options *o)
{
	struct loaded_report l[2] = { { { 0 }, NULL }, { { 0 }, NULL } };
	struct errmsg err;
	int rc;

	rc = load_both(o, l, &err);
	if (!rc)
		rc = write_diff(o, l, &err);
	loaded_report_free(&l[0]);
	loaded_report_free(&l[1]);
	if (rc < 0)
		return command_fail(rc, &err);
	return command_flush() ? rc : EXIT_WRITE;
}
