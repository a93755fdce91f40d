/* SPDX-License-Identifier: MIT */
#include "commands.h"

int main(int argc, char **argv)
{
	const struct command_row *row = argc > 1 ? command_find(argv[1]) : NULL;

	if (row)
		return command_run(row, argc - 1, argv + 1);
	return command_run(command_find("trace"), argc, argv); /* the main job needs no name */
}
