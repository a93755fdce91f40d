/* SPDX-License-Identifier: MIT */
#include "finding_lines.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heap/detect.h"

/* One part of a line; a file may hold anything, so that each may be missing. */
static void take(const char **s, char *buf, size_t size)
{
	static const char ends[] = { EVIDENCE_PART, EVIDENCE_STEP, '\0' };
	size_t n = strcspn(*s, ends);

	snprintf(buf, size, "%.*s", (int)(n < size ? n : size - 1), *s);
	*s += n;
	*s += **s == EVIDENCE_PART;
}

static uint64_t take_number(const char **s)
{
	char buf[32];

	take(s, buf, sizeof(buf));
	return strtoull(buf, NULL, 10);
}

bool finding_lines_next(const char **text, struct finding_line *ret)
{
	const char *s = *text;
	char rate[32];

	if (!s || !*s)
		return false;
	take(&s, ret->line, sizeof(ret->line));
	take(&s, ret->kind, sizeof(ret->kind));
	ret->bytes = take_number(&s);
	ret->blocks = take_number(&s);
	take(&s, rate, sizeof(rate));
	ret->growth_bytes_per_s = strtod(rate, NULL);
	if (!isfinite(ret->growth_bytes_per_s))
		ret->growth_bytes_per_s = 0;
	s = strchr(s, EVIDENCE_STEP);
	*text = s ? s + 1 : "";
	return true;
}
