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

static bool begins(const char *path, const char *text)
{
	return !strncmp(path, text, strlen(text));
}

/* What luaL_ref() gives is a number, which is of no use to look anything up. */
static bool is_reference(const char *path)
{
	static const char registry[] = "registry";
	const char *next = path + sizeof(registry) - 1;

	return begins(path, registry) && next[0] == EVIDENCE_STEP && next[1] == '[' &&
	       isdigit((unsigned char)next[2]);
}

static bool waits_for_finalizer(const char *path)
{
	return begins(path, "waits for its finalizer");
}

static bool leads_back(const char *path)
{
	return strstr(path, "weak keys, which its values lead back to");
}

static bool ends_with_number(const char *from, const char *end)
{
	if (end - from < 3 || *--end != ']')
		return false;
	while (--end > from && isdigit((unsigned char)*end))
		;
	return *end == '[' && isdigit((unsigned char)end[1]);
}

/* "….handlers[12]", and then a function, or what it has as an upvalue. */
static bool is_handler(const char *path)
{
	for (const char *end; (end = strchr(path, EVIDENCE_STEP)); path = end + 1)
		if (ends_with_number(path, end) &&
		    (begins(end + 1, "function") || begins(end + 1, "upvalue")))
			return true;
	return false;
}

/* A slot of a coroutine's stack, or what a function has there. */
static bool is_in_coroutine(const char *path)
{
	return strstr(path, "thread") && !begins(path, "main thread");
}

/* What holders are like; reason NULL: a cache may be held so, too. */
static const struct {
	bool (*is)(const char *path);
	const char *reason, *advice;
} holders[] = {
	{ is_reference, "references in the registry, which have no key to find them by",
	  "each is from a luaL_ref(): find the way on which luaL_unref() is not called" },
	{ waits_for_finalizer, "objects that wait for their finalizers",
	  "finalizers do not keep up: see what __gc does there, or make fewer objects that need one" },
	{ leads_back, "values that lead back to the weak keys they are kept by",
	  "this Lua keeps what a weak table's values refer to (there are no ephemerons before 5.2 and in "
	  "LuaJIT): keep such a value in its key itself" },
	{ is_handler, "functions in a list, of which none is taken out",
	  "take a handler off the list when what it serves is gone" },
	{ is_in_coroutine, NULL, "a coroutine that waits holds them: see where, and who is to resume it" },
};

void how_sure_add(struct how_sure *sure, const struct strpool *strings, const struct heap_site *s)
{
	const char *path = s->holder ? strpool_get(strings, s->holder) : "";

	if (others_die(s))
		add_reason(sure, "others of this line are held for a while and let go");
	if (others_die(s) && s->says.share > sure->share) { /* the rest may be garbage */
		sure->share = s->says.share;
		sure->low = s->says.low;
		sure->high = s->says.high;
	}
	for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++) {
		if (!holders[i].is(path))
			continue;
		if (holders[i].reason)
			add_reason(sure, holders[i].reason);
		sure->advice = sure->advice ? sure->advice : holders[i].advice;
	}
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
