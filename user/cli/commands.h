/* SPDX-License-Identifier: MIT */
/*
 * commands: one row of a table for each (command_table.c), and what they have in common. argv[0] is
 * the command's name; each returns an exit status. L10 cli.
 */
#ifndef LMT_CLI_COMMANDS_H
#define LMT_CLI_COMMANDS_H

#include "options.h"

struct session;

/* One command. */
struct command_row {
	const char *name;
	enum command command;
	int (*run)(enum command command, int argc, char **argv);
	const char *summary; /* half a line, for the list of commands */
	const char *help;    /* what --help shows before the options */
};

/* NULL: there is none of that name. */
const struct command_row *command_find(const char *name);

void command_help(enum command command, FILE *out);

/* trace, record, top and serve have all in common but their options. */
int command_trace(enum command command, int argc, char **argv);
int cmd_list(enum command command, int argc, char **argv);
int cmd_doctor(enum command command, int argc, char **argv);
int cmd_census(enum command command, int argc, char **argv);
int cmd_report(enum command command, int argc, char **argv);
int cmd_diff(enum command command, int argc, char **argv);

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
