/* SPDX-License-Identifier: MIT */
/*
 * commands: one row of a table for each (command_table.c), and what they have in common. Each
 * gets its options and returns an exit status. L10 cli.
 */
#ifndef LMT_CLI_COMMANDS_H
#define LMT_CLI_COMMANDS_H

#include "options.h"

struct session;

/* One command. */
struct command_row {
	const char *name;
	enum command command;
	int (*run)(struct options *o);
	const char *summary; /* half a line, for the list of commands */
	const char *help;    /* what --help shows before the options */
};

/* NULL: there is none of that name. */
const struct command_row *command_find(const char *name);

/* The name of a command that was meant, perhaps; NULL: none is like it. */
const char *command_similar(const char *name);

void command_help(enum command command, FILE *out);

/* trace, record, top and serve have all in common but their options. */
int command_trace(struct options *o);
int cmd_list(struct options *o);
int cmd_doctor(struct options *o);
int cmd_census(struct options *o);
int cmd_report(struct options *o);
int cmd_diff(struct options *o);

/*
 * Parses the options, does what all commands begin with, runs it. argv[0]: its name. An exit
 * status.
 */
int command_run(const struct command_row *row, int argc, char **argv);

/* session_open() as the options say; *ret borrows from o. */
int command_open(const struct options *o, struct session **ret, struct errmsg *err);

/* Prints the error, one line, and gives the exit status that goes with it. */
int command_fail(int rc, const struct errmsg *err);

/* stdout is written out; false, with a line on stderr, when that fails. */
bool command_flush(void);

#endif
