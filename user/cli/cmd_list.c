/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "build_report.h"
#include "report/format.h"
#include "session.h"

struct finder {
	struct options *opt;
	struct files files; /* each library is looked into once, not once a process */
	unsigned int unreadable;
};

/* Notes the processes that map a copy of Lua; those that cannot be looked into are counted. */
static int find_one(pid_t pid, void *ctx)
{
	struct finder *f = ctx;
	struct target *t = NULL;
	int rc;

	if (pid == getpid())
		return 0;
	rc = target_open(pid, &t, NULL);
	if (rc == -EACCES || rc == -EPERM)
		f->unreadable++;
	if (!rc && resolve_has_lua(t, &f->files))
		rc = vec_push(&f->opt->pids, pid);
	target_free(t);
	return rc == -ENOMEM ? rc : 0;
}

static int find_all(struct options *o, struct errmsg *err)
{
	struct finder f = { .opt = o };
	int rc = proc_each(find_one, &f);

	files_deinit(&f.files);
	if (f.unreadable)
		log_warn("%u processes could not be looked into; run as root to see them", f.unreadable);
	return rc ? errmsg_set(err, rc, "cannot list the processes") : 0;
}

/* A process may end at any moment: with no -p that is no error. */
static int list_one(const struct options *all, const char *line, pid_t pid, bool first, bool last,
		    struct errmsg *err)
{
	struct options one = *all;
	struct format_options fo = {
		.first = first,
		.color = !all->no_color && !getenv("NO_COLOR") && isatty(STDOUT_FILENO),
	};
	struct built_report b = { .r.last = last };
	struct session *s;
	int rc;

	one.pids.v = &pid;
	one.pids.n = one.pids.cap = 1;
	rc = session_open(&one, line, &s, err);
	if (rc)
		return rc;
	rc = build_report_static(s, false, &b);
	if (!rc)
		format_find(all->json ? "json" : "text")->write(&b.r, &fo, stdout);
	build_report_free(&b);
	session_free(s);
	return rc ? errmsg_set(err, rc, "out of memory") : 0;
}

int cmd_list(int argc, char **argv)
{
	auto_free char *line = command_line(argc, argv);
	struct options o;
	struct errmsg err;
	bool shown = false;
	int status, rc = 0;

	if (!command_begin(&o, COMMAND_LIST, argc, argv, &status)) {
		options_deinit(&o);
		return status;
	}
	if (!o.pid_text)
		rc = find_all(&o, &err);
	for (size_t i = 0; !rc && i < o.pids.n; i++) {
		rc = list_one(&o, line, o.pids.v[i], !shown, i + 1 == o.pids.n, &err);
		shown |= !rc;
		if (rc == -ESRCH && !o.pid_text)
			rc = 0;
	}
	if (!rc && !shown && !o.json)
		puts("no process runs Lua here");
	options_deinit(&o);
	if (rc)
		return command_fail(rc, &err);
	return command_flush() ? EXIT_DONE : EXIT_WRITE;
}
