/* SPDX-License-Identifier: MIT */
/*
 * edges: which objects an object keeps alive, and by what name; and what the VM itself holds.
 * Part of the stage census.
 *
 * As the collectors see it: a weak table's weak references are none (strings are values and never
 * weak); in 5.2 and later a weak key keeps its value only while something else keeps the key.
 */
#ifndef LMT_CENSUS_EDGES_H
#define LMT_CENSUS_EDGES_H

#include "base/hashmap.h"
#include "walk.h"

enum edge {
	EDGE_FIELD,     /* key: address of the string */
	EDGE_INDEX,     /* key: the integer */
	EDGE_NUMBER,    /* key: bits of the double */
	EDGE_BOOL,      /* key: 0, 1 */
	EDGE_OBJECT,    /* value under an object as key; key: its address */
	EDGE_KEY,       /* the object is a key itself */
	EDGE_METATABLE,
	EDGE_UPVALUE,   /* key: which one */
	EDGE_VALUE,     /* an upvalue's */
	EDGE_PROTO,
	EDGE_CONSTANT,
	EDGE_INNER,     /* prototype inside a prototype */
	EDGE_NAME,      /* a name kept for debugging */
	EDGE_ENV,
	EDGE_SLOT,      /* of a stack; key: which one */
	EDGE_USER,      /* user value; key: which one */
	EDGE_TRACE,
	EDGE_PART,      /* anything else of the object */
	/* roots */
	EDGE_GLOBALS,
	EDGE_REGISTRY,
	EDGE_MAIN,
	EDGE_TYPE_META, /* metatable of all values of a type; key: type number */
	EDGE_FINALIZE,  /* waits for its finalizer */
	EDGE_FIXED,     /* of the VM itself */
};

struct edge_sink {
	void *ctx;
	void (*edge)(void *ctx, uint64_t to, enum edge edge, uint64_t key);
	/* The value is kept while the key is. NULL: given to edge(). */
	void (*ephemeron)(void *ctx, uint64_t key_object, uint64_t to, enum edge edge,
			  uint64_t key);
};

struct edges {
	const struct walk *w;
	struct hashmap modes; /* of metatables met so far: 1 + bits WEAK_… */
};

enum { WEAK_KEYS = 1, WEAK_VALUES = 2 };

void edges_init(struct edges *e, const struct walk *w);
void edges_deinit(struct edges *e);

void edges_of(struct edges *e, const struct census_object *o, const struct edge_sink *to);
void edges_roots(struct edges *e, const struct edge_sink *to);

/* How the table whose metatable this is holds its entries: bits WEAK_…. */
unsigned int edges_weak(struct edges *e, uint64_t meta);

/* --- for the family files --- */
void edges_puc(struct edges *e, const struct census_object *o, const struct edge_sink *to);
void edges_puc_roots(struct edges *e, const struct edge_sink *to);
uint64_t edges_puc_field(const struct walk *w, uint64_t table, uint64_t name);
bool edges_puc_text(const struct walk *w, uint64_t s, const uint8_t **text, uint64_t *len);
void edges_luajit(struct edges *e, const struct census_object *o, const struct edge_sink *to);
void edges_luajit_roots(struct edges *e, const struct edge_sink *to);
uint64_t edges_luajit_field(const struct walk *w, uint64_t table, uint64_t name);
bool edges_luajit_text(const struct walk *w, uint64_t s, const uint8_t **text, uint64_t *len);

/* The object under a string key of a table, or 0. */
static inline uint64_t edges_field(const struct walk *w, uint64_t table, uint64_t name)
{
	return w->l->family == LMT_FAMILY_PUC ? edges_puc_field(w, table, name)
					      : edges_luajit_field(w, table, name);
}

/* A value under a string key, for what has a name: numbers too. */
struct edge_value {
	enum { EDGE_VALUE_NONE, EDGE_VALUE_NUMBER, EDGE_VALUE_OBJECT, EDGE_VALUE_OTHER } what;
	double number;
	uint64_t object;
};
struct edge_value edges_puc_value(const struct walk *w, uint64_t table, const char *name);
struct edge_value edges_luajit_value(const struct walk *w, uint64_t table, const char *name);

static inline struct edge_value edges_value(const struct walk *w, uint64_t table, const char *name)
{
	return w->l->family == LMT_FAMILY_PUC ? edges_puc_value(w, table, name)
					      : edges_luajit_value(w, table, name);
}

/* Text of a string object; borrowed from the image. */
static inline bool edges_text(const struct walk *w, uint64_t s, const uint8_t **text, uint64_t *len)
{
	return w->l->family == LMT_FAMILY_PUC ? edges_puc_text(w, s, text, len)
					      : edges_luajit_text(w, s, text, len);
}

/* One entry of a table, weak or not. Empty ones are not to be given. */
struct edge_entry {
	uint64_t key_object, value_object; /* 0: no object */
	bool key_is_string, value_is_string;
	enum edge edge;
	uint64_t key;
};
void edges_entry(const struct edge_sink *to, unsigned int weak, bool ephemerons,
		 const struct edge_entry *en);

/* What a double is as a key. */
void edges_number_key(struct edge_entry *en, uint64_t bits);

#endif
