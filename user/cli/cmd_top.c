/* SPDX-License-Identifier: MIT */
#include "commands.h"

/* A trace that is looked at while it runs. */
int cmd_top(int argc, char **argv)
{
	return command_trace(COMMAND_TOP, argc, argv);
}
