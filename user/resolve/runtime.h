/* SPDX-License-Identifier: MIT */
/*
 * runtime: each mapped copy of Lua in a process, its states, its allocators, its functions.
 * L2 resolve: the stage's result. Must not know probes: where they go is plan's business.
 */
#ifndef LMT_RESOLVE_RUNTIME_H
#define LMT_RESOLVE_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hashmap.h"
#include "base/vec.h"
#include "discover/target.h"
#include "file.h"
#include "funcs.h"
#include "layouts.h"
#include "memread.h"
#include "states.h"

/* One mapped copy of Lua. */
struct runtime {
	uint32_t id; /* 1 … in a process */
	unsigned int family;
	char version[32];
	const char *variant;   /* "puc", "redis", "luajit", …; with the layout, else by family */
	struct file *file;     /* borrowed from resolved.files */
	char *module;          /* path as the target names it */
	uint64_t start;        /* where the module is mapped */
	uint64_t state_block;  /* bytes that lua_newstate asks for; 0: not found */
	uint64_t bias;         /* target address minus vaddr */
	const struct layout *layout; /* NULL: none of its states is known, or none fits */
	char evidence[256];
	struct func_answer fn[FUNC_MAX];
	const struct known_bug *bug; /* NULL: none known */
	bool bug_certain;
};

/* A function some state calls as its allocator. */
struct allocator {
	uint64_t uaddr;
	struct file *file;   /* NULL: not in a file (made at run time) */
	uint64_t vaddr;
	char *module;        /* path as the target names it; "" without a file */
	const char *name;    /* "lj_alloc_f", "l_alloc", a symbol, or NULL */
	char *symbol;        /* as the file names it, or NULL */
	bool built_in;       /* one of Lua's own: known never to throw */
	uint32_t runtime;    /* of the first state that uses it */
	const struct layout *layout;
};

struct resolved_state {
	uint64_t L, G;
	const struct layout *layout;
	uint32_t runtime;   /* id */
	uint32_t allocator; /* index */
	uint32_t tag;       /* the caller's, 0 at first */
	struct state_gc gc;
};

struct resolved {
	pid_t pid;
	vec_of(struct runtime) runtimes;
	vec_of(struct allocator) allocators;
	vec_of(struct resolved_state) states;
	struct hashmap state_by_L;  /* → position + 1 */
	struct hashmap states_of_ud; /* how many have it */
	uint64_t scanned_bytes;
	struct files *files; /* borrowed: shared by all targets of a run */
};

/*
 * Finds everything about Lua in the target. *ret is the caller's, to be given to
 * resolved_free(). A process without Lua gives no runtimes and is no error. -ENOMEM, -EACCES.
 */
int resolve_process(const struct target *t, const struct memread *mem, struct files *files,
		    struct resolved **ret, struct errmsg *err);
void resolved_free(struct resolved *r);

/* Another pass, for modules mapped and states made since: what was found before stays. -ENOMEM. */
int resolve_modules(struct resolved *r, const struct target *t, const struct memread *mem);

/* Adds one state met later; its index, or a negative errno (-ENOENT: no state after all). */
int resolve_add_state(struct resolved *r, const struct target *t, const struct memread *mem,
		      uint64_t L, uint64_t G);

/* The state of a main thread, or NULL. Borrowed until one is added or dropped. */
struct resolved_state *resolved_state_at(const struct resolved *r, uint64_t L);

/* Enters what is known of a state; its index or -ENOMEM. */
int resolved_keep_state(struct resolved *r, const struct resolved_state *rs);

/* The state was closed: another may be made at its address. */
void resolved_drop_state(struct resolved *r, uint64_t L);

/* Does no other state have the same argument for its allocator? */
bool resolved_ud_is_own(const struct resolved *r, const struct resolved_state *rs);

/* Adds an allocator by its address; its index or a negative errno. */
int resolve_add_allocator(struct resolved *r, const struct target *t, uint64_t uaddr,
			  uint32_t runtime, const struct layout *layout);

const struct runtime *resolved_runtime(const struct resolved *r, uint32_t id);

/* "Lua 5.4.4", "LuaJIT 2.1.0-beta3 GC64". */
void runtime_title(const struct runtime *rt, char *buf, size_t size);

/* True when some module of the target holds Lua, without looking at its memory. */
bool resolve_has_lua(const struct target *t, struct files *files);

#endif
