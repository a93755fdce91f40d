/* SPDX-License-Identifier: MIT */
/*
 * suppress: a file of findings that are known and not wanted, in the form LeakSanitizer reads.
 * L5 correlate.
 *
 *	# comment
 *	leak:lib/cache.lua      kind (leak stands for all kinds of leaks), then a pattern that is
 *	static-free:libfoo*.so  looked for in places, function names, modules and the message;
 *	*:^@vendor/             '*' stands for anything, '^' and '$' for start and end
 */
#ifndef LMT_HEAP_SUPPRESS_H
#define LMT_HEAP_SUPPRESS_H

#include <stdbool.h>

#include "base/err.h"
#include "detect.h"

struct suppressions;

/* *ret is the caller's, to be given to suppress_free(). -EINVAL names file and line; -ENOENT, … */
int suppress_read(const char *path, struct suppressions **ret, struct errmsg *err);
void suppress_free(struct suppressions *s);

/* True when some line of the file fits. s may be NULL. */
bool suppress_fits(const struct suppressions *s, const struct finding *f,
		   const struct strpool *strings);

/* The pattern language alone, for tests. */
bool suppress_match(const char *pattern, const char *text);

#endif
