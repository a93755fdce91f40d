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

#define OPT_MAX 128 /* of a table */
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
	if (o->type == OPT_SECONDS || o->type == OPT_MS)
		return errmsg_set(err, -EINVAL, "option '--%s': '%s' is not a time that is possible here, "
				  "such as 10, 500ms, 5m or 2h", o->long_name, arg);
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

static int store_time(const struct opt *o, void *value, const char *arg, struct errmsg *err)
{
	double unit = o->type == OPT_MS ? 0.001 : 1, v;

	if (!fmt_parse_time(arg, unit, &v))
		return bad_value(o, arg, err);
	v /= unit;
	if (v < (double)o->min || v > (o->max ? (double)o->max : 1e15))
		return bad_value(o, arg, err);
	if (o->type == OPT_MS)
		*(uint64_t *)value = (uint64_t)(v + 0.5);
	else
		*(double *)value = v;
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
	case OPT_SECONDS:
	case OPT_MS:
		return store_time(o, at, arg, err);
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

/* A long option of the command that the word may have been meant to be; NULL: none is like it. */
static const char *meant(const struct option *longs, const char *word)
{
	const char *names[OPT_MAX + 1], *found;
	char name[64];
	size_t n = 0;

	if (strncmp(word, "--", 2))
		return NULL;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	for (; longs->name && n < OPT_MAX; longs++)
		names[n++] = longs->name;
	names[n] = NULL;
	found = fmt_similar(name, names);
	return found;
}

static int unknown(int code, char **argv, const struct option *longs, struct errmsg *err)
{
	const char *word = argv[optind - 1], *other = meant(longs, word);

	if (code == ':')
		return errmsg_set(err, -EINVAL, "option '%s' needs a value; see --help", word);
	if (optopt && optopt < LONG_BASE) /* a letter; the word may be the one before it */
		return errmsg_set(err, -EINVAL, "unknown option '-%c'; see --help", optopt);
	if (other)
		return errmsg_set(err, -EINVAL, "unknown option '%s'; did you mean '--%s'?", word, other);
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
			return unknown(code, argv, longs, err);
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

#define HELP_COLUMN 31 /* where what an option does begins */

/* The text from a column on, broken at blanks; a word that is too long for a line stays whole. */
static void put_wrapped(const char *text, int column, int width, FILE *out)
{
	int at = column;

	while (*text) {
		int word = (int)strcspn(text, " "), letters;
		char copy[128];

		snprintf(copy, sizeof(copy), "%.*s", word, text);
		letters = (int)strlen(copy) - bytes_behind_first(copy);
		if (at > column && at + 1 + letters > width) {
			fprintf(out, "\n%*s", column, "");
			at = column;
		} else if (at > column) {
			fputc(' ', out);
			at++;
		}
		fputs(copy, out);
		at += letters;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void opt_help(const struct opt *table, size_t n, unsigned int command, int width, FILE *out)
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
		fprintf(out, "  %-*s ", HELP_COLUMN - 3 + bytes_behind_first(left), left);
		put_wrapped(o->help, HELP_COLUMN, width, out);
	}
}
