/* SPDX-License-Identifier: MIT */
#include "commands.h"

/* A trace whose output is a file. */
int cmd_record(int argc, char **argv)
{
	return command_trace(COMMAND_RECORD, argc, argv);
}
