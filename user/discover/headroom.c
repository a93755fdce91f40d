/* SPDX-License-Identifier: MIT */
#include "headroom.h"

#include <limits.h>
#include <stdio.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"

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

/* In one cgroup, bytes. */
static uint64_t headroom_in(const char *dir, const struct hierarchy *h)
{
	uint64_t limit = number_in(dir, h->limit, "", UINT64_MAX); /* "max" is no number */
	uint64_t used = number_in(dir, h->usage, "", 0);
	uint64_t cache = number_in(dir, "memory.stat", h->cache, 0);

	if (limit == UINT64_MAX)
		return limit;
	used -= cache < used ? cache : used;
	return used < limit ? limit - used : 0;
}

/* In the cgroup and those above it, as far as they can be seen from here. */
static uint64_t headroom_up(const char *root, const struct hierarchy *h, const char *cgroup)
{
	char dir[PATH_MAX];
	size_t base = (size_t)snprintf(dir, sizeof(dir), "%s%s", root, h->mounted);
	uint64_t least = UINT64_MAX;

	if (base >= sizeof(dir))
		return least;
	snprintf(dir + base, sizeof(dir) - base, "%s", strcmp(cgroup, "/") ? cgroup : "");
	for (;;) {
		uint64_t headroom = headroom_in(dir, h);
		char *slash = strrchr(dir + base, '/');

		least = headroom < least ? headroom : least;
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

uint64_t headroom_bytes(const char *root)
{
	char path[PATH_MAX], line[PATH_MAX];
	uint64_t kib = number_in(root, "proc/meminfo", "MemAvailable:", UINT64_MAX);
	uint64_t least = kib == UINT64_MAX ? kib : kib << 10;
	auto_fclose FILE *f = NULL;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) { /* "4:memory:/path", "0::/path" */
		char *list = strchr(line, ':'), *cgroup = list ? strchr(list + 1, ':') : NULL;

		if (!cgroup)
			continue;
		*cgroup++ = '\0';
		cgroup[strcspn(cgroup, "\n")] = '\0';
		for (size_t i = 0; i < sizeof(hierarchies) / sizeof(hierarchies[0]); i++) {
			const struct hierarchy *h = &hierarchies[i];
			uint64_t headroom = names(list + 1, h->controller)
						    ? headroom_up(root, h, cgroup)
						    : UINT64_MAX;

			least = headroom < least ? headroom : least;
		}
	}
	return least;
}
