/* SPDX-License-Identifier: MIT */
#include "how_sure.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MIN_RELEASED 16 /* blocks; fewer may be those of something else at that line */

static void add_reason(struct how_sure *sure, const char *text)
{
	size_t n = strlen(sure->text);

	if (strstr(sure->text, text))
		return;
	sure->reasons++;
	snprintf(sure->text + n, sizeof(sure->text) - n, "%s%s", n ? "; " : "", text);
}

/* Some were held for a while and let go: it is not a cache that only fills. */
static bool others_die(const struct heap_site *s)
{
	return s->says.says == SURVIVAL_STAY && s->says.released >= MIN_RELEASED &&
	       s->says.stay_s > 0;
}

/* What luaL_ref() gives is a number, which is of no use to look anything up. */
static bool is_reference(const char *path)
{
	static const char registry[] = "registry";
	size_t n = sizeof(registry) - 1;

	return !strncmp(path, registry, n) && path[n] == EVIDENCE_STEP && path[n + 1] == '[' &&
	       isdigit((unsigned char)path[n + 2]);
}

void how_sure_add(struct how_sure *sure, const struct strpool *strings, const struct heap_site *s)
{
	static const char finalizer[] = "waits for its finalizer";
	const char *path = s->holder ? strpool_get(strings, s->holder) : "";

	if (others_die(s))
		add_reason(sure, "others of this line are held for a while and let go");
	if (others_die(s) && s->says.share > sure->share) { /* the rest may be garbage */
		sure->share = s->says.share;
		sure->low = s->says.low;
		sure->high = s->says.high;
	}
	if (is_reference(path))
		add_reason(sure, "references in the registry, which have no key to find them by");
	if (!strncmp(path, finalizer, sizeof(finalizer) - 1))
		add_reason(sure, "objects that wait for their finalizers");
}

enum severity how_sure_severity(const struct how_sure *sure)
{
	return sure->reasons ? SEVERITY_ERROR : SEVERITY_WARNING;
}

/* Nothing here excludes all else: certain is what two reasons say that have nothing in common. */
enum confidence how_sure_confidence(const struct how_sure *sure)
{
	return sure->reasons > 1 ? CONFIDENCE_CERTAIN
	       : sure->reasons ? CONFIDENCE_LIKELY : CONFIDENCE_POSSIBLE;
}
