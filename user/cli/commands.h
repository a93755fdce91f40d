/* SPDX-License-Identifier: MIT */
/*
 * commands: one function for each; argv[0] is the command's name. Each returns an exit status.
 * L10 cli.
 */
#ifndef LMT_CLI_COMMANDS_H
#define LMT_CLI_COMMANDS_H

#include "options.h"

struct session;

int cmd_trace(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_census(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_diff(int argc, char **argv);

/* What trace and record have in common: all but their options. */
int command_trace(enum command command, int argc, char **argv);

/*
 * What all commands begin with: options, log level, --help, -V. True when the command should go
 * on; else *status_ret is what it returns.
 */
bool command_begin(struct options *o, enum command command, int argc, char **argv, int *status_ret);

/* session_open() as the options say; *ret borrows from o and line. */
int command_open(const struct options *o, const char *line, struct session **ret,
		 struct errmsg *err);

/* Prints the error, one line, and gives the exit status that goes with it. */
int command_fail(int rc, const struct errmsg *err);

/* The command line as it was given, for the header. The caller's to free. */
char *command_line(int argc, char **argv);

/* stdout is written out; false, with a line on stderr, when that fails. */
bool command_flush(void);

#endif
