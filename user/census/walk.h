/* SPDX-License-Identifier: MIT */
/*
 * walk: every object on the heap of one lua_State, with its kind and size, out of a copy of the
 * target's memory. Part of the stage census. Must not know how the copy was made.
 *
 * First the VM's own lists are followed and each object is marked in the image; then the marked
 * places are measured in order of address. What the VM counts besides objects is added up too, so
 * that the sum can be held against the VM's own total: only a heap that adds up is believed.
 */
#ifndef LMT_CENSUS_WALK_H
#define LMT_CENSUS_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hashmap.h"
#include "discover/proc.h"
#include "image.h"
#include "resolve/layouts.h"

#define CENSUS_KINDS(X)               \
	X(STRING, "string")           \
	X(TABLE, "table")             \
	X(FUNCTION, "function")       \
	X(USERDATA, "userdata")       \
	X(THREAD, "thread")           \
	X(PROTO, "proto")             \
	X(UPVALUE, "upvalue")         \
	X(CDATA, "cdata")             \
	X(TRACE, "trace")

enum census_kind {
#define CENSUS_KIND(name, text) CENSUS_##name,
	CENSUS_KINDS(CENSUS_KIND)
#undef CENSUS_KIND
	CENSUS_KIND_MAX
};

const char *census_kind_name(enum census_kind kind);

/* There are millions of them: as small as they can be. */
#define CENSUS_LARGE 4095u      /* this size and above: in walk.large */
struct census_object {
	uint64_t uaddr : 47;
	uint64_t small : 12;    /* bytes; ask walk_bytes() */
	uint64_t kind : 4;      /* enum census_kind */
	uint64_t is_c : 1;      /* a function written in C */
};
_Static_assert(sizeof(struct census_object) == 8, "packed");

/* What the VM counts besides objects. */
#define CENSUS_PARTS(X)                               \
	X(STATE, "global state")                      \
	X(STRINGS, "string table")                    \
	X(BUFFER, "buffers")                          \
	X(JIT, "JIT compiler")                        \
	X(CTYPES, "FFI types")

enum census_part {
#define CENSUS_PART(name, text) CENSUS_PART_##name,
	CENSUS_PARTS(CENSUS_PART)
#undef CENSUS_PART
	CENSUS_PART_MAX
};

const char *census_part_name(enum census_part part);

struct walk {
	struct image *im;
	const struct proc_maps *maps;
	const struct layout *row;
	const struct lmt_layout *l;
	const struct layout_census *c;
	uint64_t L, G;
	const uint8_t *g;      /* the copy of global_State */
	unsigned int ref;      /* bytes of a reference */
	unsigned int tag_at;   /* of the type tag in an object */

	struct census_object *obj; /* by address */
	uint32_t n;
	struct hashmap large;      /* address → bytes of the few that are */
	uint64_t marked;           /* while lists are followed */
	uint64_t limit;            /* more objects than this cannot be */
	struct hashmap *shared;    /* 5.3: addresses of upvalues; see walk_puc.c */
	uint64_t ctypes;           /* LuaJIT: the table of C types, and how many there are */
	uint32_t n_ctypes;
	uint64_t vm_bytes, object_bytes, part_bytes[CENSUS_PART_MAX];

	unsigned int torn;         /* places where the heap did not make sense */
	const char *torn_why;      /* the first of them */
	uint64_t torn_uaddr;
};

/*
 * Only the state itself, for those who follow a few references; false when it is not in the copy.
 */
bool walk_open(struct walk *w, struct image *im, const struct proc_maps *maps,
	       const struct layout *row, uint64_t L, uint64_t G);

/*
 * Walks the heap of the state. 0, -EBADMSG when the copy is torn or does not add up (w tells
 * where), -ENOMEM. Call walk_deinit() in any case.
 */
int walk_heap(struct walk *w, struct image *im, const struct proc_maps *maps,
	      const struct layout *row, uint64_t L, uint64_t G);
void walk_deinit(struct walk *w);

/* VM's total minus what was found. */
int64_t walk_difference(const struct walk *w);

static inline uint64_t walk_bytes(const struct walk *w, const struct census_object *o)
{
	return o->small < CENSUS_LARGE ? o->small : *hashmap_lookup(&w->large, o->uaddr);
}

/* The number of the object at the address, or IMAGE_NONE. */
static inline uint32_t walk_number(const struct walk *w, uint64_t uaddr)
{
	return image_number(w->im, uaddr);
}

/* --- for the family files --- */

struct walk_family {
	bool (*mark)(struct walk *w);                             /* follows the lists */
	/* Kind and bytes of the object whose uaddr is given. */
	bool (*measure)(struct walk *w, struct census_object *o, uint64_t *bytes_ret);
	/* It will be measured soon, and its head is there: fetches what that will look at. */
	void (*ahead)(const struct walk *w, uint64_t uaddr); /* NULL: nothing */
	void (*count_parts)(struct walk *w);
};
extern const struct walk_family walk_puc, walk_luajit;

/* Notes that the heap makes no sense there; returns false. */
bool walk_torn(struct walk *w, uint64_t uaddr, const char *why);

/* Marks an object met on a list; false when the list must not be followed further. */
bool walk_mark(struct walk *w, uint64_t uaddr);

static inline uint64_t walk_get(const uint8_t *p, struct lmt_cell c)
{
	uint64_t v = 0;

	switch (c.size) {
	case 1:
		return p[c.off];
	case 2:
		__builtin_memcpy(&v, p + c.off, 2);
		return v;
	case 4:
		__builtin_memcpy(&v, p + c.off, 4);
		return v;
	default:
		__builtin_memcpy(&v, p + c.off, 8);
		return v;
	}
}

static inline uint64_t walk_u64(const uint8_t *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, 8);
	return v;
}

static inline uint32_t walk_u32(const uint8_t *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, 4);
	return v;
}

/*
 * Chains of strings lie anywhere: has the first two objects of a later one fetched. table: of n
 * references to chains, low bits are flags; i: where the walk is.
 */
void walk_look_ahead(struct walk *w, const uint8_t *table, uint64_t i, uint64_t n);

/*
 * A list is one long chain of cache misses. But what was made in a loop lies in memory in steps:
 * what is fetched lies as far ahead as the same object of an earlier round was behind.
 */
#define WALK_TRAIL 12 /* a multiple of how many objects a round mostly makes */
struct walk_trail {
	uint64_t behind[WALK_TRAIL];
	unsigned int at;
};

static inline void walk_guess(struct walk *w, struct walk_trail *t, uint64_t uaddr)
{
	if (t->behind[t->at])
		image_prefetch(w->im, 2 * uaddr - t->behind[t->at]);
	t->behind[t->at] = uaddr;
	t->at = t->at + 1 < WALK_TRAIL ? t->at + 1 : 0;
}

/* A reference of the family's width. */
static inline uint64_t walk_ref(const struct walk *w, const uint8_t *p)
{
	return w->ref == 8 ? walk_u64(p) : walk_u32(p);
}

#endif
