/* SPDX-License-Identifier: MIT */
#include "suppress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define MAX_LINE 4096

struct rule {
	char *kind, *pattern;
};

struct suppressions {
	vec_of(struct rule) rules;
};

void suppress_free(struct suppressions *s)
{
	if (!s)
		return;
	vec_each(r, &s->rules) {
		free(r->kind);
		free(r->pattern);
	}
	vec_deinit(&s->rules);
	free(s);
}

/* Does text begin with the pattern (up to its end or a final '$')? '*' is anything. */
static bool match_here(const char *p, const char *text)
{
	const char *star = NULL, *retry = NULL;

	for (;;) {
		if (!*p)
			return true;
		if (*p == '$' && !p[1] && !*text)
			return true;
		if (*p == '*') {
			star = ++p;
			retry = text;
			continue;
		}
		if (*text && *p == *text) {
			p++;
			text++;
			continue;
		}
		if (!star || !*retry)
			return false;
		p = star;
		text = ++retry;
	}
}

bool suppress_match(const char *pattern, const char *text)
{
	if (*pattern == '^')
		return match_here(pattern + 1, text);
	for (;; text++) {
		if (match_here(pattern, text))
			return true;
		if (!*text)
			return false;
	}
}

static bool is_leak(enum finding_kind k)
{
	return k == FINDING_LEAK || k == FINDING_OUTLIVED_CLOSE || k == FINDING_C_LEAK;
}

static bool kind_fits(const struct rule *r, enum finding_kind k)
{
	return !strcmp(r->kind, "*") || !strcmp(r->kind, finding_kind_name(k)) ||
	       (!strcmp(r->kind, "leak") && is_leak(k));
}

static bool frame_fits(const char *pattern, const struct frame *f, const struct strpool *strings)
{
	return (f->where && suppress_match(pattern, strpool_get(strings, f->where))) ||
	       (f->name && suppress_match(pattern, strpool_get(strings, f->name)));
}

static bool rule_fits(const struct rule *r, const struct finding *f, const struct strpool *strings)
{
	if (!kind_fits(r, f->kind))
		return false;
	if (frame_fits(r->pattern, &f->frame, strings) ||
	    suppress_match(r->pattern, strpool_get(strings, f->message)))
		return true;
	for (unsigned int i = 0; i < f->n_evidence; i++) {
		const struct evidence *e = &f->evidence[i];

		if (e->type == EVIDENCE_TEXT &&
		    suppress_match(r->pattern, strpool_get(strings, e->text)))
			return true;
		if (e->type == EVIDENCE_STACK && frame_fits(r->pattern, &e->frame, strings))
			return true;
	}
	return false;
}

bool suppress_fits(const struct suppressions *s, const struct finding *f,
		   const struct strpool *strings)
{
	if (!s)
		return false;
	vec_each(r, &s->rules)
		if (rule_fits(r, f, strings))
			return true;
	return false;
}

/* Cuts white space off both ends. */
static char *trim(char *s)
{
	char *end;

	while (*s == ' ' || *s == '\t')
		s++;
	end = s + strlen(s);
	while (end > s && strchr(" \t\r\n", end[-1]))
		*--end = 0;
	return s;
}

static int add_rule(struct suppressions *s, char *line, const char *path, int number,
		    struct errmsg *err)
{
	char *text = trim(line), *colon;
	enum finding_kind k;
	struct rule r;

	if (!*text || *text == '#')
		return 0;
	colon = strchr(text, ':');
	if (!colon || !colon[1])
		return errmsg_set(err, -EINVAL, "'%s' line %d is not a suppression; write kind:pattern", path,
				  number);
	*colon = 0;
	if (strcmp(text, "*") && !finding_kind_find(text, &k))
		return errmsg_set(err, -EINVAL, "'%s' line %d: there is no kind of finding '%s'", path,
				  number, text);
	r = (struct rule){ strdup(text), strdup(trim(colon + 1)) };
	if (r.kind && r.pattern && !vec_push(&s->rules, r))
		return 0;
	free(r.kind);
	free(r.pattern);
	return errmsg_set(err, -ENOMEM, "out of memory");
}

int suppress_read(const char *path, struct suppressions **ret, struct errmsg *err)
{
	struct suppressions *s = calloc(1, sizeof(*s));
	char line[MAX_LINE];
	int number = 0, rc = 0;
	FILE *in = fopen(path, "re");

	if (!s || !in) {
		rc = errmsg_set(err, s ? -EINVAL : -ENOMEM, "cannot read suppressions '%s': %s", path,
				strerror(errno));
		if (in)
			fclose(in);
		suppress_free(s);
		return rc;
	}
	while (!rc && fgets(line, sizeof(line), in))
		rc = add_rule(s, line, path, ++number, err);
	fclose(in);
	if (rc) {
		suppress_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}
