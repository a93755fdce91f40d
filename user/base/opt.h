/* SPDX-License-Identifier: MIT */
/*
 * opt: one table of options gives the parser, the --help text and the completion words.
 * L0 base. Must not know what the options mean.
 */
#ifndef LMT_BASE_OPT_H
#define LMT_BASE_OPT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "err.h"

enum opt_type {
	OPT_FLAG,   /* int, counted up */
	OPT_STR,    /* const char *, borrowed from argv */
	OPT_U64,    /* uint64_t, with k/M/G */
	OPT_DOUBLE, /* double, a percentage */
	OPT_SECONDS, /* double; 5m, 500ms */
	OPT_MS,     /* uint64_t, milliseconds; 2s */
	OPT_CHOICE, /* int, index into choices */
	/* int, index into choices + 1; the value may be left out: 1. --name=VALUE or -n=VALUE */
	OPT_MAYBE,
	OPT_LIST,   /* struct opt_list; may be given again and again */
};

#define OPT_LIST_MAX 64
struct opt_list {
	const char *v[OPT_LIST_MAX]; /* borrowed from argv */
	size_t n;
};

struct opt {
	char short_name;       /* 0: none */
	const char *long_name;
	enum opt_type type;
	size_t offset;         /* of the value in the caller's struct */
	unsigned int commands; /* bit set of the commands that take it */
	const char *group;     /* heading in --help */
	const char *arg;       /* name of the value; NULL for a flag */
	const char *help;      /* with the default in it */
	uint64_t min, max;     /* OPT_U64, OPT_DOUBLE; max 0: no limit */
	const char *const *choices; /* OPT_CHOICE, OPT_MAYBE; NULL-terminated */
};

/*
 * Parses argv[1…] for one command (a bit of opt.commands) into values, up to the end or "--".
 * Options that take a value may be given once.
 * *rest_ret: index of the first word left over; the words are permuted to the end of argv.
 * 0, or -EINVAL with a text that names the option.
 */
int opt_parse(const struct opt *table, size_t n, unsigned int command, void *values, int argc,
	      char **argv, int *rest_ret, struct errmsg *err);

/* Prints the options of a command by group, two columns, broken at words. */
void opt_help(const struct opt *table, size_t n, unsigned int command, int width, FILE *out);

#endif
