/* SPDX-License-Identifier: MIT */
#include "family.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proc.h"

#define DEEPEST 1000 /* generations */

struct member {
	pid_t pid, parent;
	bool in;
};

typedef vec_of(struct member) member_list;

/*
 * Its name may hold anything, so that fields are counted from the last parenthesis. 0: it is gone.
 */
static pid_t parent_of(pid_t pid)
{
	auto_fclose FILE *f = NULL;
	char path[64], text[1024], *end;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	end = strrchr(text, ')');
	return end && sscanf(end + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

static int note(pid_t pid, void *ctx)
{
	member_list *all = ctx;
	struct member m = { .pid = pid, .parent = parent_of(pid) };

	return m.parent ? vec_push(all, m) : 0;
}

static int add_children(member_list *all, pid_t parent, pid_list *ret)
{
	vec_each(m, all) {
		if (m->in || m->parent != parent)
			continue;
		m->in = true;
		if (vec_push(ret, m->pid))
			return -ENOMEM;
	}
	return 0;
}

int family_descendants(pid_t pid, pid_list *ret)
{
	member_list all = { 0 };
	int rc;

	ret->n = 0;
	rc = proc_each(note, &all);
	rc = rc ? rc : add_children(&all, pid, ret);
	for (size_t i = 0; !rc && i < ret->n; i++)
		rc = add_children(&all, ret->v[i], ret);
	vec_deinit(&all);
	return rc;
}

pid_t family_ancestor(pid_t pid, const pid_t *ancestors, size_t n)
{
	for (int i = 0; i < DEEPEST && (pid = parent_of(pid)) > 1; i++)
		for (size_t k = 0; k < n; k++)
			if (ancestors[k] == pid)
				return pid;
	return 0;
}
