/* SPDX-License-Identifier: MIT */
/* The table of commands: a new one is a row here, a COMMAND_ in options.h, and a function. */
#include "commands.h"

#include <string.h>

#include "base/fmt.h"

static const struct command_row rows[] = {
	{ "trace", COMMAND_TRACE, command_trace, "what keeps growing, with its line; the command's name may be left out",
	  "Finds what keeps growing in the Lua heaps of a running process, with its line.\n"
	  "\n"
	  "  sudo luamemtrace -p 1234              trace until Ctrl-C, then report\n"
	  "  sudo luamemtrace -p 1234 -d 5m        trace for five minutes\n"
	  "  sudo luamemtrace -p 1234 5 12 --json  a report every 5 seconds, 12 times\n"
	  "  sudo luamemtrace -a 60                every Lua process, each minute\n"
	  "\n"
	  "usage: luamemtrace [trace] -p PID[,PID…] | -a | -n COMM [options]\n"
	  "                   [INTERVAL [COUNT]]\n"
	  "       luamemtrace [trace] [options] -- COMMAND [ARGS…]\n" },
	{ "top", COMMAND_TOP, command_trace, "the same on the whole terminal, every two seconds",
	  "Shows the states and the lines whose memory grows on the whole terminal, every two seconds.\n"
	  "The last report stays when you leave (q).\n"
	  "\n"
	  "  sudo luamemtrace top -p 1234\n"
	  "  sudo luamemtrace top -a 5                every Lua process of the system, every 5 s\n"
	  "\n"
	  "usage: luamemtrace top -p PID[,PID…] | -a | -n COMM [options] [INTERVAL [COUNT]]\n"
	  "       luamemtrace top [options] -- COMMAND [ARGS…]\n" },
	{ "record", COMMAND_RECORD, command_trace, "the same into one file, which is read on any machine",
	  "Traces and keeps everything in one incident file: processes, heaps over time, lines, losses.\n"
	  "The file survives the tracer's death and is read without root: report, diff, or SQL.\n"
	  "\n"
	  "  sudo luamemtrace record -p 1234 -w incident.db           until Ctrl-C\n"
	  "  sudo luamemtrace record -p 1234 -w incident.db -d 60     for a minute\n"
	  "  sudo luamemtrace record -p 1234 -w incident.db --max-size 64M 10   every 10 s, for weeks\n"
	  "  sudo luamemtrace record -a -w incident.db --trigger 'heap>512M,oom,signal'  the minute\n"
	  "                                                           before it happens, and what follows\n"
	  "\n"
	  "usage: luamemtrace record -w FILE.db -p PID[,PID…] | -a | -n COMM [options] [INTERVAL [COUNT]]\n"
	  "       luamemtrace record -w FILE.db [options] -- COMMAND [ARGS…]\n" },
	{ "serve", COMMAND_SERVE, command_trace, "the same for Prometheus and pprof, over HTTP",
	  "Traces, and answers scrapers over HTTP: /metrics for Prometheus, /debug/pprof/heap for pprof.\n"
	  "\n"
	  "  sudo luamemtrace serve --listen 127.0.0.1:9464 -a\n"
	  "  curl http://127.0.0.1:9464/metrics\n"
	  "  go tool pprof http://127.0.0.1:9464/debug/pprof/heap\n"
	  "\n"
	  "usage: luamemtrace serve --listen HOST:PORT -p PID[,PID…] | -a | -n COMM [options]\n" },
	{ "report", COMMAND_REPORT, cmd_report, "shows what such a file holds",
	  "Shows what an incident file holds: what a live trace would have shown then. Needs no root.\n"
	  "\n"
	  "  luamemtrace report incident.db\n"
	  "  luamemtrace report incident.db@90                    90 seconds after the start\n"
	  "  luamemtrace report incident.db --html incident.html  one page to attach to a ticket\n"
	  "  luamemtrace report incident.db --json | jq 'select(.type == \"site\")'\n"
	  "\n"
	  "usage: luamemtrace report FILE.db[@TIME] [options]\n" },
	{ "diff", COMMAND_DIFF, cmd_diff, "what grew between two files, or two moments of one",
	  "Shows what grew between two incident files, or between two moments of one. Needs no root.\n"
	  "\n"
	  "  luamemtrace diff before.db after.db\n"
	  "  luamemtrace diff incident.db@10 incident.db@60       seconds after the start\n"
	  "  luamemtrace diff good.db new.db --exit-code          for CI: status 1 when a line grew\n"
	  "\n"
	  "usage: luamemtrace diff FILE.db[@TIME] FILE.db[@TIME] [options]\n" },
	{ "list", COMMAND_LIST, cmd_list, "processes that run Lua, their lua_States",
	  "Lists processes that run Lua, each copy of Lua in them, and their lua_States.\n"
	  "Reads memory only: no probes, no stop.\n"
	  "\n"
	  "  sudo luamemtrace list\n"
	  "  sudo luamemtrace list -p 1234\n"
	  "  sudo luamemtrace list --json | jq 'select(.type == \"state\")'\n"
	  "\n"
	  "usage: luamemtrace list [-p PID[,PID…]] [options]\n" },
	{ "census", COMMAND_CENSUS, cmd_census, "what is on the Lua heaps, and who holds it",
	  "Tells what is on the Lua heaps of a process now, and who holds it. No probes: its memory is\n"
	  "copied, in a moment in which it sleeps or while it is stopped for some milliseconds.\n"
	  "\n"
	  "  sudo luamemtrace census -p 1234                    by kind and origin\n"
	  "  sudo luamemtrace census -p 1234 --path 0x55d0c2f0  who holds this object\n"
	  "  sudo luamemtrace census -p 1234 --pause-budget 0   never stop it\n"
	  "\n"
	  "usage: luamemtrace census -p PID[,PID…] [options]\n" },
	{ "doctor", COMMAND_DOCTOR, cmd_doctor, "can it work here, and what would be probed",
	  "Tells whether tracing can work here, by trying; with -p also what would be probed in a\n"
	  "process, where, found how, at what cost. One remedy for each failed check.\n"
	  "\n"
	  "  luamemtrace doctor\n"
	  "  sudo luamemtrace doctor -p 1234\n"
	  "  sudo luamemtrace doctor -p 1234 --json\n"
	  "\n"
	  "usage: luamemtrace doctor [-p PID[,PID…]] [options]\n" },
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

const struct command_row *command_find(const char *name)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (!strcmp(name, rows[i].name))
			return &rows[i];
	return NULL;
}

const char *command_similar(const char *name)
{
	const char *names[N_ROWS + 1];

	for (size_t i = 0; i < N_ROWS; i++)
		names[i] = rows[i].name;
	names[N_ROWS] = NULL;
	return fmt_similar(name, names);
}

void command_help(enum command command, FILE *out)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (rows[i].command == command)
			fputs(rows[i].help, out);
	if (command != COMMAND_TRACE)
		return;
	fputs("\nCommands (luamemtrace COMMAND --help, or help COMMAND):\n", out);
	for (size_t i = 0; i < N_ROWS; i++)
		fprintf(out, "  %-8s %s\n", rows[i].name, rows[i].summary);
}
