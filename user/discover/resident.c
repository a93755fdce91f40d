/* SPDX-License-Identifier: MIT */
#include "resident.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

#define KIB 1024ull

void resident_deinit(struct resident *r)
{
	vec_deinit(&r->heaps);
}

bool resident_counts(const struct proc_map *m)
{
	return m->prot && strncmp(m->path, "[v", 2);
}

static bool is_shared(const struct proc_map *m)
{
	return !strncmp(m->path, "/dev/", 5) || !strncmp(m->path, "/memfd:", 7) ||
	       !strncmp(m->path, "/SYSV", 5);
}

enum resident_use resident_use_of(const struct proc_map *m)
{
	if (!strcmp(m->path, "[stack]"))
		return RESIDENT_STACK;
	if (is_shared(m))
		return RESIDENT_SHARED;
	if (m->inode)
		return m->prot & PROC_W ? RESIDENT_DATA : RESIDENT_FILE;
	return m->prot & PROC_X ? RESIDENT_MACHINE_CODE : RESIDENT_HEAP;
}

/* A mapping that was read to its "Rss:" line. */
static int add(struct resident *r, const struct proc_map *m, uint64_t bytes)
{
	enum resident_use use = resident_use_of(m);
	struct resident_heap heap = {
		.start = m->start, .end = m->end, .bytes = bytes, .brk = !strcmp(m->path, "[heap]"),
	};

	if (!resident_counts(m))
		return 0;
	r->bytes[use] += bytes;
	r->total += bytes;
	return use == RESIDENT_HEAP && bytes && m->prot & PROC_W ? vec_push(&r->heaps, heap) : 0;
}

int resident_parse(FILE *smaps, struct resident *ret)
{
	auto_free char *line = NULL;
	struct proc_map map = { 0 };
	size_t cap = 0, mappings = 0;
	ssize_t len;
	int rc = 0;

	resident_deinit(ret);
	*ret = (struct resident){ .whole = true };
	while (!rc && (len = getline(&line, &cap, smaps)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (!strncmp(line, "Rss:", 4) && mappings) {
			rc = add(ret, &map, strtoull(line + 4, NULL, 10) * KIB);
			continue;
		}
		if (line[0] >= 'A' && line[0] <= 'Z')
			continue; /* another of its figures */
		if (mappings == RESIDENT_MAPPINGS) {
			ret->whole = false;
			break;
		}
		free(map.path);
		map = (struct proc_map){ 0 };
		rc = proc_parse_map(line, &map);
		mappings += !rc;
		rc = rc == -EINVAL ? 0 : rc;
	}
	free(map.path);
	return rc ? rc : mappings ? 0 : ferror(smaps) ? -EACCES : -ESRCH;
}

int resident_read(pid_t pid, struct resident *ret)
{
	auto_fclose FILE *f = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	return resident_parse(f, ret);
}
