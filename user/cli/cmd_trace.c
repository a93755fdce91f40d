/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "screen.h"
#include "trace/session.h"

int command_trace(enum command command, int argc, char **argv)
{
	auto_free char *line = command_line(argc, argv);
	struct session *s = NULL;
	struct options o;
	struct errmsg err;
	int status, rc;

	if (!command_begin(&o, command, argc, argv, &status)) {
		options_deinit(&o);
		return status;
	}
	if (!o.pids.n && !o.all && !o.name && !o.cgroup && !o.command)
		rc = errmsg_set(&err, -EINVAL, "which process? use -p PID, -a or -- COMMAND; see --help");
	else
		rc = o.screen ? screen_check(&err) : 0;
	if (!rc)
		rc = command_open(&o, line, &s, &err);
	if (!rc) {
		s->opt = &o;
		rc = session_trace(s, &err);
	}
	status = rc ? command_fail(rc, &err)
		    : o.exit_code && s->findings_told ? EXIT_FINDINGS : EXIT_DONE;
	session_free(s);
	options_deinit(&o);
	return status;
}

int cmd_trace(int argc, char **argv)
{
	return command_trace(COMMAND_TRACE, argc, argv);
}
