/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "report/archive.h"
#include "report/format.h"
#include "report/sort.h"
#include "stored.h"

static int write_report(const struct options *o, struct loaded_report *l, struct errmsg *err)
{
	struct format_options fo = {
		.color = !o->no_color && !getenv("NO_COLOR") && isatty(STDOUT_FILENO),
		.first = true,
	};

	(void)err;
	l->r.top = o->top_given ? o->top : o->json ? 0 : 10;
	report_sort_sites(&l->r, (enum sort_key)o->sort);
	stored_keep_state(&l->r, (uint32_t)o->only_state);
	format_find(o->json ? "json" : "text")->write(&l->r, &fo, stdout);
	return 0;
}

int cmd_report(int argc, char **argv)
{
	struct loaded_report l = { 0 };
	struct options o;
	struct errmsg err;
	int status, rc;

	if (!command_begin(&o, COMMAND_REPORT, argc, argv, &status)) {
		options_deinit(&o);
		return status;
	}
	if (o.n_words != 1)
		rc = errmsg_set(&err, -EINVAL, "which file? luamemtrace report FILE.db; see --help");
	else
		rc = stored_load(o.words[0], true, &l, &err);
	if (!rc)
		rc = write_report(&o, &l, &err);
	loaded_report_free(&l);
	options_deinit(&o);
	if (rc)
		return command_fail(rc, &err);
	return command_flush() ? EXIT_DONE : EXIT_WRITE;
}
