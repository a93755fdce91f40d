/* SPDX-License-Identifier: MIT */
#include "luajit.h"

#define VARIABLE 0x80u /* of a cdata's marks: its size stands before it */
#define POINTER_SIZE 8
#define MAX_CTYPES (1u << 16)
#define UDTYPE_BUFFER 3
#define BUFFER_NOT_OWNED 6u /* flags beside SBuf.L: copy on write, borrowed */
#define MAX_BUFFER (1ull << 32)

int lj_kind(uint8_t gct)
{
	static const int kind[] = {
		[LJ_STRING] = CENSUS_STRING, [LJ_UPVALUE] = CENSUS_UPVALUE,
		[LJ_THREAD] = CENSUS_THREAD, [LJ_PROTO] = CENSUS_PROTO,
		[LJ_FUNCTION] = CENSUS_FUNCTION, [LJ_TRACE] = CENSUS_TRACE,
		[LJ_CDATA] = CENSUS_CDATA, [LJ_TABLE] = CENSUS_TABLE,
		[LJ_USERDATA] = CENSUS_USERDATA,
	};

	return gct < LJ_STRING || gct > LJ_USERDATA ? -1 : kind[gct];
}

bool lj_table(const struct walk *w, uint64_t at, struct lj_table *t)
{
	const uint8_t *p = image_at(w->im, at, (uint64_t)w->l->size_tab.off);
	uint64_t mask;
	int colo;

	if (!p)
		return false;
	mask = walk_get(p, w->c->T_hmask);
	colo = (int8_t)walk_get(p, w->c->T_colo);
	if (mask & (mask + 1))
		return false;
	t->array = walk_get(p, w->l->T_array);
	t->array_n = walk_get(p, w->c->T_asize);
	t->node = walk_get(p, w->l->T_node);
	t->nodes = mask ? mask + 1 : 0; /* else the empty node inside the state */
	t->meta = walk_get(p, w->l->T_meta);
	t->nomm = (uint8_t)walk_get(p, w->c->T_flags);
	t->block = (uint64_t)w->l->size_tab.off + t->nodes * (uint64_t)w->l->size_node.off;
	/* The first array may lie behind the header; one that grew out of it leaves the room there. */
	if (colo <= 0)
		t->block += 8 * t->array_n;
	t->block += 8 * (uint64_t)(colo & 0x7f);
	return true;
}

void lj_find_ctypes(struct walk *w)
{
	uint64_t cts = layout_has(w->c->G_ctype_state) ? walk_get(w->g, w->c->G_ctype_state) : 0;
	const uint8_t *p = cts ? image_at(w->im, cts, (uint64_t)w->c->size_CTState.off) : NULL;

	if (!p)
		return;
	w->ctypes = walk_get(p, w->c->CTState_tab);
	w->n_ctypes = (uint32_t)walk_get(p, w->c->CTState_top);
	if (w->n_ctypes > MAX_CTYPES ||
	    !image_at(w->im, w->ctypes, (uint64_t)w->n_ctypes * (uint64_t)w->c->size_CType.off))
		w->n_ctypes = 0;
}

const uint8_t *lj_ctype(const struct walk *w, uint32_t id)
{
	for (int i = 0; i < 32 && id < w->n_ctypes; i++) {
		const uint8_t *p = image_at(w->im, w->ctypes + id * (uint64_t)w->c->size_CType.off,
					    (uint64_t)w->c->size_CType.off);
		uint32_t info = p ? (uint32_t)walk_get(p, w->c->CType_info) : 0;

		if (!p || (LJ_CT_KIND(info) != LJ_CT_ATTRIB && LJ_CT_KIND(info) != LJ_CT_TYPEDEF))
			return p;
		id = info & 0xffff;
	}
	return NULL;
}

bool lj_cdata(const struct walk *w, uint64_t cd, struct lj_cdata *ret)
{
	const uint8_t *p = image_at(w->im, cd, (uint64_t)w->c->size_cdata.off);
	const uint8_t *type;

	if (!p)
		return false;
	ret->ctype = (uint32_t)walk_get(p, w->c->cd_ctypeid);
	ret->payload = cd + (uint64_t)w->c->size_cdata.off;
	ret->variable = (walk_get(p, w->c->marked) & VARIABLE) != 0;
	if (ret->variable) {
		p = image_at(w->im, cd - (uint64_t)w->c->size_cdatav.off, 8);
		if (!p)
			return false;
		/* len is what C sees, extra all that is around it. */
		ret->block = walk_get(p, w->c->cdv_len) + walk_get(p, w->c->cdv_extra);
		ret->len = walk_get(p, w->c->cdv_len);
		return true;
	}
	type = lj_ctype(w, ret->ctype);
	if (!type)
		return false;
	ret->len = LJ_CT_KIND((uint32_t)walk_get(type, w->c->CType_info)) <= LJ_CT_ENUM
			   ? walk_get(type, w->c->CType_size) : POINTER_SIZE;
	ret->block = (uint64_t)w->c->size_cdata.off + ret->len;
	return true;
}

uint64_t lj_buffer_bytes(const struct walk *w, const uint8_t *u)
{
	const uint8_t *p = u + w->c->size_udata.off;
	uint64_t end, begin;

	if (walk_get(u, w->c->U_udtype) != UDTYPE_BUFFER || !layout_has(w->c->SBuf_L) ||
	    walk_get(u, w->c->U_len) < 8 * w->ref ||
	    walk_get(p, w->c->SBuf_L) & BUFFER_NOT_OWNED)
		return 0;
	end = walk_get(p, w->c->SBuf_e);
	begin = walk_get(p, w->c->SBuf_b);
	return end < begin || end - begin > MAX_BUFFER ? 0 : end - begin;
}
