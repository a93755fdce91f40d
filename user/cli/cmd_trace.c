/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <sys/wait.h>

#include "exports.h"
#include "printer.h"
#include "record/recorder.h"
#include "screen.h"
#include "serve.h"
#include "trace/session.h"

static int add_recorder(struct session *s, const struct options *o)
{
	struct recorder_config cfg = {
		.path = o->write_file,
		.force = o->force,
		.max_bytes = o->max_file,
		.trigger = o->trigger_text,
		.before_s = o->before,
		.census = !o->no_census,
		.only_reports = o->no_report && o->interval > 0,
		.sole = o->no_report,
	};
	struct trace_sink *k;

	return recorder_new(&cfg, &k) ?: session_add_sink(s, k);
}

/* Who takes what the trace finds. */
static int add_sinks(struct session *s, const struct options *o)
{
	struct trace_sink *k;
	int rc = 0;

	if (exports_wanted(o))
		rc = exports_new(o, &k) ?: session_add_sink(s, k);
	if (!rc && o->write_file)
		rc = add_recorder(s, o);
	if (!rc && o->listen)
		rc = serve_new(o, &k) ?: session_add_sink(s, k);
	if (!rc && o->screen)
		rc = screen_new(o->color, &k) ?: session_add_sink(s, k);
	if (!rc && !o->no_report && !exports_take_stdout(o))
		rc = printer_new(o, &k) ?: session_add_sink(s, k);
	return rc;
}

/* A command that we started ends with its own status, unless one of ours is due. */
static int status_of_command(const struct launch *l)
{
	if (!l->ended)
		return EXIT_DONE;
	return WIFSIGNALED(l->status) ? 128 + WTERMSIG(l->status) : WEXITSTATUS(l->status);
}

int command_trace(struct options *o)
{
	struct session *s = NULL;
	struct errmsg err;
	int status, rc;

	if (!o->pids.n && !o->all && !o->name && !o->cgroup && !o->command)
		rc = errmsg_set(&err, -EINVAL, "which process? use -p PID, -a or -- COMMAND; see --help");
	else
		rc = o->screen ? screen_check(&err) : 0;
	if (!rc)
		rc = command_open(o, &s, &err);
	if (!rc && add_sinks(s, o))
		rc = errmsg_set(&err, -ENOMEM, "out of memory");
	if (!rc)
		rc = session_trace(s, &err);
	status = rc ? command_fail(rc, &err)
		    : o->exit_code && s->findings_shown ? EXIT_FINDINGS
							: status_of_command(&s->launch);
	session_free(s);
	return status;
}
