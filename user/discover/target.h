/* SPDX-License-Identifier: MIT */
/*
 * target: a process to look into, and the files it maps as code.
 * L1 discover. Must not know ELF or Lua: which module holds Lua is resolve's business.
 */
#ifndef LMT_DISCOVER_TARGET_H
#define LMT_DISCOVER_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/vec.h"
#include "proc.h"
#include "within.h"

/*
 * One loaded copy of a file with executable pages. The same file loaded twice (dlmopen) is two
 * modules, since its static data exist twice.
 */
struct module {
	char *path;         /* as the target names it */
	char *open_path;    /* in map_files; "": to be opened as `path` within `root` */
	char root[WITHIN_ROOT];
	uint64_t dev, inode;
	bool deleted;       /* unlinked or replaced since it was mapped */
	uint64_t start;     /* address of the first mapping, and the file offset it shows */
	uint64_t start_offset;
	uint64_t end;       /* end of the last mapping of the file */
};

struct target {
	pid_t pid;
	struct proc_info info;
	struct proc_maps maps;
	vec_of(struct module) modules;
};

/*
 * Reads process and mappings. *ret is the caller's, to be given to target_free().
 * -ESRCH no such process (or a zombie, a kernel thread, a 32-bit program), -EACCES.
 */
int target_open(pid_t pid, struct target **ret, struct errmsg *err);
void target_free(struct target *t);

/* Reads the mappings again; module indexes change. The old ones stay on failure. */
int target_refresh(struct target *t, struct errmsg *err);

/* Lets go of mappings and modules: of a process that has ended, what it was is kept. */
void target_forget_maps(struct target *t);

/* The module whose file is mapped at the address, or NULL. Borrowed until the next refresh. */
const struct module *target_module_at(const struct target *t, uint64_t uaddr);

#endif
