/* SPDX-License-Identifier: MIT */
#include "opt.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fmt.h"

#define LONG_BASE 0x1000 /* getopt_long() codes: LONG_BASE + table index */

static const char *shown_name(const struct opt *o, char *buf, size_t size)
{
	if (o->short_name)
		snprintf(buf, size, "-%c, --%s", o->short_name, o->long_name);
	else
		snprintf(buf, size, "--%s", o->long_name);
	return buf;
}

static int bad_value(const struct opt *o, const char *arg, struct errmsg *err)
{
	if (o->type < OPT_CHOICE && o->max)
		return errmsg_set(err, -EINVAL,
				  "option '--%s': '%s' is not a number from %llu to %llu",
				  o->long_name, arg, (unsigned long long)o->min,
				  (unsigned long long)o->max);
	if (o->type < OPT_CHOICE)
		return errmsg_set(err, -EINVAL, "option '--%s': '%s' is not a number of at least %llu",
				  o->long_name, arg, (unsigned long long)o->min);
	errmsg_set(err, -EINVAL, "option '--%s': '%s' is not one of", o->long_name, arg);
	for (int i = 0; o->choices[i]; i++) {
		size_t used = strlen(err->text);

		snprintf(err->text + used, sizeof(err->text) - used, "%s %s", i ? "," : "",
			 o->choices[i]);
	}
	return -EINVAL;
}

static int store_u64(const struct opt *o, uint64_t *value, const char *arg, struct errmsg *err)
{
	uint64_t v;

	if (!fmt_parse_u64(arg, o->max ? o->max : UINT64_MAX, &v) || v < o->min)
		return bad_value(o, arg, err);
	*value = v;
	return 0;
}

static int store_double(const struct opt *o, double *value, const char *arg, struct errmsg *err)
{
	char *end;
	double v = strtod(arg, &end);

	if (end == arg || *end || !isfinite(v) || v < (double)o->min ||
	    (o->max && v > (double)o->max))
		return bad_value(o, arg, err);
	*value = v;
	return 0;
}

static int store_choice(const struct opt *o, int *value, const char *arg, struct errmsg *err)
{
	for (int i = 0; o->choices[i]; i++) {
		if (!strcmp(o->choices[i], arg)) {
			*value = i;
			return 0;
		}
	}
	return bad_value(o, arg, err);
}

static int store_list(const struct opt *o, struct opt_list *list, const char *arg,
		      struct errmsg *err)
{
	if (list->n == OPT_LIST_MAX)
		return errmsg_set(err, -EINVAL, "option '--%s' is given more than %d times", o->long_name,
				  OPT_LIST_MAX);
	list->v[list->n++] = arg;
	return 0;
}

static int store(const struct opt *o, void *values, const char *arg, struct errmsg *err)
{
	void *at = (char *)values + o->offset;

	switch (o->type) {
	case OPT_FLAG:
		++*(int *)at;
		return 0;
	case OPT_STR:
		*(const char **)at = arg;
		return 0;
	case OPT_U64:
		return store_u64(o, at, arg, err);
	case OPT_DOUBLE:
		return store_double(o, at, arg, err);
	case OPT_CHOICE:
		return store_choice(o, at, arg, err);
	case OPT_LIST:
		return store_list(o, at, arg, err);
	case OPT_MAYBE:
		*(int *)at = 0;
		if (arg) {
			int rc = store_choice(o, at, arg, err);

			if (rc)
				return rc;
		}
		++*(int *)at;
		return 0;
	}
	return 0;
}

static int build_getopt(const struct opt *table, size_t n, unsigned int command, char *shorts,
			struct option *longs)
{
	size_t s = 0, l = 0;

	shorts[s++] = ':'; /* report a missing value as ':' */
	for (size_t i = 0; i < n; i++) {
		const struct opt *o = &table[i];

		if (!(o->commands & command))
			continue;
		longs[l++] = (struct option){ o->long_name,
					      o->type == OPT_MAYBE ? optional_argument
					      : o->arg		   ? required_argument
								   : no_argument, NULL,
					      LONG_BASE + (int)i };
		if (!o->short_name)
			continue;
		shorts[s++] = o->short_name;
		if (o->arg)
			shorts[s++] = ':';
		if (o->type == OPT_MAYBE)
			shorts[s++] = ':';
	}
	shorts[s] = '\0';
	longs[l] = (struct option){ 0 };
	return 0;
}

static long index_of(const struct opt *table, size_t n, unsigned int command, int code)
{
	if (code >= LONG_BASE)
		return code - LONG_BASE;
	for (size_t i = 0; i < n; i++)
		if ((table[i].commands & command) && table[i].short_name == code)
			return (long)i;
	return -1;
}

static int unknown(int code, char **argv, struct errmsg *err)
{
	const char *word = argv[optind - 1];

	if (code == ':')
		return errmsg_set(err, -EINVAL, "option '%s' needs a value; see --help", word);
	if (optopt && optopt < LONG_BASE) /* a letter; the word may be the one before it */
		return errmsg_set(err, -EINVAL, "unknown option '-%c'; see --help", optopt);
	return errmsg_set(err, -EINVAL, "unknown option '%s'; see --help", word);
}

int opt_parse(const struct opt *table, size_t n, unsigned int command, void *values, int argc,
	      char **argv, int *rest_ret, struct errmsg *err)
{
	auto_free struct option *longs = calloc(n + 1, sizeof(*longs));
	auto_free char *shorts = calloc(n + 1, 3);
	auto_free bool *seen = calloc(n + 1, sizeof(*seen));
	int code, rc;

	if (!longs || !shorts || !seen)
		return errmsg_set(err, -ENOMEM, "out of memory");
	build_getopt(table, n, command, shorts, longs);
	optind = 0; /* glibc: start afresh */
	opterr = 0;
	while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		long i = index_of(table, n, command, code);

		if (i < 0)
			return unknown(code, argv, err);
		if (seen[i] && table[i].arg && table[i].type != OPT_LIST)
			return errmsg_set(err, -EINVAL, "option '--%s' is given twice",
					  table[i].long_name);
		seen[i] = true;
		if (code < LONG_BASE && table[i].type == OPT_MAYBE && optarg && *optarg == '=')
			optarg++; /* -f=VALUE, as --name=VALUE */
		rc = store(&table[i], values, optarg, err);
		if (rc)
			return rc;
	}
	*rest_ret = optind;
	return 0;
}

/* Widths count bytes, a terminal characters: of UTF-8 the bytes 10xxxxxx take no room. */
static int bytes_behind_first(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += (*s & 0xc0) == 0x80;
	return n;
}

void opt_help(const struct opt *table, size_t n, unsigned int command, FILE *out)
{
	const char *group = "";
	char name[64], left[96];

	for (size_t i = 0; i < n; i++) {
		const struct opt *o = &table[i];

		if (!(o->commands & command))
			continue;
		if (strcmp(group, o->group)) {
			group = o->group;
			fprintf(out, "\n%s:\n", group);
		}
		snprintf(left, sizeof(left), "%s%s%s%s", o->short_name ? "" : "    ",
			 shown_name(o, name, sizeof(name)), o->type == OPT_MAYBE ? "[=" : o->arg ? " " : "",
			 o->arg ? o->arg : "");
		fprintf(out, "  %-*s %s\n", 28 + bytes_behind_first(left), left, o->help);
	}
}
