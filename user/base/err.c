/* SPDX-License-Identifier: MIT */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int errmsg_set(struct errmsg *err, int rc, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return rc;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return rc;
}

void errmsg_bug(const char *file, int line)
{
	fprintf(stderr, "luamemtrace: broken invariant at %s:%d; please report this\n", file, line);
	abort();
}
