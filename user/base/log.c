/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdio.h>
#include <string.h>

#include "escape.h"

#define LINE 4096 /* longer ones are cut */

static enum log_level current = LOG_NORMAL;

void log_set_level(enum log_level level)
{
	current = level;
}

enum log_level log_level(void)
{
	return current;
}

/* Names and paths in it are the targets': none is to move the cursor, or to begin a line. */
static void vprint(const char *prefix, const char *fmt, va_list ap)
{
	char text[LINE], safe[2 * LINE];

	vsnprintf(text, sizeof(text), fmt, ap);
	escape_term(safe, sizeof(safe), text);
	fprintf(stderr, "luamemtrace: %s%s\n", prefix, safe);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	if (current < LOG_NORMAL)
		return;
	va_start(ap, fmt);
	vprint("", fmt, ap);
	va_end(ap);
}

void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint("warning: ", fmt, ap);
	va_end(ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (current < LOG_DEBUG)
		return;
	va_start(ap, fmt);
	vprint("", fmt, ap);
	va_end(ap);
}

void log_vtrace(const char *fmt, va_list ap)
{
	char text[4 * LINE], safe[2 * sizeof(text)], *save = NULL;

	if (current < LOG_TRACE)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		escape_term(safe, sizeof(safe), l);
		fprintf(stderr, "%s\n", safe);
	}
}
