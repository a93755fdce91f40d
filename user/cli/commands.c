/* SPDX-License-Identifier: MIT */
#include "commands.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/escape.h"
#include "base/log.h"
#include "resolve/layouts.h"
#include "resolve/symfile.h"
#include "trace/session.h"

/*
 * --help, -V, log level. True when the command should go on; else *status_ret is what it returns.
 */
static bool begin(struct options *o, enum command command, int argc, char **argv, int *status_ret)
{
	struct errmsg err;
	int rc = options_parse(o, command, argc, argv, &err);

	*status_ret = EXIT_DONE;
	if (!rc && (o->help || o->version)) {
		if (o->help)
			options_help(command, stdout);
		else
			puts("luamemtrace " LMT_VERSION);
		*status_ret = command_flush() ? EXIT_DONE : EXIT_WRITE;
		return false;
	}
	log_set_level(o->quiet ? LOG_QUIET : (enum log_level)(o->verbose > 2 ? 2 : o->verbose));
	symfile_allow_network(o->debuginfod);
	if (!rc && o->layout_file)
		rc = layouts_add_file(o->layout_file, &err);
	if (rc) {
		*status_ret = command_fail(rc == -ENOENT ? -EINVAL : rc, &err);
		return false;
	}
	return true;
}

int command_open(const struct options *o, struct session **ret, struct errmsg *err)
{
	struct trace_config cfg;

	options_trace_config(o, &cfg);
	return session_open(&cfg, ret, err);
}

int command_fail(int rc, const struct errmsg *err)
{
	char text[1024]; /* paths and names in it come from targets */

	escape_term(text, sizeof(text), err->text);
	fprintf(stderr, "luamemtrace: %s\n", text);
	return exit_status_of(rc);
}

/* As it was given. The caller's to free. */
static char *command_line(int argc, char **argv)
{
	size_t size = sizeof("luamemtrace");
	char *line, *at;

	for (int i = 0; i < argc; i++)
		size += strlen(argv[i]) + 1;
	line = malloc(size);
	if (!line)
		return NULL;
	at = stpcpy(line, "luamemtrace");
	for (int i = 0; i < argc; i++) {
		if (i == 0 && strstr(argv[0], "luamemtrace"))
			continue; /* the program itself, not a command's name */
		at = stpcpy(stpcpy(at, " "), argv[i]);
	}
	return line;
}

bool command_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return true;
	if (errno != EPIPE)
		fprintf(stderr, "luamemtrace: cannot write: %s\n", strerror(errno));
	return errno == EPIPE;
}

/*
 * A file that may not grow any more is a write that fails, not our end. Caught and not ignored:
 * a command that we start would inherit that.
 */
static void on_file_limit(int signal)
{
	(void)signal;
}

int command_run(const struct command_row *row, int argc, char **argv)
{
	auto_free char *line = command_line(argc, argv);
	struct options o;
	int status;

	signal(SIGXFSZ, on_file_limit);
	if (begin(&o, row->command, argc, argv, &status)) {
		o.line = line;
		status = row->run(&o);
	}
	options_deinit(&o);
	return status;
}
