/* SPDX-License-Identifier: MIT */
/* opt and cli/options: what is accepted, what is refused and with which words, what --help says. */
#include "unit.h"

#include <errno.h>

#include "base/fmt.h"
#include "base/opt.h"
#include "cli/options.h"
#include "trace/build_report.h"

struct values {
	int flag, choice;
	const char *text;
	uint64_t number;
	double seconds, time;
	uint64_t ms;
};

static const char *const colours[] = { "red", "green", NULL };

static const struct opt table[] = {
	{ 'f', "flag", OPT_FLAG, offsetof(struct values, flag), 3, "A", NULL, "a flag", 0, 0, NULL },
	{ 't', "text", OPT_STR, offsetof(struct values, text), 1, "A", "TEXT", "a text", 0, 0, NULL },
	{ 'n', "number", OPT_U64, offsetof(struct values, number), 1, "B", "N", "a number", 2, 100, NULL },
	{ 0, "least", OPT_U64, offsetof(struct values, number), 1, "B", "N", "no limit above", 5, 0, NULL },
	{ 's', "seconds", OPT_DOUBLE, offsetof(struct values, seconds), 1, "B", "S", "seconds", 0, 60, NULL },
	{ 0, "time", OPT_SECONDS, offsetof(struct values, time), 1, "B", "TIME", "a time", 1, 7200, NULL },
	{ 0, "ms", OPT_MS, offsetof(struct values, ms), 1, "B", "MS", "a short time", 0, 60000, NULL },
	{ 'c', "colour", OPT_CHOICE, offsetof(struct values, choice), 2, "B", "C", "a colour", 0, 0, colours },
};

#define MAX_ARGS 32

/* Splits "a b c" at spaces into an argv that begins with the program's name. */
static int split(char *line, char **argv)
{
	int argc = 0;

	argv[argc++] = (char *)"luamemtrace";
	for (char *w = strtok(line, " "); w; w = strtok(NULL, " "))
		argv[argc++] = strcmp(w, "''") ? w : (char *)"";
	argv[argc] = NULL;
	return argc;
}

struct parsed {
	struct values v;
	int rc, rest;
	struct errmsg err;
	char line[256];
	char *argv[MAX_ARGS];
};

static struct parsed *parse(struct parsed *p, unsigned int command, const char *line)
{
	int argc;

	memset(p, 0, sizeof(*p));
	snprintf(p->line, sizeof(p->line), "%s", line);
	argc = split(p->line, p->argv);
	p->rc = opt_parse(table, N_OF(table), command, &p->v, argc, p->argv, &p->rest, &p->err);
	return p;
}

static void values_of_each_type_are_stored(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, 1, "-ff --text=hello -n 50 --seconds 1.5 word");
	assert_int_equal(p.rc, 0);
	assert_int_equal(p.v.flag, 2);
	assert_string_equal(p.v.text, "hello");
	assert_int_equal(p.v.number, 50);
	assert_true(p.v.seconds == 1.5);
	assert_string_equal(p.argv[p.rest], "word");
	parse(&p, 1, "word -ft x");
	assert_int_equal(p.v.flag, 1);
	assert_string_equal(p.v.text, "x");
	assert_string_equal(p.argv[p.rest], "word");
	parse(&p, 1, "-- -f");
	assert_int_equal(p.v.flag, 0);
	assert_string_equal(p.argv[p.rest], "-f");
	parse(&p, 2, "--colour green");
	assert_int_equal(p.v.choice, 1);
}

static void wrong_options_are_named(void **state)
{
	static const struct { unsigned int command; const char *line, *text; } rows[] = {
		{ 1, "-x", "unknown option '-x'; see --help" },
		{ 1, "-fx", "unknown option '-x'; see --help" },
		{ 1, "--flag -xf", "unknown option '-x'; see --help" },
		{ 1, "--nope", "unknown option '--nope'; see --help" },
		{ 1, "--nmuber 3", "unknown option '--nmuber'; did you mean '--number'?" },
		{ 1, "--time 5x", "option '--time': '5x' is not a time that is possible here, such as 10, 500ms, 5m or 2h" },
		{ 1, "--time 3h", "option '--time': '3h' is not a time that is possible here, such as 10, 500ms, 5m or 2h" },
		{ 1, "-c red", "unknown option '-c'; see --help" },
		{ 2, "-t x", "unknown option '-t'; see --help" },
		{ 1, "-t", "option '-t' needs a value; see --help" },
		{ 1, "--text", "option '--text' needs a value; see --help" },
		{ 1, "-t a -t b", "option '--text' is given twice" },
		{ 1, "-n 1", "option '--number': '1' is not a number from 2 to 100" },
		{ 1, "-n 101", "option '--number': '101' is not a number from 2 to 100" },
		{ 1, "-n many", "option '--number': 'many' is not a number from 2 to 100" },
		{ 1, "-n ''", "option '--number': '' is not a number from 2 to 100" },
		{ 1, "--least 4", "option '--least': '4' is not a number of at least 5" },
		{ 1, "-s -1", "option '--seconds': '-1' is not a number from 0 to 60" },
		{ 1, "-s nan", "option '--seconds': 'nan' is not a number from 0 to 60" },
		{ 1, "-s inf", "option '--seconds': 'inf' is not a number from 0 to 60" },
		{ 1, "-s 1s", "option '--seconds': '1s' is not a number from 0 to 60" },
		{ 2, "-c blue", "option '--colour': 'blue' is not one of red, green" },
	};
	struct parsed p;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		parse(&p, rows[i].command, rows[i].line);
		assert_int_equal(p.rc, -EINVAL);
		assert_string_equal(p.err.text, rows[i].text);
	}
}

static void a_very_long_value_is_refused_in_bounds(void **state)
{
	char big[5000], *argv[] = { (char *)"x", (char *)"-n", big, NULL };
	struct values v;
	struct errmsg err;
	int rest;

	(void)state;
	memset(big, '9', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(opt_parse(table, N_OF(table), 1, &v, 3, argv, &rest, &err), -EINVAL);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

struct cli {
	struct options o;
	struct errmsg err;
	char line[256];
	char *argv[MAX_ARGS];
	int rc;
};

static struct cli *cli(struct cli *c, enum command command, const char *line)
{
	int argc;

	snprintf(c->line, sizeof(c->line), "%s", line);
	argc = split(c->line, c->argv);
	c->rc = options_parse(&c->o, command, argc, c->argv, &c->err);
	return c;
}

static void a_full_command_line_is_understood(void **state)
{
	struct cli c;

	(void)state;
	cli(&c, COMMAND_TRACE, "-p 12,34 -m exact -T 3 --sort rate -z 16 -Z 1k -o 500 2.5 4 --json");
	assert_int_equal(c.rc, 0);
	assert_int_equal(c.o.pids.n, 2);
	assert_int_equal(c.o.pids.v[1], 34);
	assert_int_equal(c.o.mode, MODE_EXACT);
	assert_int_equal(c.o.top, 3);
	assert_true(c.o.top_given);
	assert_int_equal(c.o.min_size, 16);
	assert_int_equal(c.o.max_size, 1024);
	assert_int_equal(c.o.older_ms, 500);
	assert_true(c.o.interval == 2.5);
	assert_int_equal(c.o.count, 4);
	assert_int_equal(c.o.json, 1);
	options_deinit(&c.o);
}

static void defaults_are_those_of_the_help(void **state)
{
	struct cli c;

	(void)state;
	cli(&c, COMMAND_TRACE, "-p 1");
	assert_int_equal(c.rc, 0);
	assert_int_equal(c.o.mode, MODE_AUTO);
	assert_int_equal(c.o.max_states, 100000);
	assert_false(c.o.top_given);
	assert_true(c.o.interval == 0 && c.o.duration == 0);
	options_deinit(&c.o);
}

static void times_have_units(void **state)
{
	static const struct { const char *line; double time; uint64_t ms; } cases[] = {
		{ "--time 90 --ms 90", 90, 90 },   { "--time 1.5s --ms 1.5s", 1.5, 1500 },
		{ "--time 5m --ms 1m", 300, 60000 }, { "--time 2h --ms 0", 7200, 0 },
		{ "--time 2500ms --ms 7ms", 2.5, 7 },
	};
	struct parsed p;

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		parse(&p, 1, cases[i].line);
		assert_int_equal(p.rc, 0);
		assert_true(p.v.time == cases[i].time);
		assert_int_equal(p.v.ms, cases[i].ms);
	}
}

static void words_that_are_alike_are_found(void **state)
{
	static const char *const words[] = { "list", "census", "report", "record", NULL };

	(void)state;
	assert_string_equal(fmt_similar("lsit", words), "list");
	assert_string_equal(fmt_similar("sensus", words), "census");
	assert_string_equal(fmt_similar("reprot", words), "report");
	assert_null(fmt_similar("often", words));
	assert_null(fmt_similar("", words));
	assert_null(fmt_similar("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz", words));
}

static void wrong_command_lines_say_why(void **state)
{
	static const struct { enum command command; const char *line, *text; } rows[] = {
		{ COMMAND_TRACE, "-p x", "'x' is not a process id; for all processes of that name: -n x" },
		{ COMMAND_TRACE, "-p 0", "'0' is not a process id" },
		{ COMMAND_TRACE, "-p -5", "'-5' is not a process id" },
		{ COMMAND_TRACE, "-p 1,,2", "'' is not a process id" },
		{ COMMAND_TRACE, "-p 4194305", "'4194305' is not a process id" },
		{ COMMAND_TRACE, "-p 3,3", "process 3 is given twice" },
		{ COMMAND_TRACE, "-p 1 0.01", "'0.01' is not an interval in seconds (0.1 or more); see --help" },
		{ COMMAND_TRACE, "-p 1 nan", "'nan' is neither a command nor an interval such as 5 or 2m; see --help" },
		{ COMMAND_TRACE, "-p 1 1 0", "'0' is not a number of reports" },
		{ COMMAND_TRACE, "-p 1 1 2 3", "unexpected word '3'; see --help" },
		{ COMMAND_LIST, "word", "unexpected word 'word'; see --help" },
		{ COMMAND_DOCTOR, "-T 3", "unknown option '-T'; see --help" },
		{ COMMAND_TRACE, "-p 1 -z 10 -Z 9", "--max-size is below --min-size: no block can pass" },
	};
	struct cli c;

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		cli(&c, rows[i].command, rows[i].line);
		assert_int_equal(c.rc, -EINVAL);
		assert_string_equal(c.err.text, rows[i].text);
		options_deinit(&c.o);
	}
}

static char *help_of(enum command command)
{
	static char *text; /* static: gcc 12 takes the result for the address of a local */
	size_t size;
	FILE *f = open_memstream(&text, &size);

	options_help(command, f);
	fclose(f);
	return text;
}

/* An option is known to the parser when it is not called unknown. */
static bool is_known(enum command command, const char *option)
{
	char *argv[] = { (char *)"luamemtrace", (char *)option, NULL };
	struct options o;
	struct errmsg err = { 0 };
	bool known;

	options_parse(&o, command, 2, argv, &err);
	known = !strstr(err.text, "unknown option") && !strstr(err.text, "unexpected word");
	options_deinit(&o);
	return known;
}

/* Every option in the text, as "  -x, --long" or "      --long" at the start of a line. */
static size_t check_help(enum command command, const char *help)
{
	size_t n = 0;

	for (const char *at = strstr(help, "\n  "); at; at = strstr(at + 1, "\n  ")) {
		char name[64], letter[3] = "-?";

		if (sscanf(at, "\n  -%c, --%50[a-z-]", &letter[1], name + 2) == 2) {
			if (!is_known(command, letter))
				fail_msg("--help shows %s", letter);
		} else if (sscanf(at, "\n      --%50[a-z-]", name + 2) != 1) {
			continue;
		}
		memcpy(name, "--", 2);
		if (!is_known(command, name))
			fail_msg("--help shows %s", name);
		n++;
	}
	return n;
}

static void help_shows_only_what_the_parser_knows(void **state)
{
	static const enum command commands[] = { COMMAND_TRACE, COMMAND_LIST, COMMAND_DOCTOR };

	(void)state;
	for (size_t i = 0; i < N_OF(commands); i++) {
		char *help = help_of(commands[i]);

		assert_true(check_help(commands[i], help) >= 5);
		free(help);
	}
}

static void help_shows_every_letter_the_parser_knows(void **state)
{
	static const enum command commands[] = { COMMAND_TRACE, COMMAND_LIST, COMMAND_DOCTOR };

	(void)state;
	for (size_t i = 0; i < N_OF(commands); i++) {
		char *help = help_of(commands[i]);

		for (char c = '0'; c <= 'z'; c++) {
			char option[3] = { '-', c, '\0' }, shown[8];

			snprintf(shown, sizeof(shown), "\n  -%c, ", c);
			if (!!strstr(help, shown) != is_known(commands[i], option))
				fail_msg("-%c is shown or known, not both", c);
		}
		free(help);
	}
}

/* Promised to users of tracing; each must be there, by its long name. */
static void help_of_trace_shows_the_options_of_the_contract(void **state)
{
	static const char *const names[] = {
		"pid", "duration", "mode", "max-blocks", "max-states", "layout", "top", "sort", "older",
		"min-size", "max-size", "state", "json", "no-color", "verbose", "quiet", "help",
		"version",
	};
	char *help = help_of(COMMAND_TRACE), shown[64];

	(void)state;
	for (size_t i = 0; i < N_OF(names); i++) {
		snprintf(shown, sizeof(shown), "--%s ", names[i]);
		if (!strstr(help, shown))
			fail_msg("--%s is not in --help", names[i]);
	}
	free(help);
}

static void exit_statuses_are_those_of_the_contract(void **state)
{
	static const struct { int rc, status; } rows[] = {
		{ 0, 0 }, { -EINVAL, 2 }, { -ESRCH, 66 }, { -EOPNOTSUPP, 69 }, { -ENOMEM, 70 },
		{ -EIO, 74 }, { -ENOSPC, 74 }, { -EPERM, 77 }, { -EACCES, 77 },
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++)
		assert_int_equal(exit_status_of(rows[i].rc), rows[i].status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_of_each_type_are_stored),
		cmocka_unit_test(wrong_options_are_named),
		cmocka_unit_test(a_very_long_value_is_refused_in_bounds),
		cmocka_unit_test(a_full_command_line_is_understood),
		cmocka_unit_test(defaults_are_those_of_the_help),
		cmocka_unit_test(times_have_units),
		cmocka_unit_test(words_that_are_alike_are_found),
		cmocka_unit_test(wrong_command_lines_say_why),
		cmocka_unit_test(help_shows_only_what_the_parser_knows),
		cmocka_unit_test(help_shows_every_letter_the_parser_knows),
		cmocka_unit_test(help_of_trace_shows_the_options_of_the_contract),
		cmocka_unit_test(exit_statuses_are_those_of_the_contract),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
