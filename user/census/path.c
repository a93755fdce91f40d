/* SPDX-License-Identifier: MIT */
#include "path.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "calls.h"
#include "census.h"
#include "collect/frames.h"
#include "luajit.h"
#include "puc.h"

#define NAME_BYTES 60
#define MAX_DEPTH 100000u

uint64_t path_proto_of(const struct walk *w, const struct census_object *fn)
{
	const uint8_t *p = image_at(w->im, fn->uaddr, 40);

	if (!p || fn->is_c || fn->kind != CENSUS_FUNCTION)
		return 0;
	return w->l->family == LMT_FAMILY_PUC
		       ? walk_get(p, w->l->LCL_p)
		       : walk_get(p, w->l->fn_pc) - (uint64_t)w->l->size_proto.off;
}

uint32_t path_proto_origin(const struct walk *w, uint64_t proto, struct strpool *pool)
{
	const uint8_t *p = image_at(w->im, proto, (uint64_t)w->l->size_proto.off), *text;
	char chunk[1000];
	uint64_t len;

	if (!p || !layout_has(w->l->P_source) ||
	    !edges_text(w, walk_get(p, w->l->P_source), &text, &len))
		return 0;
	if (len >= sizeof(chunk))
		len = sizeof(chunk) - 1;
	memcpy(chunk, text, len);
	chunk[len] = '\0';
	if (walk_get(p, w->l->P_line) >> 31) { /* a built-in function written in Lua */
		char builtin[1100];

		snprintf(builtin, sizeof(builtin), "[builtin:%s]", chunk);
		return strpool_add(pool, builtin);
	}
	return frames_text(pool, chunk, walk_get(p, w->l->P_line));
}

/* Names of PUC upvalues: 5.1 an array of strings, later descriptions that begin with one. */
static bool upvalue_name_puc(const struct walk *w, const uint8_t *proto, uint64_t i, char *out,
			     size_t size)
{
	unsigned int step = w->l->version == 501 ? 8 : 16;
	const uint8_t *p, *text;
	uint64_t len;

	if (i >= walk_get(proto, w->c->P_sizeupvalues))
		return false;
	p = image_at(w->im, walk_get(proto, w->c->P_upvalues) + step * i, 8);
	if (!p || !edges_text(w, walk_u64(p), &text, &len) || !len)
		return false;
	snprintf(out, size, "%.*s", (int)(len < NAME_BYTES ? len : NAME_BYTES), (const char *)text);
	return true;
}

/* LuaJIT: the names one after the other, each ended by a zero. */
static bool upvalue_name_luajit(const struct walk *w, const uint8_t *proto, uint64_t i, char *out,
				size_t size)
{
	uint64_t at = walk_get(proto, w->c->P_uvinfo);

	if (!at || i >= walk_get(proto, w->c->P_sizeuv))
		return false;
	for (;; i--) {
		const uint8_t *p = image_at(w->im, at, 1);
		const struct image_span *s = image_span_of(w->im, at);
		size_t room = p ? s->end - at : 0, len = p ? strnlen((const char *)p, room) : 0;

		if (!len || len == room)
			return false;
		if (!i) {
			snprintf(out, size, "%.*s", NAME_BYTES, (const char *)p);
			return true;
		}
		at += len + 1;
	}
}

static bool upvalue_name(const struct walk *w, const struct census_object *fn, uint64_t i, char *out,
			 size_t size)
{
	uint64_t proto = path_proto_of(w, fn);
	const uint8_t *p = proto ? image_at(w->im, proto, (uint64_t)w->l->size_proto.off) : NULL;

	if (!p)
		return false;
	return w->l->family == LMT_FAMILY_PUC ? upvalue_name_puc(w, p, i, out, size)
					      : upvalue_name_luajit(w, p, i, out, size);
}

static bool is_name(const uint8_t *s, uint64_t len)
{
	if (!len || isdigit(s[0]))
		return false;
	for (uint64_t i = 0; i < len; i++)
		if (!isalnum(s[i]) && s[i] != '_')
			return false;
	return true;
}

static void field(const struct walk *w, uint64_t key, char *out, size_t size)
{
	const uint8_t *text;
	uint64_t len;

	if (!edges_text(w, key, &text, &len)) {
		snprintf(out, size, "[?]");
		return;
	}
	if (is_name(text, len) && len <= NAME_BYTES)
		snprintf(out, size, ".%.*s", (int)len, (const char *)text);
	else
		snprintf(out, size, "[\"%.*s%s\"]", (int)(len < NAME_BYTES ? len : NAME_BYTES),
			 (const char *)text, len > NAME_BYTES ? "…" : "");
}

void path_step(const struct walk *w, const struct census_object *from, enum edge edge, uint64_t key,
	       char *out, size_t size)
{
	char name[NAME_BYTES + 1];
	double d;

	memcpy(&d, &key, sizeof(d));
	switch ((int)edge) {
	case EDGE_FIELD:
		field(w, key, out, size);
		break;
	case EDGE_INDEX:
		snprintf(out, size, "[%" PRId64 "]", (int64_t)key);
		break;
	case EDGE_NUMBER:
		snprintf(out, size, "[%.14g]", d);
		break;
	case EDGE_BOOL:
		snprintf(out, size, "[%s]", key ? "true" : "false");
		break;
	case EDGE_OBJECT:
		snprintf(out, size, "[0x%" PRIx64 "]", key);
		break;
	case EDGE_KEY:
		snprintf(out, size, "(as a key)");
		break;
	case EDGE_UPVALUE:
		if (upvalue_name(w, from, key, name, sizeof(name)))
			snprintf(out, size, "upvalue %s", name);
		else
			snprintf(out, size, "upvalue %" PRIu64, key + 1);
		break;
	case EDGE_SLOT:
		calls_slot_name(w, from->uaddr, key, out, size);
		break;
	case EDGE_USER:
		snprintf(out, size, "user value %" PRIu64, key);
		break;
	case EDGE_METATABLE:
		snprintf(out, size, "metatable");
		break;
	case EDGE_PROTO:
		snprintf(out, size, "prototype");
		break;
	case EDGE_CONSTANT:
		snprintf(out, size, "constant %" PRIu64, key);
		break;
	case EDGE_INNER:
		snprintf(out, size, "inner function");
		break;
	case EDGE_NAME:
		snprintf(out, size, "debug name");
		break;
	case EDGE_ENV:
		snprintf(out, size, "environment");
		break;
	case EDGE_TRACE:
		snprintf(out, size, "trace %" PRIu64, key);
		break;
	default:
		snprintf(out, size, "part");
		break;
	}
}

const char *path_root_name(enum edge edge, uint64_t key, bool puc)
{
	static const char *const types[] = { "nil", "boolean", "light userdata", "number", "string",
					     "table", "function", "userdata", "thread" };
	static __thread char text[40];

	switch ((int)edge) {
	case EDGE_GLOBALS:
		return "_G";
	case EDGE_REGISTRY:
		return "registry";
	case EDGE_MAIN:
		return "main thread";
	case EDGE_TYPE_META:
		snprintf(text, sizeof(text), "metatable of %s", puc && key < 9 ? types[key] : "a type");
		return text;
	case EDGE_FINALIZE:
		return "waits for its finalizer";
	default:
		return "the VM itself";
	}
}

/* By which name the parent holds the child: the first that fits. */
struct find_edge {
	const struct walk *w;
	uint64_t child;
	bool found;
	enum edge edge;
	uint64_t key;
	uint32_t entries; /* of a table, that are objects */
};

static void on_find(void *ctx, uint64_t to, enum edge edge, uint64_t key)
{
	struct find_edge *f = ctx;

	f->entries += edge < EDGE_KEY;
	/* A value's name says more than that the object is also a key. */
	if (to != f->child || (f->found && f->edge != EDGE_KEY))
		return;
	f->found = true;
	f->edge = edge;
	f->key = key;
}

static bool in_table(enum edge edge)
{
	return edge <= EDGE_KEY;
}

struct writer {
	struct strpool *pool;
	struct census_path *out;
	char text[512]; /* fields of tables that follow each other become one step */
	unsigned int fields;
	bool loaded;    /* the path goes through package.loaded */
};

static void add_step(struct writer *wr, const char *text)
{
	if (wr->out->n == PATH_STEPS)
		return;
	if (wr->out->n == PATH_STEPS - 1)
		text = "…";
	wr->out->step[wr->out->n++] = strpool_add(wr->pool, text);
}

static void flush(struct writer *wr)
{
	if (*wr->text)
		add_step(wr, wr->text);
	wr->text[0] = '\0';
	wr->fields = 0;
}

/* "registry" "_LOADED.cache" ".entries[1042]": the first field stands without its dot. */
static void add_field(struct writer *wr, const char *text)
{
	size_t len = strlen(wr->text);

	if (wr->out->n == 1 && !len && *text == '.')
		text++;
	if (len + strlen(text) + 1 > sizeof(wr->text)) {
		flush(wr);
		len = 0;
	}
	snprintf(wr->text + len, sizeof(wr->text) - len, "%s", text);
	wr->fields++;
	if (wr->out->n == 1 && wr->fields == 1)
		wr->loaded = !strcmp(wr->text, "_LOADED");
	if (wr->loaded && wr->fields == 2) { /* a module, by its name */
		wr->loaded = false;
		flush(wr);
	}
}

/*
 * Without ephemerons (5.1, LuaJIT) a value keeps what it refers to: where that is its own key,
 * neither ever goes. It is so when the key is held by way of this very table.
 */
static bool holds_its_key(struct reach *r, uint32_t table, const struct find_edge *f)
{
	const struct walk *w = r->w;
	unsigned int weak = edges_weak(&r->edges, census_metatable_of(w, &w->obj[table]));
	uint32_t at = f->edge == EDGE_OBJECT ? walk_number(w, f->key) : IMAGE_NONE;

	if (!(weak & WEAK_KEYS) || at == IMAGE_NONE ||
	    (w->l->family == LMT_FAMILY_PUC && w->l->version >= 502))
		return false;
	for (unsigned int n = 0; n < MAX_DEPTH && at != table; n++) {
		if (r->parent[at] == REACH_NONE || r->parent[at] & REACH_ROOT)
			return false;
		at = r->parent[at];
	}
	return at == table;
}

/*
 * The VM's own tables and those of modules have many entries, too, but by name; what is referred to
 * by number in the registry is a list.
 */
static void note_container(struct writer *wr, const struct find_edge *f, bool root)
{
	struct census_path *out = wr->out;

	if (f->entries < PATH_MANY || f->entries <= out->entries ||
	    ((root || wr->loaded) && f->edge == EDGE_FIELD))
		return;
	out->entries = f->entries;
	out->container_steps = out->n;
	out->container_tail = *wr->text ? strpool_add(wr->pool, wr->text) : 0;
}

static void add_edge(struct reach *r, struct writer *wr, uint32_t from, uint32_t to)
{
	const struct walk *w = r->w;
	struct find_edge f = { .w = w, .child = w->obj[to].uaddr, .edge = EDGE_PART };
	const struct edge_sink sink = { .ctx = &f, .edge = on_find };
	char text[200];

	edges_of(&r->edges, &w->obj[from], &sink);
	if (f.edge == EDGE_VALUE)
		return; /* the upvalue was named already */
	path_step(w, &w->obj[from], f.edge, f.key, text, sizeof(text));
	if (f.edge == EDGE_KEY && w->obj[to].kind == CENSUS_STRING) {
		field(w, w->obj[to].uaddr, text, sizeof(text) - sizeof(" (the key)"));
		strcat(text, " (the key)");
	}
	if (in_table(f.edge) && holds_its_key(r, from, &f)) {
		flush(wr);
		add_step(wr, "weak keys, which its values lead back to");
	}
	if (in_table(f.edge))
		note_container(wr, &f, r->parent[from] & REACH_ROOT);
	if (in_table(f.edge)) {
		add_field(wr, text);
		return;
	}
	flush(wr);
	add_step(wr, text);
}

static void add_object(const struct walk *w, struct writer *wr, uint32_t object)
{
	const struct census_object *o = &w->obj[object];
	uint32_t origin = 0;
	char text[600];

	if (o->kind == CENSUS_FUNCTION && !o->is_c)
		origin = path_proto_origin(w, path_proto_of(w, o), wr->pool);
	else if (o->kind == CENSUS_PROTO)
		origin = path_proto_origin(w, o->uaddr, wr->pool);
	snprintf(text, sizeof(text), "%s%s%s", census_kind_name(o->kind), origin ? " " : "",
		 strpool_get(wr->pool, origin));
	add_step(wr, text);
}

bool path_build(struct reach *r, uint32_t object, struct strpool *pool, struct census_path *ret)
{
	struct writer wr = { .pool = pool, .out = ret };
	vec_of(uint32_t) chain = { 0 };
	uint32_t at = object;
	const struct reach_root *root;

	*ret = (struct census_path){ .n = 0 };
	if (!reach_is_live(r, object))
		return false;
	while (!(at & REACH_ROOT) && chain.n < MAX_DEPTH) {
		if (vec_push(&chain, at)) {
			vec_deinit(&chain);
			return false;
		}
		at = r->parent[at];
	}
	root = at & REACH_ROOT ? &r->roots.v[at & ~REACH_ROOT] : NULL;
	add_step(&wr, root ? path_root_name(root->edge, root->key, r->w->l->family == LMT_FAMILY_PUC)
			   : "…");
	for (size_t i = chain.n; i-- > 1;) {
		if (chain.n > 2 * PATH_STEPS && i > PATH_STEPS / 2 && i < chain.n - PATH_STEPS / 2) {
			/* The middle of a very long chain, a linked list mostly, says nothing. */
			flush(&wr);
			add_step(&wr, "…");
			i = PATH_STEPS / 2;
		}
		add_edge(r, &wr, chain.v[i], chain.v[i - 1]);
	}
	flush(&wr);
	add_object(r->w, &wr, object);
	vec_deinit(&chain);
	return true;
}
