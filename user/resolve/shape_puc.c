/* SPDX-License-Identifier: MIT */
/* Shape test of PUC Lua 5.1 to 5.5. Steps and limits: docs/ARCHITECTURE.md, "Finding states". */
#include "shape.h"

#include <string.h>

#define TAG_THREAD 8
#define TAG_STRING 4
#define TAG_TABLE 5
#define MAX_OBJECTS 3000
#define MAX_CODE (1u << 24)
#define COLLECTABLE 0x40
#define MAX_STACK (32u << 20)
#define MAX_ARRAY (1u << 26)
#define FIXED_BITS 0x60u /* fixed and super-fixed marks that older versions keep with the white */

struct puc {
	struct shape_env *env;
	const struct lmt_layout *l;
	uint64_t L, G;
	uint8_t lbuf[256], gbuf[2048];
	size_t lsize, gsize;
};

static uint64_t of_L(const struct puc *p, struct lmt_cell c)
{
	return shape_get(p->lbuf, p->lsize, c);
}

static uint64_t of_G(const struct puc *p, struct lmt_cell c)
{
	return shape_get(p->gbuf, p->gsize, c);
}

static bool white_ok(uint64_t white)
{
	white &= ~(uint64_t)FIXED_BITS;
	return white == 1 || white == 2 || white == 8 || white == 16;
}

/* 5.2 and 5.3 keep a pointer to their version number as a double. */
static bool version_ok(const struct puc *p)
{
	uint64_t at = of_G(p, p->l->G_version), raw;
	double number;

	if (p->l->version != 502 && p->l->version != 503)
		return true;
	if (!memread_uint(p->env->mem, at, 8, &raw))
		return false;
	memcpy(&number, &raw, sizeof(number));
	return number == (double)p->l->version;
}

static bool stack_ok(const struct puc *p)
{
	uint64_t stack = of_L(p, p->l->L_stack), top = of_L(p, p->l->L_top);
	uint64_t last = of_L(p, p->l->L_stack_last);

	return shape_is_rw(p->env, stack) && stack <= top && top <= last + 256 && last >= stack &&
	       last - stack <= MAX_STACK && shape_is_rw(p->env, of_L(p, p->l->L_ci));
}

static bool strings_ok(const struct puc *p)
{
	uint64_t size = of_G(p, p->l->G_strsize);

	return of_G(p, p->l->G_nuse) && size && !(size & (size - 1)) &&
	       shape_is_rw(p->env, of_G(p, p->l->G_hash));
}

/* Parses the registry as a table of this row: tells stock 5.1 from redis' wider one. */
static bool registry_ok(const struct puc *p)
{
	uint64_t at, array, meta, n, tag;
	uint8_t t[96];
	size_t size = (size_t)p->l->size_tab.off;

	at = mem_uint(p->gbuf + p->l->G_registry.off, 8);
	tag = p->gbuf[p->l->G_registry.off + 8];
	if (tag != (p->l->version == 501 ? TAG_TABLE : (TAG_TABLE | COLLECTABLE)) ||
	    !shape_is_rw(p->env, at) || size > sizeof(t) ||
	    !memread_exact(p->env->mem, at, t, size) || t[8] != TAG_TABLE)
		return false;
	n = shape_get(t, size, p->l->T_sizearray);
	array = shape_get(t, size, p->l->T_array);
	meta = shape_get(t, size, p->l->T_meta);
	if (n > MAX_ARRAY || (n ? !shape_is_rw(p->env, array) : array != 0))
		return false;
	if (!proc_find_map(p->env->maps, shape_get(t, size, p->l->T_node)) &&
	    !shape_is_rw(p->env, shape_get(t, size, p->l->T_node)))
		return false;
	return (!meta || shape_is_rw(p->env, meta)) &&
	       shape_get(t, size, p->l->T_lsizenode) <= 30;
}

/* The first metamethod's name must read __index where the row has the text of a string. */
static bool names_ok(const struct puc *p)
{
	static const char name[] = "__index";
	int64_t text = layout_has(p->l->S_contents) ? p->l->S_contents.off : p->l->size_str.off;
	uint8_t buf[64 + sizeof(name)];
	uint64_t at;

	if (!layout_has(p->l->G_tmname))
		return true;
	return text <= 64 && memread_uint(p->env->mem, p->G + (uint64_t)p->l->G_tmname.off, 8, &at) &&
	       memread_exact(p->env->mem, at, buf, (size_t)text + sizeof(name)) &&
	       buf[8] == TAG_STRING && !memcmp(buf + text, name, sizeof(name));
}

static bool proto_fits(const struct puc *p, uint64_t proto)
{
	uint64_t code, n, source, tag;

	if (!layout_has(p->l->P_code)) /* skynet: a shared prototype instead */
		return memread_uint(p->env->mem, proto + (uint64_t)p->l->P_sp.off, 8, &code) &&
		       shape_is_rw(p->env, code);
	return memread_uint(p->env->mem, proto + (uint64_t)p->l->P_code.off, 8, &code) &&
	       memread_uint(p->env->mem, proto + (uint64_t)p->l->P_sizecode.off, 4, &n) &&
	       memread_uint(p->env->mem, proto + (uint64_t)p->l->P_source.off, 8, &source) &&
	       shape_is_rw(p->env, code) && n && n < MAX_CODE &&
	       (!source || (memread_uint(p->env->mem, source + 8, 1, &tag) &&
			    (tag & 0xf) == TAG_STRING));
}

/*
 * The first prototype among the newest objects must be one of this row; a state without any
 * proves nothing. The process runs on meanwhile, so a broken walk proves nothing either.
 */
static bool protos_ok(const struct puc *p)
{
	uint64_t obj = of_G(p, p->l->G_allgc);

	for (int i = 0; i < MAX_OBJECTS && obj; i++) {
		uint64_t head[2];

		if (!memread_exact(p->env->mem, obj, head, sizeof(head)))
			return true;
		if ((head[1] & 0xff) == (uint64_t)p->l->K_proto.off)
			return proto_fits(p, obj);
		obj = head[0];
	}
	return true;
}

static bool read_both(struct puc *p)
{
	p->lsize = (size_t)p->l->size_L.off;
	p->gsize = (size_t)p->l->size_G.off;
	if (p->lsize > sizeof(p->lbuf) || p->gsize > sizeof(p->gbuf) ||
	    (size_t)p->l->G_registry.off + 16 > p->gsize)
		return false;
	return memread_exact(p->env->mem, p->L, p->lbuf, p->lsize) &&
	       memread_exact(p->env->mem, p->G, p->gbuf, p->gsize);
}

enum shape_step shape_puc(struct shape_env *env, const struct layout *row, uint64_t L, uint64_t G)
{
	struct puc p = { .env = env, .l = &row->l, .L = L, .G = G };
	bool embedded = row->l.G_main.size > 8; /* 5.5: the main thread lies inside global_State */

	if (!read_both(&p))
		return SHAPE_READ;
	if (of_L(&p, p.l->L_tag) != TAG_THREAD)
		return SHAPE_TAG;
	if (of_L(&p, p.l->L_glob) != G || (!embedded && of_G(&p, p.l->G_main) != L))
		return SHAPE_BACK;
	if (!shape_is_code(env, of_G(&p, p.l->G_alloc)))
		return SHAPE_ALLOC;
	if (of_G(&p, p.l->G_gcstate) > (p.l->version == 501 ? 4u : (uint64_t)p.l->K_pause.off + 1))
		return SHAPE_GCSTATE;
	if (!white_ok(of_G(&p, p.l->G_white)))
		return SHAPE_WHITE;
	if (!version_ok(&p))
		return SHAPE_VERSION;
	if (!stack_ok(&p))
		return SHAPE_STACK;
	if (!strings_ok(&p))
		return SHAPE_STRINGS;
	if (!registry_ok(&p))
		return SHAPE_REGISTRY;
	if (!names_ok(&p))
		return SHAPE_NAMES;
	return protos_ok(&p) ? SHAPE_OK : SHAPE_PROTO;
}
