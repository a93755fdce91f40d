/* SPDX-License-Identifier: MIT */
/*
 * Shape test of LuaJIT 2.0, 2.1 and OpenResty's fork, GC64 and GC32. Steps and limits:
 * docs/ARCHITECTURE.md, "Finding states".
 */
#include "shape.h"

#define GCT_STRING 4
#define GCT_THREAD 6
#define FFID_THREAD 1 /* a thread's dummy ffid */
#define ITYPE_TABLE (~11u)
#define GC64_POINTER ((1ull << 47) - 1)
#define LAST_GC_STATE 6
#define FIXED_BITS 0x60u
#define MIN_STRINGS 256u

struct lj {
	struct shape_env *env;
	const struct lmt_layout *l;
	uint64_t L, G;
	uint8_t lbuf[128], gbuf[1024];
	size_t lsize, gsize;
};

static uint64_t of_L(const struct lj *p, struct lmt_cell c)
{
	return shape_get(p->lbuf, p->lsize, c);
}

static uint64_t of_G(const struct lj *p, struct lmt_cell c)
{
	return shape_get(p->gbuf, p->gsize, c);
}

static bool strings_ok(const struct lj *p)
{
	uint64_t slots = of_G(p, p->l->G_strmask) + 1;
	struct lmt_cell gct = { p->l->G_strempty.off + (p->l->gc64.off ? 9 : 5), 1 };

	return slots >= MIN_STRINGS && !(slots & (slots - 1)) && of_G(p, p->l->G_strnum) &&
	       shape_is_rw(p->env, of_G(p, p->l->G_strtab)) && of_G(p, gct) == GCT_STRING;
}

static bool registry_ok(const struct lj *p)
{
	uint64_t tv = of_G(p, p->l->G_registry), at;
	uint32_t itype;

	if (p->l->gc64.off) {
		itype = (uint32_t)((int64_t)tv >> 47);
		at = tv & GC64_POINTER;
	} else {
		itype = (uint32_t)(tv >> 32);
		at = (uint32_t)tv;
	}
	return itype == ITYPE_TABLE && shape_is_rw(p->env, at);
}

/* cur_L: none or a thread of this very global_State. */
static bool running_ok(const struct lj *p)
{
	uint64_t cur = of_G(p, p->l->G_cur_L), jit_base = of_G(p, p->l->G_jit_base), tag, glob;
	unsigned int wide = p->l->L_glob.size;

	if (jit_base && !shape_is_rw(p->env, jit_base))
		return false;
	if (!cur)
		return true;
	return memread_uint(p->env->mem, cur + (uint64_t)p->l->L_tag.off, 1, &tag) &&
	       tag == GCT_THREAD &&
	       memread_uint(p->env->mem, cur + (uint64_t)p->l->L_glob.off, wide, &glob) &&
	       glob == p->G;
}

/*
 * The dispatch table behind the state holds pointers into the interpreter; that it begins just
 * where the row says pins the sizes of global_State and jit_State.
 */
static bool dispatch_ok(const struct lj *p)
{
	uint64_t at = p->L + (uint64_t)p->l->GG_dispatch.off;
	uint64_t word[3];

	if (!layout_has(p->l->GG_dispatch))
		return true;
	return memread_exact(p->env->mem, at - 8, word, sizeof(word)) &&
	       !shape_is_code(p->env, word[0]) && shape_is_code(p->env, word[1]) &&
	       shape_is_code(p->env, word[2]);
}

/*
 * Behind it stand the headers of the built-in functions, whose opcodes follow one another right
 * behind the last real one: pins the number of opcodes and built-in functions.
 */
static bool opcodes_ok(const struct lj *p)
{
	uint32_t op[3];
	int64_t first = p->l->K_BC_FUNCC.off + 2;

	if (!layout_has(p->l->GG_bcff) || !layout_has(p->l->K_BC_FUNCC))
		return true;
	if (!memread_exact(p->env->mem, p->L + (uint64_t)p->l->GG_bcff.off, op, sizeof(op)))
		return false;
	return (op[0] & 0xff) == first && (op[1] & 0xff) == first + 1 && (op[2] & 0xff) == first + 2;
}

static bool read_both(struct lj *p)
{
	p->lsize = (size_t)p->l->size_L.off;
	p->gsize = (size_t)p->l->size_G.off;
	if (p->lsize > sizeof(p->lbuf) || p->gsize > sizeof(p->gbuf))
		return false;
	return memread_exact(p->env->mem, p->L, p->lbuf, p->lsize) &&
	       memread_exact(p->env->mem, p->G, p->gbuf, p->gsize);
}

enum shape_step shape_luajit(struct shape_env *env, const struct layout *row, uint64_t L, uint64_t G)
{
	struct lj p = { .env = env, .l = &row->l, .L = L, .G = G };
	uint64_t stack, white;

	if (!read_both(&p))
		return SHAPE_READ;
	if (of_L(&p, p.l->L_tag) != GCT_THREAD || of_L(&p, p.l->L_dummy_ffid) != FFID_THREAD)
		return SHAPE_TAG;
	if (of_L(&p, p.l->L_glob) != G || of_G(&p, p.l->G_main) != L)
		return SHAPE_BACK;
	if (!shape_is_code(env, of_G(&p, p.l->G_alloc)))
		return SHAPE_ALLOC;
	if (of_G(&p, p.l->G_gcstate) > LAST_GC_STATE)
		return SHAPE_GCSTATE;
	white = of_G(&p, p.l->G_white) & ~(uint64_t)FIXED_BITS;
	if (white != 1 && white != 2)
		return SHAPE_WHITE;
	stack = of_L(&p, p.l->L_stack);
	if (!shape_is_rw(env, stack) || of_L(&p, p.l->L_base) < stack || of_L(&p, p.l->L_top) < stack)
		return SHAPE_STACK;
	if (!strings_ok(&p))
		return SHAPE_STRINGS;
	if (!registry_ok(&p))
		return SHAPE_REGISTRY;
	if (!shape_is_rw(env, of_G(&p, p.l->G_root)) || !running_ok(&p) || !dispatch_ok(&p) ||
	    !opcodes_ok(&p))
		return SHAPE_VM;
	return SHAPE_OK;
}
