/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "commands.h"

/* help [COMMAND], version: the words that many try first, for the options of the same meaning. */
static int run_word(int argc, char **argv)
{
	const struct command_row *row = argc > 2 ? command_find(argv[2]) : NULL;
	char *help[] = { argv[0], "--help", NULL }, *version[] = { argv[0], "--version", NULL };

	if (!strcmp(argv[1], "version"))
		return command_run(command_find("trace"), 2, version);
	return command_run(row ? row : command_find("trace"), 2, help);
}

int main(int argc, char **argv)
{
	const struct command_row *row = argc > 1 ? command_find(argv[1]) : NULL;

	if (row)
		return command_run(row, argc - 1, argv + 1);
	if (argc > 1 && (!strcmp(argv[1], "help") || !strcmp(argv[1], "version")))
		return run_word(argc, argv);
	return command_run(command_find("trace"), argc, argv); /* the main job needs no name */
}
