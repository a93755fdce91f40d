/* SPDX-License-Identifier: MIT */
#include "commands.h"

/* A trace whose output is asked for by scrapers. */
int cmd_serve(int argc, char **argv)
{
	return command_trace(COMMAND_SERVE, argc, argv);
}
