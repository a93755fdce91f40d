/* SPDX-License-Identifier: MIT */
/*
 * plan: which probes go where, at what cost, and what will not be seen.
 * L3 attach. Pure: what was resolved and what the kernel can do go in, sites come out.
 */
#ifndef LMT_ATTACH_PLAN_H
#define LMT_ATTACH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "block.h"
#include "base/err.h"
#include "base/vec.h"
#include "feature.h"
#include "place.h"
#include "resolve/runtime.h"

enum plan_program {
	PLAN_ALLOC, /* entry and return of an allocator */
	PLAN_ENTRY, /* entry of a rare function */
	PLAN_THROW, /* the same, of one that may not be rare: each yield goes through luaD_throw() */
	PLAN_FOREIGN, /* the same, of a copy of Lua without a state: not rare once it has made one */
	PLAN_C_HEAP, /* entry and return of malloc() or one of its kin */
	PLAN_LUAJIT, /* entry of a rare function of LuaJIT */
	PLAN_FFI, /* the same, of what calls C through the FFI, or of a watched C function: often not rare */
	PLAN_PROGRAMS
};

/* One probe. */
struct plan_site {
	enum plan_program program;
	struct file *file;      /* borrowed from what was resolved */
	uint64_t offset;        /* in the file */
	struct lmt_probe probe; /* layout is set at attach */
	const struct layout *layout; /* NULL: none known, allocator-level tracing only */
	char name[64];          /* function, for people */
	struct placement place;
};

/* What is known of one function of one runtime, for doctor and the runtime record. */
struct plan_function {
	uint32_t runtime;
	enum func_id id;
	bool placed;            /* place is valid */
	struct placement place;
	bool probed;
	const char *why_not;    /* not probed: why */
};

/* A place that calls an allocator, and where it keeps g and L; see struct lmt_callsite. */
struct plan_callsite {
	uint64_t uaddr; /* return address in the target */
	uint32_t runtime; /* id of the copy of Lua it is in */
	uint8_t g_place, L_place;
};

/* How to undo the frame of a call that returns to this address; see struct lmt_unwind. */
struct plan_unwind {
	uint64_t uaddr;
	struct lmt_unwind row;
};

struct plan {
	vec_of(struct plan_site) sites;
	vec_of(struct plan_callsite) callsites;
	vec_of(struct plan_unwind) unwind;
	vec_of(struct plan_function) functions;
	vec_of(char *) blind_spots; /* what will not be seen, each a sentence */
};

/* *ret is the caller's, to be given to plan_free(). Borrows from r. -ENOMEM. */
int plan_build(const struct resolved *r, const struct features *k, struct plan **ret,
	       struct errmsg *err);
void plan_free(struct plan *p);

/* Notes something that will not be seen, a sentence. 0 or -ENOMEM. */
int plan_add_blind_spot(struct plan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Moves what another plan of the same process noted so. */
void plan_take_blind_spots(struct plan *p, struct plan *from);

/* The call that the dynamic loader makes for debuggers when its list changes; -ENOENT if none. */
int plan_loader(struct file *file, struct plan_site *ret);

/* The site of one allocator (an index into r->allocators); -ENOENT with the reason in err. */
int plan_allocator(const struct resolved *r, uint32_t allocator, const struct features *k,
		   struct plan_site *ret, struct errmsg *err);

/*
 * The site of a function of any file, of which the arguments in the bit set `needed` are read;
 * kind: LMT_PROBE_…. -ENOENT with the reason in err.
 */
int plan_extra(struct file *file, uint64_t vaddr, const char *name, uint8_t kind,
	       unsigned int needed, const struct features *k, struct plan_site *ret,
	       struct errmsg *err);

/* The call sites of one runtime that was met later are added to p; see plan.callsites. */
int plan_add_callsites(struct plan *p, const struct runtime *rt);

/* Where the code of one runtime goes once an allocator has refused; 0 or -ENOMEM. */
int plan_add_refusals(struct plan *p, const struct runtime *rt);

#endif
