/* SPDX-License-Identifier: MIT */
/* What things are called: types by their metatable, C types, threads by where they stand. */
#include "census.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "calls.h"
#include "luajit.h"

#define NAME_BYTES 80
#define MAX_CTYPE_DEPTH 8

struct entry_search {
	struct census_names *n;
	const char *field; /* string key looked for, or NULL: note all tables */
	uint64_t found;
};

/* Strings and tables under string keys. */
static void on_entry(void *ctx, uint64_t to, enum edge edge, uint64_t key)
{
	struct entry_search *s = ctx;
	const uint8_t *text;
	uint64_t len, *known;
	uint32_t object;
	char name[NAME_BYTES + 1];

	if (edge != EDGE_FIELD || !edges_text(s->n->w, key, &text, &len) || !len || len > NAME_BYTES)
		return;
	if (s->field) {
		if (len == strlen(s->field) && !memcmp(text, s->field, len))
			s->found = to;
		return;
	}
	object = walk_number(s->n->w, to);
	if (object == IMAGE_NONE || s->n->w->obj[object].kind != CENSUS_TABLE)
		return;
	known = hashmap_get_or_add(&s->n->by_meta, to);
	snprintf(name, sizeof(name), "%.*s", (int)len, (const char *)text);
	if (known && !*known)
		*known = 1 + strpool_add(s->n->pool, name);
}

/* luaL_newmetatable puts each metatable into the registry under the type's name. */
static void read_registry(struct census_names *n)
{
	struct entry_search s = { .n = n };
	const struct edge_sink sink = { .ctx = &s, .edge = on_entry };
	const struct walk *w = n->w;
	uint64_t registry = w->l->family == LMT_FAMILY_PUC
				    ? walk_u64(w->g + w->l->G_registry.off)
				    : lj_tv_object(w, w->g + w->l->G_registry.off);
	struct census_object o = { .uaddr = registry, .kind = CENSUS_TABLE };
	struct edges e;

	n->registry_read = true;
	if (walk_number(w, registry) == IMAGE_NONE)
		return;
	edges_init(&e, w);
	edges_of(&e, &o, &sink);
	edges_deinit(&e);
}

static uint32_t name_field(struct census_names *n, uint64_t meta)
{
	struct entry_search s = { .n = n, .field = "__name" };
	const struct edge_sink sink = { .ctx = &s, .edge = on_entry };
	struct census_object o = { .uaddr = meta, .kind = CENSUS_TABLE };
	const uint8_t *text;
	uint64_t len;
	struct edges e;
	char name[NAME_BYTES + 1];

	edges_init(&e, n->w);
	edges_of(&e, &o, &sink);
	edges_deinit(&e);
	if (!s.found || !edges_text(n->w, s.found, &text, &len) || !len)
		return 0;
	snprintf(name, sizeof(name), "%.*s", (int)(len < NAME_BYTES ? len : NAME_BYTES),
		 (const char *)text);
	return strpool_add(n->pool, name);
}

uint32_t census_type_name(struct census_names *n, uint64_t meta)
{
	uint64_t *known, id;
	char text[40];

	if (!meta)
		return 0;
	if (!n->registry_read)
		read_registry(n);
	known = hashmap_lookup(&n->by_meta, (meta) | 1);
	if (known)
		return (uint32_t)*known - 1;
	id = name_field(n, meta);
	if (!id && (known = hashmap_lookup(&n->by_meta, meta)))
		id = *known - 1;
	if (!id) {
		snprintf(text, sizeof(text), "metatable 0x%" PRIx64, meta);
		id = strpool_add(n->pool, text);
	}
	known = hashmap_get_or_add(&n->by_meta, meta | 1); /* the odd address: what was found out */
	if (known)
		*known = 1 + id;
	return (uint32_t)id;
}

void census_names_deinit(struct census_names *n)
{
	hashmap_deinit(&n->by_meta);
}

uint64_t census_metatable_of(const struct walk *w, const struct census_object *o)
{
	const uint8_t *p;

	if (o->kind == CENSUS_TABLE) {
		p = image_at(w->im, o->uaddr, (uint64_t)w->l->size_tab.off);
		return p ? walk_get(p, w->l->T_meta) : 0;
	}
	if (o->kind != CENSUS_USERDATA)
		return 0;
	p = image_at(w->im, o->uaddr, 32);
	return p ? walk_get(p, w->c->U_meta) : 0;
}

/* --- C types --- */

static void ctype_own_name(const struct walk *w, const uint8_t *ct, char *out, size_t size)
{
	uint64_t name = walk_get(ct, w->c->CType_name), len;
	const uint8_t *text;

	*out = '\0';
	if (name && edges_text(w, name, &text, &len))
		snprintf(out, size, "%.*s", (int)(len < NAME_BYTES ? len : NAME_BYTES),
			 (const char *)text);
}

/* A struct without a name of its own: that of a typedef for it. */
static void typedef_name(const struct walk *w, const uint8_t *ct, char *out, size_t size)
{
	const uint8_t *tab = image_at(w->im, w->ctypes, (uint64_t)w->n_ctypes *
				      (uint64_t)w->c->size_CType.off);

	for (uint32_t i = 1; tab && i < w->n_ctypes && !*out; i++) {
		const uint8_t *p = tab + i * (size_t)w->c->size_CType.off;
		uint32_t info = (uint32_t)walk_get(p, w->c->CType_info);

		/* Attributes, as of alignment, stand between the name and the struct. */
		if (LJ_CT_KIND(info) == LJ_CT_TYPEDEF && lj_ctype(w, info & 0xffff) == ct)
			ctype_own_name(w, p, out, size);
	}
}

static const char *number_name(uint32_t info, uint64_t size)
{
	bool is_float = info >> 26 & 1, is_unsigned = info >> 23 & 1, is_bool = info >> 27 & 1;

	if (is_bool)
		return "bool";
	if (is_float)
		return size == 4 ? "float" : "double";
	switch (size) {
	case 1:
		return is_unsigned ? "uint8_t" : "char";
	case 2:
		return is_unsigned ? "uint16_t" : "int16_t";
	case 4:
		return is_unsigned ? "uint32_t" : "int32_t";
	default:
		return is_unsigned ? "uint64_t" : "int64_t";
	}
}

/* Wraps what comes out of the inner type: "T" → "T *", "T[8]". */
static uint32_t wrap(const uint8_t *ct, const struct walk *w, uint32_t info, char *suffix, size_t size)
{
	char tail[NAME_BYTES];
	uint64_t bytes = walk_get(ct, w->c->CType_size);

	if (LJ_CT_KIND(info) == LJ_CT_PTR)
		snprintf(tail, sizeof(tail), " *%s", suffix);
	else if (bytes == UINT32_MAX)
		snprintf(tail, sizeof(tail), "%s[?]", suffix);
	else
		snprintf(tail, sizeof(tail), "%s[%" PRIu64 "]", suffix, bytes);
	snprintf(suffix, size, "%s", tail);
	return info & 0xffff;
}

/* An array's size is in bytes: its length is that over the element's. */
static uint64_t ctype_size(const struct walk *w, uint32_t id)
{
	const uint8_t *ct = lj_ctype(w, id);

	return ct ? walk_get(ct, w->c->CType_size) : 0;
}

uint32_t census_ctype_name(const struct walk *w, uint32_t id, struct strpool *pool)
{
	char own[NAME_BYTES + 1], suffix[NAME_BYTES] = "", text[3 * NAME_BYTES], dim[32];
	const uint8_t *ct = NULL;
	uint32_t info = 0;

	for (int depth = 0; depth < MAX_CTYPE_DEPTH; depth++) {
		uint64_t element;

		ct = lj_ctype(w, id);
		if (!ct)
			return strpool_add(pool, "C type");
		info = (uint32_t)walk_get(ct, w->c->CType_info);
		if (LJ_CT_KIND(info) != LJ_CT_PTR && LJ_CT_KIND(info) != LJ_CT_ARRAY)
			break;
		element = ctype_size(w, info & 0xffff);
		if (LJ_CT_KIND(info) == LJ_CT_ARRAY && element &&
		    walk_get(ct, w->c->CType_size) != UINT32_MAX) {
			snprintf(dim, sizeof(dim), "[%" PRIu64 "]",
				 walk_get(ct, w->c->CType_size) / element);
			strncat(suffix, dim, sizeof(suffix) - strlen(suffix) - 1);
			id = info & 0xffff;
		} else {
			id = wrap(ct, w, info, suffix, sizeof(suffix));
		}
	}
	ctype_own_name(w, ct, own, sizeof(own));
	if (!*own && LJ_CT_KIND(info) == LJ_CT_STRUCT)
		typedef_name(w, ct, own, sizeof(own));
	if (LJ_CT_KIND(info) == LJ_CT_STRUCT)
		snprintf(text, sizeof(text), "%s %s%s", info >> 23 & 1 ? "union" : "struct",
			 *own ? own : "(no name)", suffix);
	else if (LJ_CT_KIND(info) == LJ_CT_NUM)
		snprintf(text, sizeof(text), "%s%s",
			 number_name(info, walk_get(ct, w->c->CType_size)), suffix);
	else if (LJ_CT_KIND(info) == LJ_CT_VOID)
		snprintf(text, sizeof(text), "void%s", suffix);
	else if (LJ_CT_KIND(info) == LJ_CT_FUNC)
		snprintf(text, sizeof(text), "function%s", suffix);
	else
		snprintf(text, sizeof(text), "enum %s%s", own, suffix);
	return strpool_add(pool, text);
}

/* --- threads --- */

/* The function that a thread which never ran was made with: the first on its stack. */
static uint32_t thread_start(const struct walk *w, uint64_t thread, struct strpool *pool)
{
	const uint8_t *L = image_at(w->im, thread, (uint64_t)w->l->size_L.off), *p;
	uint64_t stack = L ? walk_get(L, w->l->L_stack) : 0;
	unsigned int slot = w->l->family == LMT_FAMILY_PUC ? 16 : 8;

	for (unsigned int i = 0; stack && i < 4; i++) {
		uint32_t n;

		p = image_at(w->im, stack + slot * i, 8);
		n = !p ? IMAGE_NONE
		       : walk_number(w, slot == 16 ? walk_u64(p) : lj_tv_object(w, p));
		if (n != IMAGE_NONE && w->obj[n].kind == CENSUS_FUNCTION && !w->obj[n].is_c)
			return path_proto_origin(w, path_proto_of(w, &w->obj[n]), pool);
	}
	return 0;
}

/* Where the innermost Lua function is. */
uint32_t census_thread_origin(const struct walk *w, uint64_t thread, struct strpool *pool)
{
	struct calls c;
	struct call call;
	uint32_t at = 0;

	calls_init(&c, w, thread);
	while (calls_next(&c, &call))
		if (call.proto) {
			at = calls_origin(w, &call, pool);
			break;
		}
	return at ? at : thread_start(w, thread, pool);
}
