/* SPDX-License-Identifier: MIT */
/* What is logged holds names that others chose: it moves no cursor, and is one line. */
#include "unit.h"

#include "base/log.h"

/* What `say` prints on stderr. */
static const char *logged(void (*say)(const char *name), const char *name)
{
	static char text[1 << 16];
	int old = dup(STDERR_FILENO), fd = memfd_create("stderr", 0);
	ssize_t n;

	assert_true(old >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	say(name);
	fflush(stderr);
	dup2(old, STDERR_FILENO);
	n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(old);
	close(fd);
	return text;
}

static void warn(const char *name)
{
	log_warn("'%s' is not traced", name);
}

static void info(const char *name)
{
	log_info("%s", name);
}

static void debug(const char *name)
{
	log_debug("%s", name);
}

static void vtrace(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vtrace(fmt, ap);
	va_end(ap);
}

static void trace(const char *name)
{
	vtrace("libbpf: %s\nsecond\n", name);
}

static void control_characters_are_shown_as_what_they_are(void **state)
{
	(void)state;
	assert_string_equal(logged(warn, "a\033[2J\nb"),
			    "luamemtrace: warning: 'a\\x1b[2J\\x0ab' is not traced\n");
	assert_string_equal(logged(info, "\xc3\xa4 \x9b"), "luamemtrace: \xc3\xa4 \\x9b\n");
	assert_string_equal(logged(debug, "\r"), "");
	log_set_level(LOG_TRACE);
	assert_string_equal(logged(debug, "\r"), "luamemtrace: \\x0d\n");
	assert_string_equal(logged(trace, "\033c"), "libbpf: \\x1bc\nsecond\n");
	log_set_level(LOG_NORMAL);
}

static void a_line_without_end_is_cut(void **state)
{
	static char name[1 << 15];

	(void)state;
	memset(name, 27, sizeof(name) - 1);
	assert_in_range(strlen(logged(warn, name)), 4096, 8300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(control_characters_are_shown_as_what_they_are),
		cmocka_unit_test(a_line_without_end_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
