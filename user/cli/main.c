/* SPDX-License-Identifier: MIT */
/* The table of commands, and which one is meant. */
#include <stdio.h>
#include <string.h>

#include "commands.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "trace", cmd_trace },
	{ "list", cmd_list },
	{ "doctor", cmd_doctor },
	{ "census", cmd_census },
	{ "record", cmd_record },
	{ "top", cmd_top },
	{ "serve", cmd_serve },
	{ "report", cmd_report },
	{ "diff", cmd_diff },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return cmd_trace(argc, argv); /* the main job needs no name */
}
