/* SPDX-License-Identifier: MIT */
/*
 * options: the command line's options and exit statuses, each in one table. L10 cli.
 */
#ifndef LMT_CLI_OPTIONS_H
#define LMT_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/opt.h"
#include "base/vec.h"
#include "trace/config.h"

enum exit_status {
	EXIT_DONE = 0,
	EXIT_FINDINGS = 1,       /* only with --exit-code */
	EXIT_USAGE = 2,
	EXIT_NO_TARGET = 66,
	EXIT_KERNEL = 69,
	EXIT_INTERNAL = 70,
	EXIT_WRITE = 74,
	EXIT_PERMISSION = 77,
};

enum command {
	COMMAND_TRACE = 1,
	COMMAND_LIST = 2,
	COMMAND_DOCTOR = 4,
	COMMAND_CENSUS = 8,
	COMMAND_RECORD = 0x40,
	COMMAND_REPORT = 0x80,
	COMMAND_DIFF = 0x100,
	COMMAND_TOP = 0x200,
	COMMAND_SERVE = 0x400,
};

struct options {
	const char *line; /* the command line, for the header; borrowed */
	struct opt_list pid_texts;
	vec_of(pid_t) pids;
	int all;
	const char *name;   /* comm */
	const char *cgroup; /* path, and all below it */
	char **command;     /* behind "--", NULL-terminated; borrowed from argv */
	bool children;     /* the command follows them, unless: */
	bool no_children;
	bool skip_missing; /* a process that ended meanwhile is not an error */
	double interval; /* seconds between reports; 0: one at the end */
	uint64_t count;  /* reports; 0: no limit */
	double duration; /* seconds; 0: until the end */
	int mode;        /* enum mode */
	double max_overhead; /* percent; auto and watch */
	int each_call;   /* a line for each allocator call */
	const char *listen; /* HOST:PORT to answer scrapers at */
	uint64_t max_series; /* of a metric */
	int metric_label;    /* 1: pid */
	bool screen;     /* drawn on the terminal, report by report */
	uint64_t top;
	bool top_given;
	uint64_t older_ms, min_size, max_size;
	uint64_t only_state;
	int sort;        /* enum sort_key */
	uint64_t max_blocks, max_states;
	uint64_t sample_bytes, stack_depth;
	int lua_only, native;
	int folded; /* enum metric + 1; 0: off */
	const char *flamegraph, *pprof; /* files; "-" stdout */
	const char *layout_file;
	const char *write_file; /* incident file to make */
	int force;              /* …over one that is there */
	uint64_t max_file;      /* bytes of it; 0: no limit */
	const char *trigger_text; /* when to write it; NULL: from the start */
	double before;          /* seconds kept in memory until then */
	int no_census;
	bool no_report;         /* the file is all the output there is */
	const char *words[2];   /* report, diff: files */
	unsigned int n_words;
	uint64_t min_growth;    /* diff: bytes */
	const char *html;       /* the page of an incident */
	const char *kinds_text, *suppressions_file;
	uint32_t kinds;  /* bit set of enum finding_kind; 0: all */
	struct suppressions *suppressions;
	struct opt_list watch_calls;
	int exit_code;

	int by;                 /* enum census_by */
	uint64_t pause_budget_ms;
	const char *path_text;  /* addresses to name, comma-separated */
	int strings;

	bool color; /* of what goes to stdout: a terminal, and nobody said no */
	int json, no_color, verbose, quiet, help, version, debuginfod;
};

/*
 * Parses argv[1…] of one command. 0 or -EINVAL with the text for the user. The caller owns
 * o->pids.
 */
int options_parse(struct options *o, enum command command, int argc, char **argv,
		  struct errmsg *err);
void options_deinit(struct options *o);

/* What the engine gets of them; borrows from o. */
void options_trace_config(const struct options *o, struct trace_config *ret);

/* Places and states that a report shows; 0: all. */
size_t options_top(const struct options *o);

void options_help(enum command command, FILE *out);

/* The exit status that goes with a negative errno; see base/err.h. */
enum exit_status exit_status_of(int rc);

#endif
