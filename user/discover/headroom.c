/* SPDX-License-Identifier: MIT */
#include "headroom.h"

#include <limits.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"

#define NO_LIMIT (1ull << 60) /* version 1 has a number near 2^63 for none */

static const struct memory_limit none = { UINT64_MAX, UINT64_MAX, NULL };

static const struct hierarchy {
	const char *controller; /* in /proc/self/cgroup; "" of version 2 */
	const char *mounted, *limit, *usage, *cache;
} hierarchies[] = {
	{ "", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file" },
	{ "memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
	  "total_inactive_file" },
};

/*
 * In the file dir/name the number behind `key` at the start of a line, or the first one when key
 * is "".
 */
static uint64_t number_in(const char *dir, const char *name, const char *key, uint64_t otherwise)
{
	char path[2 * PATH_MAX], line[PATH_MAX];
	auto_fclose FILE *f = NULL;
	size_t n = strlen(key);

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long long v;

		if (!strncmp(line, key, n) && sscanf(line + n, "%llu", &v) == 1)
			return v;
	}
	return otherwise;
}

/* In one cgroup. */
static struct memory_limit limit_in(const char *dir, const struct hierarchy *h)
{
	uint64_t limit = number_in(dir, h->limit, "", UINT64_MAX); /* "max" is no number */
	uint64_t used = number_in(dir, h->usage, "", 0);
	uint64_t cache = number_in(dir, "memory.stat", h->cache, 0);

	if (limit >= NO_LIMIT)
		return none;
	used -= cache < used ? cache : used;
	return (struct memory_limit){ limit, used < limit ? limit - used : 0, "cgroup" };
}

static void take_least(struct memory_limit *least, struct memory_limit l)
{
	if (l.left < least->left)
		*least = l;
}

/* In the cgroup and those above it, as far as they can be seen from here. */
static struct memory_limit limit_up(const char *root, const struct hierarchy *h, const char *cgroup)
{
	char dir[PATH_MAX];
	size_t base = (size_t)snprintf(dir, sizeof(dir), "%s%s", root, h->mounted);
	struct memory_limit least = none;

	if (base >= sizeof(dir))
		return least;
	snprintf(dir + base, sizeof(dir) - base, "%s", strcmp(cgroup, "/") ? cgroup : "");
	for (;;) {
		char *slash = strrchr(dir + base, '/');

		take_least(&least, limit_in(dir, h));
		if (!slash)
			return least;
		*slash = '\0';
	}
}

static bool names(const char *list, const char *controller)
{
	size_t n = strlen(controller);

	while (list) {
		if (!strncmp(list, controller, n) && (!list[n] || list[n] == ','))
			return true;
		list = strchr(list, ',');
		if (list)
			list++;
	}
	return false;
}

/* Of the cgroups of a process ("self", or its number). */
static struct memory_limit limit_of_cgroups(const char *root, const char *process)
{
	char path[PATH_MAX], line[PATH_MAX];
	struct memory_limit least = none;
	auto_fclose FILE *f = NULL;

	snprintf(path, sizeof(path), "%s/proc/%s/cgroup", root, process);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) { /* "4:memory:/path", "0::/path" */
		char *list = strchr(line, ':'), *cgroup = list ? strchr(list + 1, ':') : NULL;

		if (!cgroup)
			continue;
		*cgroup++ = '\0';
		cgroup[strcspn(cgroup, "\n")] = '\0';
		for (size_t i = 0; i < sizeof(hierarchies) / sizeof(hierarchies[0]); i++)
			if (names(list + 1, hierarchies[i].controller))
				take_least(&least, limit_up(root, &hierarchies[i], cgroup));
	}
	return least;
}

/* RLIMIT_AS, which counts what is mapped. */
static struct memory_limit limit_of_mappings(const char *root, const char *process)
{
	char dir[PATH_MAX];
	uint64_t limit, kib;

	snprintf(dir, sizeof(dir), "%s/proc/%s", root, process);
	limit = number_in(dir, "limits", "Max address space", UINT64_MAX);
	kib = number_in(dir, "status", "VmSize:", 0);
	if (limit >= NO_LIMIT)
		return none;
	return (struct memory_limit){ limit, kib << 10 < limit ? limit - (kib << 10) : 0, "RLIMIT_AS" };
}

bool headroom_limit(const char *root, pid_t pid, struct memory_limit *ret)
{
	char process[16];

	snprintf(process, sizeof(process), "%d", pid);
	*ret = limit_of_cgroups(root, process);
	take_least(ret, limit_of_mappings(root, process));
	return ret->what;
}

uint64_t headroom_bytes(const char *root)
{
	uint64_t kib = number_in(root, "proc/meminfo", "MemAvailable:", UINT64_MAX);
	struct memory_limit least = limit_of_cgroups(root, "self");

	return kib != UINT64_MAX && kib << 10 < least.left ? kib << 10 : least.left;
}
