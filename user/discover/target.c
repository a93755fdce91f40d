/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static void free_modules(struct target *t)
{
	vec_each(m, &t->modules) {
		free(m->path);
		free(m->open_path);
	}
	vec_deinit(&t->modules);
}

void target_free(struct target *t)
{
	if (!t)
		return;
	free_modules(t);
	proc_maps_deinit(&t->maps);
	free(t);
}

void target_forget_maps(struct target *t)
{
	free_modules(t);
	proc_maps_deinit(&t->maps);
}

/* The loaded copy a mapping continues: same file, and its offset moves on. */
static struct module *module_of(struct target *t, const struct proc_map *map)
{
	for (size_t i = t->modules.n; i-- > 0;) {
		struct module *m = &t->modules.v[i];

		if (m->dev == map->dev && m->inode == map->inode)
			return map->offset > m->start_offset ? m : NULL;
	}
	return NULL;
}

static int add_module(struct target *t, const struct proc_map *map)
{
	char open_path[PATH_MAX];
	struct module m = {
		.path = strdup(map->path),
		.dev = map->dev,
		.inode = map->inode,
		.deleted = map->deleted,
		.start = map->start,
		.start_offset = map->offset,
		.end = map->end,
	};

	within_root(t->pid, m.root);
	proc_file_of(t->pid, map, open_path);
	m.open_path = strdup(open_path);
	if (!m.path || !m.open_path || vec_push(&t->modules, m)) {
		free(m.path);
		free(m.open_path);
		return -ENOMEM;
	}
	return 0;
}

/* Keeps the files that have an executable mapping; drops fonts, locales and data files. */
static void drop_data_files(struct target *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->modules.n; i++) {
		struct module *m = &t->modules.v[i];
		bool code = false;

		vec_each(map, &t->maps.maps)
			code |= (map->prot & PROC_X) && map->dev == m->dev &&
				map->inode == m->inode && map->start >= m->start &&
				map->end <= m->end;
		if (code) {
			t->modules.v[kept++] = *m;
		} else {
			free(m->path);
			free(m->open_path);
		}
	}
	t->modules.n = kept;
}

static int build_modules(struct target *t)
{
	free_modules(t);
	vec_each(map, &t->maps.maps) {
		struct module *m;

		if (!map->inode)
			continue;
		m = module_of(t, map);
		if (m)
			m->end = map->end;
		else if (add_module(t, map))
			return -ENOMEM;
	}
	drop_data_files(t);
	return 0;
}

static int explain(pid_t pid, int rc, struct errmsg *err)
{
	switch (rc) {
	case -ESRCH:
		return errmsg_set(err, rc, "no process %d; see 'luamemtrace list'", pid);
	case -EACCES:
	case -EPERM:
		return errmsg_set(err, rc,
				  "no permission to look into process %d; run as root or with "
				  "CAP_SYS_PTRACE", pid);
	default:
		return errmsg_set(err, rc, "cannot read process %d: %s", pid, strerror(-rc));
	}
}

int target_refresh(struct target *t, struct errmsg *err)
{
	int rc = proc_read_maps(t->pid, &t->maps);

	if (rc)
		return explain(t->pid, rc, err);
	rc = build_modules(t);
	return rc ? errmsg_set(err, rc, "out of memory") : 0;
}

int target_open(pid_t pid, struct target **ret, struct errmsg *err)
{
	struct target *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return errmsg_set(err, -ENOMEM, "out of memory");
	t->pid = pid;
	rc = proc_read_info(pid, &t->info);
	if (rc) {
		explain(pid, rc, err);
		goto fail;
	}
	rc = target_refresh(t, err);
	if (rc)
		goto fail;
	if (proc_read_bits(pid) == PROC_BITS_32) {
		rc = errmsg_set(err, -ESRCH,
				"process %d is a 32-bit program; only x86-64 programs can be traced",
				pid);
		goto fail;
	}
	*ret = t;
	return 0;
fail:
	target_free(t);
	return rc;
}

const struct module *target_module_at(const struct target *t, uint64_t uaddr)
{
	const struct proc_map *map = proc_find_map(&t->maps, uaddr);

	if (!map || !map->inode)
		return NULL;
	vec_each(m, &t->modules)
		if (m->dev == map->dev && m->inode == map->inode && map->start >= m->start &&
		    map->end <= m->end)
			return m;
	return NULL;
}
