/* SPDX-License-Identifier: MIT */
/*
 * What looks wrong about a heap, before it has hurt:
 *
 * - tables whose empty hash part is the static node of another mapped copy of Lua: that copy runs
 *   code on this state. Up to 5.3.3 the collector of one copy frees the other's static memory.
 * - live FFI data that points into memory of the LuaJIT heap that is free, or whose owner nobody
 *   holds: a pointer in C data keeps nothing alive.
 */
#include "census.h"

#include <errno.h>
#include <stdlib.h>

#include "chunks.h"
#include "luajit.h"
#include "puc.h"

#define MAX_COPIES 32
#define MAX_FIELDS 256
#define MAX_DANGLING 50

struct copies {
	const struct module *module[MAX_COPIES];
	uint64_t count[MAX_COPIES];
	uint32_t example[MAX_COPIES];
	bool freed[MAX_COPIES]; /* this release takes the other's node for a block of the heap */
	size_t n;
};

static void count_node(struct copies *cp, const struct module *m, uint32_t object, bool freed)
{
	size_t i = 0;

	while (i < cp->n && cp->module[i] != m)
		i++;
	if (i == MAX_COPIES)
		return;
	if (i == cp->n) {
		cp->module[cp->n++] = m;
		cp->example[i] = object;
		cp->count[i] = 0;
		cp->freed[i] = false;
	}
	cp->count[i]++;
	cp->freed[i] |= freed;
}

/*
 * The copy that made the state: whose allocator it has; else as resolve tells, which looks at a
 * few tables only; else that of most tables.
 */
static size_t owner_of(const struct census *c, const struct census_state *s, const struct copies *cp)
{
	const struct resolved_state *rs = &c->resolved->states.v[s->index];
	const struct runtime *rt = resolved_runtime(c->resolved, rs->runtime);
	const struct module *alloc = target_module_at(c->target, rs->gc.alloc);
	size_t best = 0;

	for (size_t i = 0; i < cp->n; i++)
		if (cp->module[i] == alloc)
			return i;
	for (size_t i = 0; i < cp->n; i++) {
		if (rt && cp->module[i]->start == rt->start)
			return i;
		if (cp->count[i] > cp->count[best])
			best = i;
	}
	return best;
}

static int find_foreign(struct census *c, struct census_state *s, struct reach *r)
{
	const struct walk *w = r->w;
	struct copies cp = { .n = 0 };
	size_t owner;
	int rc = 0;

	for (uint32_t i = 0; i < w->n; i++) {
		const struct module *m;
		struct puc_table t;
		const uint8_t *p;

		if (w->obj[i].kind != CENSUS_TABLE || !puc_table(w, w->obj[i].uaddr, &t) ||
		    !t.no_nodes || !(m = target_module_at(c->target, t.node)))
			continue;
		p = image_at(w->im, w->obj[i].uaddr, (uint64_t)w->l->size_tab.off);
		/* Since 5.3.4 an empty node is told by a NULL here, and nobody's is ever freed. */
		count_node(&cp, m, i, layout_has(w->c->T_lastfree) && walk_get(p, w->c->T_lastfree));
	}
	owner = owner_of(c, s, &cp);
	for (size_t i = 0; !rc && i < cp.n; i++) {
		struct census_finding f = { .kind = CENSUS_FOREIGN_NODES, .count = cp.count[i],
					    .crashes = cp.freed[i] };

		if (i == owner)
			continue;
		f.owner = strpool_add(c->pool, cp.module[owner]->path);
		f.foreign = strpool_add(c->pool, cp.module[i]->path);
		f.uaddr = w->obj[cp.example[i]].uaddr;
		path_build(r, cp.example[i], c->pool, &f.path);
		rc = vec_push(&s->findings, f);
	}
	return rc;
}

struct dangling {
	struct census *c;
	struct census_state *s;
	struct reach *r;
	struct chunks chunks;
	bool unsure; /* compiled code is running: what it holds in registers is out of sight */
};

/* Bytes of the object's own block, without what it has elsewhere. */
static uint64_t block_bytes(const struct walk *w, const struct census_object *o)
{
	if (o->kind == CENSUS_TABLE)
		return (uint64_t)w->l->size_tab.off;
	return o->kind == CENSUS_THREAD ? (uint64_t)w->l->size_L.off : walk_bytes(w, o);
}

/* May C data point there? At what an object shows to C: a string's text, a userdata's bytes. */
static bool is_shown_to_c(const struct walk *w, const struct census_object *o, uint64_t v)
{
	uint64_t at = v - o->uaddr;
	struct lj_cdata cd;

	switch ((enum census_kind)o->kind) {
	case CENSUS_STRING:
		return at >= (uint64_t)w->l->size_str.off;
	case CENSUS_USERDATA:
		return at >= (uint64_t)w->c->size_udata.off;
	case CENSUS_CDATA:
		return lj_cdata(w, o->uaddr, &cd) && v >= cd.payload && v <= cd.payload + cd.len;
	case CENSUS_THREAD:
		return true; /* a lua_State, which C code is given */
	case CENSUS_TABLE:
	case CENSUS_FUNCTION:
	case CENSUS_PROTO:
	case CENSUS_UPVALUE:
	case CENSUS_TRACE:
	case CENSUS_KIND_MAX:
		break;
	}
	return false;
}

/*
 * What is wrong with a pointer into the heap? Only what is surely so: a block that is in use and
 * is no object (the slots of a table, a stack) may be anything.
 */
static enum census_dangling judge(struct dangling *d, uint64_t v, uint32_t *owner)
{
	const struct walk *w = d->r->w;
	uint32_t n;

	*owner = IMAGE_NONE;
	if (!chunks_hold(&d->chunks, v))
		return CENSUS_PTR_NOTHING;
	if (chunks_is_free(&d->chunks, v))
		return CENSUS_PTR_FREED;
	n = image_number_below(w->im, v);
	if (n == IMAGE_NONE || v - w->obj[n].uaddr >= block_bytes(w, &w->obj[n]))
		return CENSUS_PTR_NOTHING;
	*owner = n;
	if (!is_shown_to_c(w, &w->obj[n], v))
		return CENSUS_PTR_RECYCLED;
	return !reach_is_live(d->r, n) && !d->unsure ? CENSUS_PTR_UNHELD : CENSUS_PTR_NOTHING;
}

static int check_pointer(struct dangling *d, uint32_t object, uint32_t ctype, uint32_t field, uint64_t v)
{
	struct census_finding f = { .kind = CENSUS_DANGLING, .count = 1, .target = v,
				    .field = field, .uaddr = d->r->w->obj[object].uaddr };
	uint32_t owner;

	f.wrong = judge(d, v, &owner);
	if (f.wrong == CENSUS_PTR_NOTHING || d->s->findings.n >= MAX_DANGLING)
		return 0;
	f.ctype = census_ctype_name(d->r->w, ctype, d->c->pool);
	if (owner != IMAGE_NONE)
		f.block_kind = strpool_add(d->c->pool, census_kind_name(d->r->w->obj[owner].kind));
	path_build(d->r, object, d->c->pool, &f.path);
	return vec_push(&d->s->findings, f);
}

static int check_struct(struct dangling *d, uint32_t object, const struct lj_cdata *cd,
			const uint8_t *type)
{
	const struct walk *w = d->r->w;
	uint32_t id = (uint32_t)walk_get(type, w->c->CType_sib);
	int rc = 0;

	for (int i = 0; !rc && id && i < MAX_FIELDS; i++) {
		const uint8_t *field = id < w->n_ctypes
			? image_at(w->im, w->ctypes + id * (uint64_t)w->c->size_CType.off,
				   (uint64_t)w->c->size_CType.off) : NULL;
		const uint8_t *ft, *p, *text;
		uint64_t at, len;
		uint32_t info, name = 0;
		char buf[64];

		if (!field)
			break;
		info = (uint32_t)walk_get(field, w->c->CType_info);
		id = (uint32_t)walk_get(field, w->c->CType_sib);
		ft = LJ_CT_KIND(info) == LJ_CT_FIELD ? lj_ctype(w, info & 0xffff) : NULL;
		if (!ft || LJ_CT_KIND((uint32_t)walk_get(ft, w->c->CType_info)) != LJ_CT_PTR)
			continue;
		at = walk_get(field, w->c->CType_size);
		p = at + 8 <= cd->len ? image_at(w->im, cd->payload + at, 8) : NULL;
		if (!p)
			continue;
		if (edges_text(w, walk_get(field, w->c->CType_name), &text, &len)) {
			snprintf(buf, sizeof(buf), "%.*s", (int)(len < 60 ? len : 60),
				 (const char *)text);
			name = strpool_add(d->c->pool, buf);
		}
		rc = check_pointer(d, object, cd->ctype, name, walk_u64(p));
	}
	return rc;
}

/* Is the object a value that is passed around, or just left over in a register? */
static bool is_kept(const struct reach *r, uint32_t object)
{
	uint32_t parent = r->parent[object];

	return parent != REACH_NONE && !(parent & REACH_ROOT) &&
	       r->w->obj[parent].kind != CENSUS_THREAD;
}

static int check_cdata(struct dangling *d, uint32_t object)
{
	const struct walk *w = d->r->w;
	struct lj_cdata cd;
	const uint8_t *type, *p;
	uint32_t info;

	if (!is_kept(d->r, object) || !lj_cdata(w, w->obj[object].uaddr, &cd) ||
	    !(type = lj_ctype(w, cd.ctype)))
		return 0;
	info = (uint32_t)walk_get(type, w->c->CType_info);
	if (LJ_CT_KIND(info) == LJ_CT_STRUCT)
		return check_struct(d, object, &cd, type);
	p = LJ_CT_KIND(info) == LJ_CT_PTR ? image_at(w->im, cd.payload, 8) : NULL;
	return p ? check_pointer(d, object, cd.ctype, 0, walk_u64(p)) : 0;
}

static int find_dangling(struct census *c, struct census_state *s, struct reach *r)
{
	struct dangling d = { .c = c, .s = s, .r = r };
	const struct walk *w = r->w;
	int rc;

	if (!w->n_ctypes)
		return 0;
	d.unsure = layout_has(w->l->G_jit_base) && walk_get(w->g, w->l->G_jit_base);
	rc = chunks_read(&d.chunks, w);
	for (uint32_t i = 0; !rc && d.chunks.n && i < w->n; i++)
		if (w->obj[i].kind == CENSUS_CDATA)
			rc = check_cdata(&d, i);
	chunks_deinit(&d.chunks);
	return rc;
}

int census_find(struct census *c, struct census_state *s, struct reach *r)
{
	s->findings.n = 0;
	return r->w->l->family == LMT_FAMILY_PUC ? find_foreign(c, s, r) : find_dangling(c, s, r);
}
