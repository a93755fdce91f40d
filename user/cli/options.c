/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fmt.h"
#include "base/opt.h"
#include "base/outfile.h"
#include "commands.h"
#include "discover/proc.h"
#include "exports.h"
#include "heap/suppress.h"

#define MAX_SECONDS 31536000 /* a year */
#define TOP_SECONDS 2        /* between two screens */

static const char *const mode_names[] = { "auto", "watch", "exact", NULL };
static const char *const metric_names[] = { "inuse_space", "inuse_objects", "alloc_space",
					    "alloc_objects", NULL }; /* enum metric */
static const char *const label_names[] = { "none", "pid", NULL };
static const char *const by_names[] = { "origin", "type", "site", "proto", "size", "metatable",
					"ctype", NULL };
static const char *const sort_names[] = { "verdict", "size", "count", "age", "rate", NULL };

#define TRACE (COMMAND_TRACE | COMMAND_RECORD | COMMAND_TOP | COMMAND_SERVE)
#define CENSUS COMMAND_CENSUS
#define STORED (COMMAND_REPORT | COMMAND_DIFF)
#define LIVE (TRACE | COMMAND_LIST | COMMAND_DOCTOR | COMMAND_CENSUS)
#define ALL (LIVE | STORED)
#define AT(member) offsetof(struct options, member)

static const struct opt table[] = {
	{ 'p', "pid", OPT_LIST, AT(pid_texts), LIVE, "Target", "PID[,PID…]", "process to look into", 0, 0, NULL },
	{ 0, "no-children", OPT_FLAG, AT(no_children), TRACE, "Target", NULL, "not the processes that descend from PID and run Lua, too", 0, 0, NULL },
	{ 'a', "all", OPT_FLAG, AT(all), TRACE, "Target", NULL, "every process that runs Lua, also those that start later", 0, 0, NULL },
	{ 'n', "name", OPT_STR, AT(name), TRACE, "Target", "COMM", "as -a, only processes of this name", 0, 0, NULL },
	{ 0, "cgroup", OPT_STR, AT(cgroup), TRACE, "Target", "PATH", "as -a, only processes in this cgroup or below it", 0, 0, NULL },

	{ 0, "listen", OPT_STR, AT(listen), COMMAND_SERVE, "What to do", "HOST:PORT", "answer scrapers here (:PORT: at all addresses)", 0, 0, NULL },
	{ 0, "max-series", OPT_U64, AT(max_series), COMMAND_SERVE, "What to do", "N", "series of a metric; the rest is summed in one (default 1000)", 1, 1000000, NULL },
	{ 0, "label", OPT_CHOICE, AT(metric_label), COMMAND_SERVE, "What to do", "LABEL", "pid: metrics by process and state, not only by program", 0, 0, label_names },
	{ 'd', "duration", OPT_SECONDS, AT(duration), TRACE, "What to do", "TIME", "stop after this time: 10, 500ms, 5m, 2h (default: until Ctrl-C or the target's end)", 0, MAX_SECONDS, NULL },
	{ 'm', "mode", OPT_CHOICE, AT(mode), TRACE, "What to do", "MODE", "watch, exact, or what --max-overhead allows (default auto)", 0, 0, mode_names },
	{ 0, "max-overhead", OPT_DOUBLE, AT(max_overhead), TRACE, "What to do", "PCT", "how much it may cost the target (default 5; not with -m exact)", 0, 1000, NULL },
	{ 0, "max-blocks", OPT_U64, AT(max_blocks), TRACE, "What to do", "N", "live blocks to make room for, 64 bytes each (default: by the heap found)", 1, 64u << 20, NULL },
	{ 0, "max-states", OPT_U64, AT(max_states), TRACE, "What to do", "N", "lua_States to tell apart (default 100000)", 16, 1u << 20, NULL },
	{ 0, "sample-bytes", OPT_U64, AT(sample_bytes), TRACE, "What to do", "N", "mean bytes between whole stacks (default 64k; 1: of every allocation)", 1, 64u << 20, NULL },
	{ 0, "stack-depth", OPT_U64, AT(stack_depth), TRACE, "What to do", "N", "frames of a whole stack (default 64)", 1, 64, NULL },
	{ 0, "native", OPT_FLAG, AT(native), TRACE, "What to do", NULL, "whole stacks with the C functions between and below the Lua code", 0, 0, NULL },
	{ 0, "layout", OPT_STR, AT(layout_file), LIVE, "What to do", "FILE", "more layout rows, in the form of layouts/*.tsv", 0, 0, NULL },
	{ 0, "debuginfod", OPT_FLAG, AT(debuginfod), LIVE, "What to do", NULL, "ask debuginfod for symbols of stripped files, 10 s at most", 0, 0, NULL },
	{ 0, "by", OPT_CHOICE, AT(by), CENSUS, "What to do", "WHAT", "type, site, proto, size, metatable or ctype (default: what says most of each kind)", 0, 0, by_names },
	{ 0, "path", OPT_STR, AT(path_text), CENSUS, "What to do", "ADDR[,ADDR…]", "who holds this object, as tostring() or %p shows it", 0, 0, NULL },
	{ 0, "pause-budget", OPT_MS, AT(pause_budget_ms), CENSUS | TRACE, "What to do", "MS", "a census stops the target for at most this long at once (default 50; 0: never)", 0, 60000, NULL },
	{ 0, "strings", OPT_FLAG, AT(strings), CENSUS, "What to do", NULL, "group strings by how they begin, which shows their text", 0, 0, NULL },

	{ 0, "kinds", OPT_STR, AT(kinds_text), TRACE | COMMAND_REPORT, "Findings", "LIST", "only findings of these kinds, comma-separated (default: all but c-leak, which follows every malloc)", 0, 0, NULL },
	{ 0, "suppressions", OPT_STR, AT(suppressions_file), TRACE, "Findings", "FILE", "leave out known findings: lines kind:pattern", 0, 0, NULL },
	{ 0, "watch-call", OPT_LIST, AT(watch_calls), TRACE, "Findings", "MODULE:FUNCTION", "look for freed memory among a C function's arguments (repeatable)", 0, 0, NULL },
	{ 0, "exit-code", OPT_FLAG, AT(exit_code), TRACE | COMMAND_REPORT | CENSUS, "Findings", NULL, "exit with status 1 when there are findings", 0, 0, NULL },

	{ 'w', "write", OPT_STR, AT(write_file), TRACE, "Incident file", "FILE.db", "keep everything in this file, for report, diff and SQL", 0, 0, NULL },
	{ 0, "force", OPT_FLAG, AT(force), TRACE, "Incident file", NULL, "overwrite FILE.db if it exists", 0, 0, NULL },
	{ 0, "max-size", OPT_U64, AT(max_file), COMMAND_RECORD, "Incident file", "BYTES", "of the file: old details go first, the summary stays (default: no limit)", 1 << 20, 0, NULL },
	{ 0, "max-file-size", OPT_U64, AT(max_file), COMMAND_TRACE | COMMAND_TOP | COMMAND_SERVE, "Incident file", "BYTES", "of the file: old details go first, the summary stays (default: no limit)", 1 << 20, 0, NULL },
	{ 0, "trigger", OPT_STR, AT(trigger_text), TRACE, "Incident file", "LIST", "write only from then on: heap>512M, growth>1M/min, oom, signal, kinds of findings; or SIGUSR1", 0, 0, NULL },
	{ 0, "before", OPT_SECONDS, AT(before), TRACE, "Incident file", "TIME", "what the file holds from before the trigger (default 60)", 1, 86400, NULL },

	{ 0, "lua-only", OPT_FLAG, AT(lua_only), TRACE, "Output", NULL, "leave C functions out of the stacks", 0, 0, NULL },
	{ 'f', "folded", OPT_FLAG, AT(folded), CENSUS, "Output", NULL, "who holds what as folded stacks: bytes by the way from a root", 0, 0, NULL },
	{ 't', "trace", OPT_FLAG, AT(each_call), COMMAND_TRACE, "Output", NULL, "a line for each allocator call, as it happens (with -m exact)", 0, 0, NULL },
	{ 0, "no-census", OPT_FLAG, AT(no_census), TRACE, "Incident file", NULL, "do not look at who holds what; else at the start, at triggers and findings, and at the end", 0, 0, NULL },

	{ 'T', "top", OPT_U64, AT(top), TRACE | STORED | CENSUS, "Output", "N", "show the N first places and states (default 10; --json: all)", 1, 1u << 20, NULL },
	{ 0, "sort", OPT_CHOICE, AT(sort), TRACE | STORED, "Output", "KEY", "verdict, size, count, age or rate (default verdict, then size)", 0, 0, sort_names },
	{ 'o', "older", OPT_MS, AT(older_ms), TRACE, "Output", "MS", "only blocks older than this (default 0)", 0, 0, NULL },
	{ 'z', "min-size", OPT_U64, AT(min_size), TRACE, "Output", "BYTES", "only blocks at least this big (default 0)", 0, 0, NULL },
	{ 'Z', "max-size", OPT_U64, AT(max_size), COMMAND_TRACE | COMMAND_TOP | COMMAND_SERVE, "Output", "BYTES", "only blocks at most this big (default: no limit)", 1, 0, NULL },
	{ 'Z', "max-block-size", OPT_U64, AT(max_size), COMMAND_RECORD, "Output", "BYTES", "only blocks at most this big (default: no limit)", 1, 0, NULL },
	{ 'S', "state", OPT_U64, AT(only_state), TRACE | STORED | CENSUS, "Output", "N", "only this state, by its number in the report", 1, 0, NULL },
	{ 0, "html", OPT_STR, AT(html), COMMAND_REPORT, "Output", "OUT.html", "instead: one page with everything, to send to a colleague (- is stdout)", 0, 0, NULL },
	{ 0, "min-growth", OPT_U64, AT(min_growth), COMMAND_DIFF, "Output", "BYTES", "growth of a line that counts (default 4k)", 0, 0, NULL },
	{ 0, "exit-code", OPT_FLAG, AT(exit_code), COMMAND_DIFF, "Output", NULL, "exit with status 1 when a line grew", 0, 0, NULL },
	{ 'f', "folded", OPT_MAYBE, AT(folded), TRACE | STORED, "Output", "METRIC]", "stacks to stdout, a line each: inuse_space (default), inuse_objects, alloc_space, alloc_objects", 0, 0, metric_names },
	{ 0, "flamegraph", OPT_STR, AT(flamegraph), CENSUS, "Output", "FILE", "who holds what as a flame graph: FILE.html, or FILE.svg", 0, 0, NULL },
	{ 0, "flamegraph", OPT_STR, AT(flamegraph), TRACE | STORED, "Output", "FILE", "flame graph at the end: FILE.html, or FILE.svg (also - for SVG)", 0, 0, NULL },
	{ 0, "pprof", OPT_STR, AT(pprof), TRACE | COMMAND_REPORT, "Output", "FILE", "heap profile at the end, for pprof: FILE.pb.gz (- is stdout)", 0, 0, NULL },
	{ 'j', "json", OPT_FLAG, AT(json), ALL, "Output", NULL, "one JSON object a line instead of text", 0, 0, NULL },
	{ 0, "no-color", OPT_FLAG, AT(no_color), ALL, "Output", NULL, "no colours (also: NO_COLOR in the environment)", 0, 0, NULL },
	{ 'v', "verbose", OPT_FLAG, AT(verbose), ALL, "Output", NULL, "say what is done; twice: also what libbpf says", 0, 0, NULL },
	{ 'q', "quiet", OPT_FLAG, AT(quiet), ALL, "Output", NULL, "only data and errors", 0, 0, NULL },
	{ 'h', "help", OPT_FLAG, AT(help), ALL, "Output", NULL, "this text", 0, 0, NULL },
	{ 'V', "version", OPT_FLAG, AT(version), ALL, "Output", NULL, "version", 0, 0, NULL },
};
#define N_OPTS (sizeof(table) / sizeof(table[0]))

void options_deinit(struct options *o)
{
	vec_deinit(&o->pids);
	suppress_free(o->suppressions);
}

static int add_pid(struct options *o, const char *word, struct errmsg *err)
{
	uint64_t pid;

	if (!fmt_parse_u64(word, 1u << 22, &pid) || !pid)
		return errmsg_set(err, -EINVAL, isalpha((unsigned char)*word)
				  ? "'%s' is not a process id; for all processes of that name: -n %s"
				  : "'%s' is not a process id", word, word);
	vec_each(known, &o->pids)
		if (*known == (pid_t)pid)
			return errmsg_set(err, -EINVAL, "process %s is given twice", word);
	return vec_push(&o->pids, (pid_t)pid) ? errmsg_set(err, -ENOMEM, "out of memory") : 0;
}

static int parse_pids(struct options *o, struct errmsg *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < o->pid_texts.n; i++) {
		auto_free char *copy = strdup(o->pid_texts.v[i]);
		char *rest = copy, *word;

		if (!copy)
			return errmsg_set(err, -ENOMEM, "out of memory");
		while (!rc && (word = strsep(&rest, ",")))
			rc = add_pid(o, word, err);
	}
	return rc;
}

static int parse_kinds(struct options *o, struct errmsg *err)
{
	auto_free char *copy = strdup(o->kinds_text);
	char *rest = copy, *word;
	enum finding_kind k;

	if (!copy)
		return errmsg_set(err, -ENOMEM, "out of memory");
	while ((word = strsep(&rest, ","))) {
		if (!finding_kind_find(word, &k))
			return errmsg_set(err, -EINVAL, "option '--kinds': there is no kind of finding '%s'; "
					  "kinds are those of luamemtrace(8), such as leak or oom", word);
		o->kinds |= 1u << k;
	}
	return 0;
}

static int parse_findings(struct options *o, struct errmsg *err)
{
	int rc = o->kinds_text ? parse_kinds(o, err) : 0;

	for (size_t i = 0; !rc && i < o->watch_calls.n; i++) {
		const char *spec = o->watch_calls.v[i], *colon = strrchr(spec, ':');

		if (!colon || colon == spec || !colon[1])
			rc = errmsg_set(err, -EINVAL, "option '--watch-call': '%s' is not MODULE:FUNCTION, "
					"such as libc:snprintf", spec);
	}
	if (!rc && o->suppressions_file)
		rc = suppress_read(o->suppressions_file, &o->suppressions, err);
	return rc;
}

/* The kernel's own have low numbers, and so have intervals. */
#define PID_OF_USERS 300

/* A word that is neither: a command with a slip in it? */
static int no_interval(const char *word, struct errmsg *err)
{
	const char *other = command_similar(word);

	if (other)
		return errmsg_set(err, -EINVAL, "there is no command '%s'; did you mean '%s'?", word, other);
	return errmsg_set(err, -EINVAL, "'%s' is neither a command nor an interval such as 5 or 2m; see "
			  "--help", word);
}

/* INTERVAL [COUNT] */
static int parse_words(struct options *o, int argc, char **argv, int at, struct errmsg *err)
{
	struct proc_info info;
	uint64_t pid;

	if (at < argc) {
		if (!fmt_parse_time(argv[at], 1, &o->interval))
			return no_interval(argv[at], err);
		if (!(o->interval >= 0.1 && o->interval <= MAX_SECONDS))
			return errmsg_set(err, -EINVAL,
					  "'%s' is not an interval in seconds (0.1 or more); see --help",
					  argv[at]);
		if (o->pids.n && fmt_parse_u64(argv[at], 1u << 22, &pid) && pid >= PID_OF_USERS &&
		    !proc_read_info((pid_t)pid, &info))
			return errmsg_set(err, -EINVAL, "'%s' is a process, too: for several write -p %s,%s; as "
					  "an interval %ss", argv[at], o->pid_texts.v[0], argv[at], argv[at]);
		at++;
	}
	if (at < argc) {
		if (!fmt_parse_u64(argv[at], UINT32_MAX, &o->count) || !o->count)
			return errmsg_set(err, -EINVAL, "'%s' is not a number of reports", argv[at]);
		at++;
	}
	if (at < argc)
		return errmsg_set(err, -EINVAL, "unexpected word '%s'; see --help", argv[at]);
	return 0;
}

/* Words before "--", behind which a command stands with options of its own. */
static int before_command(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--"))
			return i;
	return argc;
}

/* Only one thing at a time can go to stdout. */
static int check_outputs(const struct options *o, struct errmsg *err)
{
	if (o->screen + (o->json != 0) + exports_take_stdout(o) > 1)
		return errmsg_set(err, -EINVAL,
				  "only one of %s--json, --folded and a file named '-' can go to stdout",
				  o->screen ? "top, " : "");
	if (o->pprof && outfile_is_stdout(o->pprof) && isatty(STDOUT_FILENO))
		return errmsg_set(err, -EINVAL,
				  "--pprof - would write binary data to the terminal; name a file or a pipe");
	return 0;
}

static int take_words(struct options *o, int argc, char **argv, int at, struct errmsg *err)
{
	for (; at < argc; at++) {
		if (o->n_words == sizeof(o->words) / sizeof(o->words[0]))
			return errmsg_set(err, -EINVAL, "unexpected word '%s'; see --help", argv[at]);
		o->words[o->n_words++] = argv[at];
	}
	return 0;
}

/* Each call is seen in exact mode only, and its line goes where the report goes. */
static int check_each_call(struct options *o, struct errmsg *err)
{
	if (!o->each_call)
		return 0;
	if (o->mode == MODE_WATCH)
		return errmsg_set(err, -EINVAL, "--trace needs every call, which -m watch does not see; "
				  "use -m exact");
	if (exports_take_stdout(o))
		return errmsg_set(err, -EINVAL, "only one of --trace, --folded and a file named '-' can "
				  "go to stdout");
	o->mode = MODE_EXACT;
	return 0;
}

static int check_recording(struct options *o, enum command command, struct errmsg *err)
{
	o->children = command & (TRACE);
	o->no_report = command == COMMAND_RECORD || command == COMMAND_SERVE;
	if (command == COMMAND_SERVE && (!o->listen || !strchr(o->listen, ':')))
		return errmsg_set(err, -EINVAL, "serve where? use --listen HOST:PORT, such as 127.0.0.1:9464");
	if (command == COMMAND_RECORD && !o->write_file)
		return errmsg_set(err, -EINVAL, "record into which file? use -w FILE.db; see --help");
	if (!o->write_file && (o->force || o->max_file || o->trigger_text))
		return errmsg_set(err, -EINVAL,
				  "--force, --trigger and the size limit need a file: -w FILE.db");
	return 0;
}

int options_parse(struct options *o, enum command command, int argc, char **argv,
		  struct errmsg *err)
{
	int words = command & TRACE ? before_command(argc, argv) : argc, rest, rc;

	*o = (struct options){ .max_states = 100000,
			       .sample_bytes = 64 << 10,
			       .stack_depth = 64,
			       .pause_budget_ms = 50,
			       .min_growth = 4096,
			       .max_series = 1000,
			       .max_overhead = 5,
			       .before = 60 };
	rc = opt_parse(table, N_OPTS, command, o, words, argv, &rest, err);
	if (rc)
		return rc;
	if (o->help || o->version)
		return 0;
	if (words < argc) {
		o->command = argv + words + 1;
		argc = words;
		if (!o->command[0])
			return errmsg_set(err, -EINVAL, "no command behind '--'; see --help");
	}
	o->top_given = o->top != 0;
	o->color = !o->no_color && !getenv("NO_COLOR") && isatty(STDOUT_FILENO);
	o->screen = command == COMMAND_TOP;
	rc = parse_pids(o, err);
	if (!rc)
		rc = parse_findings(o, err);
	if (!rc && (command & TRACE))
		rc = parse_words(o, argc, argv, rest, err);
	else if (!rc && (command & STORED))
		rc = take_words(o, argc, argv, rest, err);
	else if (!rc && rest < argc)
		rc = errmsg_set(err, -EINVAL, "unexpected word '%s'; see --help", argv[rest]);
	if (!rc && (o->pids.n != 0) + (o->all || o->name || o->cgroup) + (o->command != NULL) > 1)
		rc = errmsg_set(err, -EINVAL, "-p, -a (-n, --cgroup) and a command exclude each other");
	if (!rc && o->native && o->lua_only)
		rc = errmsg_set(err, -EINVAL, "--native and --lua-only exclude each other");
	if (!rc && o->max_size && o->max_size < o->min_size)
		rc = errmsg_set(err, -EINVAL, "--max-size is below --min-size: no block can pass");
	if (!rc && o->screen && !o->interval)
		o->interval = TOP_SECONDS;
	if (!rc)
		rc = check_outputs(o, err);
	if (!rc)
		rc = check_each_call(o, err);
	if (!rc)
		rc = check_recording(o, command, err);
	return rc;
}

#define HELP_WIDTH_LEAST 60

/* Of the terminal, at most so wide that lines are easy to read. */
static int help_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize ws = { .ws_col = 80 };
	uint64_t n;

	if (columns && fmt_parse_u64(columns, 1000, &n))
		ws.ws_col = (unsigned short)n;
	else if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) || !ws.ws_col)
		ws.ws_col = 80;
	return ws.ws_col < HELP_WIDTH_LEAST ? HELP_WIDTH_LEAST : ws.ws_col;
}

void options_help(enum command command, FILE *out)
{
	command_help(command, out);
	opt_help(table, N_OPTS, command, help_width(), out);
	fputs("\nExit status: 0 done, 1 findings (only with --exit-code), 2 usage,\n"
	      "66 no such process or no Lua in it, 69 the kernel lacks something,\n"
	      "70 internal, 74 cannot write, 77 no permission\n", out);
	if (command & TRACE)
		fputs("A command behind -- ends with its own status, unless one of these is due.\n", out);
}

enum exit_status exit_status_of(int rc)
{
	switch (rc < 0 ? -rc : rc) {
	case 0:
		return EXIT_DONE;
	case EINVAL:
	case ENOENT:
	case EBADMSG: /* a file that is none of ours */
		return EXIT_USAGE;
	case ESRCH:
		return EXIT_NO_TARGET;
	case EOPNOTSUPP:
		return EXIT_KERNEL;
	case EPERM:
	case EACCES:
		return EXIT_PERMISSION;
	case EIO:
	case EEXIST:
	case ENOSPC:
	case EDQUOT:
		return EXIT_WRITE;
	default:
		return EXIT_INTERNAL;
	}
}
