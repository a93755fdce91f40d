/* SPDX-License-Identifier: MIT */
/*
 * The ends of a state's life and its allocator's getter, in programs that export nothing. The
 * same in both families: one block of constant size is asked for and given back.
 */
#include "find.h"

#include "alloc_calls.h"
#include "base/vec.h"

#define WINDOW 16
#define EARLY 240          /* lua_newstate asks within so many instructions, a random seed inlined */
#define MIN_STATE_SIZE 200 /* bytes; every state's block is larger */
#define MAX_STATE_SIZE 65536
#define MIN_GG_STATE 2000  /* LuaJIT: 2944 is the smallest there was */
#define MIN_CLOSE_FREES 3  /* stack, strings, buffer */
#define GETTER_MAX 0x48u

/* Frees a block of constant size: close_state, or what it was inlined into. */
static bool is_close_call(const struct alloc_call *c)
{
	return c->rcx_const && c->rcx == 0 && c->rdx_const && c->rdx > MIN_STATE_SIZE &&
	       c->rdx < MAX_STATE_SIZE;
}

/* Calls a function it was given as an argument: not one it loaded from a struct just before. */
static bool calls_argument(const struct code_function *fn, size_t at)
{
	unsigned int reg = fn->insn[at].o[0].reg;

	if (fn->insn[at].o[0].type != OPND_REG)
		return false;
	while (at-- > 0) {
		const struct insn *in = &fn->insn[at];

		if (in->op == INSN_POP || !(in->writes >> reg & 1))
			continue;
		return in->op != INSN_MOV || in->n_ops < 2 || in->o[1].type != OPND_MEM ||
		       in->o[1].reg == REG_SP || in->o[1].reg == REG_BP;
	}
	return true;
}

/* Calls a computed address with ptr NULL and a constant nsize early on; that size, else 0. */
static int64_t asks_for_block(const struct code_function *fn)
{
	for (size_t k = 0; k < fn->n && k < EARLY; k++) {
		int64_t rcx, rsi;

		if (fn->insn[k].op == INSN_CALL && !fn->insn[k].target &&
		    code_const_arg(fn, k, REG_CX, WINDOW, &rcx) && rcx > MIN_STATE_SIZE &&
		    rcx < MAX_STATE_SIZE && code_const_arg(fn, k, REG_SI, WINDOW, &rsi) && rsi == 0 &&
		    calls_argument(fn, k))
			return rcx;
	}
	return 0;
}

/* The only function that asks for a block of that size (0: any of at least min bytes). */
static const struct code_function *newstate_of_size(const struct code *c, int64_t size, int64_t min,
						    int64_t *size_ret)
{
	const struct code_function *found = NULL;

	for (size_t i = 0; i < code_count(c); i++) {
		const struct code_function *fn = code_get(c, i);
		int64_t got = asks_for_block(fn);

		if (got < min || (size && got != size))
			continue;
		if (found)
			return NULL;
		found = fn;
		*size_ret = got;
	}
	return found;
}

/* lua_close is the other caller of close_state; lua_newstate calls it when it fails. */
static void close_by_caller(struct finder *f, const struct code_function *close, uint64_t newstate)
{
	const struct code_function *found = NULL;
	size_t n;
	const struct code_edge *e = code_callers(f->code, close->start, &n);

	for (size_t i = 0; i < n; i++) {
		const struct code_function *fn = code_get(f->code, e[i].function);

		if (fn->start == newstate || fn == close || fn == found)
			continue;
		if (found)
			return;
		found = fn;
	}
	if (found)
		find_answer(f, FUNC_LUA_CLOSE, found->start, "calls close_state");
}

/*
 * With 32-bit references LuaJIT's exported lua_newstate only prints that it must not be used;
 * luaL_newstate calls lj_state_newstate (lj_state.c), which takes the same arguments.
 */
static void birth_answer(struct finder *f, const struct code_function *birth)
{
	struct func_answer *a = &f->fn[FUNC_LUA_NEWSTATE];
	const struct code_function *named = a->vaddr ? code_at(f->code, a->vaddr) : NULL;
	bool stub = named && named != birth;

	for (size_t i = 0; stub && i < named->n; i++)
		stub = !(insn_is_branch(&named->insn[i]) && !named->insn[i].target);
	if (stub)
		*a = (struct func_answer){ .vaddr = birth->start,
					   .how = "asks for the state's block; the export is a stub" };
	else
		find_answer(f, FUNC_LUA_NEWSTATE, birth->start, "asks for the state's block");
}

static void close_answer(struct finder *f, const struct code_function *close,
			 const struct code_function *birth)
{
	if (code_calls(f->code, birth, close->start)) {
		find_answer(f, FUNC_CLOSE_STATE, close->start, "frees the state's block");
		close_by_caller(f, close, birth->start);
	} else {
		find_answer(f, FUNC_LUA_CLOSE, close->start, "frees the state's block");
		f->fn[FUNC_CLOSE_STATE].why_not = "inlined into lua_close";
	}
}

/* Frees a block of that size through a computed call, however the allocator gets there. */
static bool frees_block(const struct code_function *fn, int64_t size)
{
	for (size_t k = 0; k < fn->n; k++) {
		int64_t rdx, rcx;

		if (insn_is_indirect(&fn->insn[k]) && code_const_arg(fn, k, REG_DX, WINDOW, &rdx) &&
		    rdx == size && code_const_arg(fn, k, REG_CX, WINDOW, &rcx) && rcx == 0)
			return true;
	}
	return false;
}

/*
 * LuaJIT: no other block is as large as the one that holds the dispatch table, so its size alone
 * tells who asks for it and who gives it back.
 */
static void by_size(struct finder *f)
{
	int64_t size = 0;
	const struct code_function *birth = newstate_of_size(f->code, 0, MIN_GG_STATE, &size);
	const struct code_function *close = NULL;

	if (!birth)
		return;
	f->state_block = (uint64_t)size;
	birth_answer(f, birth);
	for (size_t i = 0; i < code_count(f->code); i++) {
		const struct code_function *fn = code_get(f->code, i);

		if (fn == birth || !frees_block(fn, size))
			continue;
		if (close)
			return;
		close = fn;
	}
	if (close)
		close_answer(f, close, birth);
}

/*
 * LuaJIT with 32-bit references takes no allocator but its own, so that an amalgamated build asks
 * lj_alloc_malloc itself, in luaL_newstate, and exports a lua_newstate that only complains.
 */
static const struct code_function *newstate_of_own(const struct finder *f, int64_t *size_ret)
{
	static const struct {
		enum func_id id;
		unsigned int reg;
	} ways[] = { { FUNC_LJ_ALLOC_MALLOC, REG_SI }, { FUNC_LJ_ALLOC_F, REG_CX } };
	const struct code_function *found = NULL;

	for (size_t w = 0; w < sizeof(ways) / sizeof(*ways); w++) {
		size_t n = 0;
		const struct code_edge *e = f->fn[ways[w].id].vaddr
			? code_callers(f->code, f->fn[ways[w].id].vaddr, &n) : NULL;

		for (size_t i = 0; i < n; i++) {
			const struct code_function *fn = code_get(f->code, e[i].function);
			int64_t size;

			if (!code_const_arg(fn, e[i].insn, ways[w].reg, WINDOW, &size) ||
			    size < MIN_GG_STATE || size >= MAX_STATE_SIZE)
				continue;
			if (found && (found != fn || *size_ret != size))
				return NULL;
			found = fn;
			*size_ret = size;
		}
	}
	return found;
}

/* How many blocks of any size the function gives back to the allocator. */
static size_t frees(const struct alloc_calls *calls, const struct code_function *fn)
{
	size_t n = 0;

	vec_each(c, &calls->v)
		n += c->fn == fn && c->rcx_const && c->rcx == 0;
	return n;
}

/* There the block itself goes with the allocator's own memory: close_state frees all the rest. */
static void by_own_allocator(struct finder *f, const struct alloc_calls *calls)
{
	struct func_answer *a = &f->fn[FUNC_LUA_NEWSTATE];
	const struct code_function *birth, *close = NULL;
	int64_t size = 0;

	birth = newstate_of_own(f, &size);
	if (!birth)
		return;
	f->state_block = (uint64_t)size;
	*a = (struct func_answer){ .why_not = "inlined into luaL_newstate" };
	for (size_t i = 0; i < birth->n; i++) {
		const struct code_function *fn = birth->insn[i].op == INSN_CALL &&
			birth->insn[i].target ? code_at(f->code, birth->insn[i].target) : NULL;

		if (!fn || fn == birth || fn == close || frees(calls, fn) < MIN_CLOSE_FREES)
			continue;
		if (close)
			return;
		close = fn;
	}
	if (close)
		close_answer(f, close, birth);
}

void find_birth_and_death(struct finder *f, const struct alloc_calls *calls, bool luajit)
{
	const struct code_function *close = NULL, *birth = NULL, *fn;
	int64_t size = 0, got;
	size_t n_close = 0;

	if (luajit) {
		by_size(f);
		if (!f->state_block)
			by_own_allocator(f, calls);
		return;
	}
	vec_each(call, &calls->v) {
		if (!is_close_call(call) || call->fn == close)
			continue;
		fn = newstate_of_size(f->code, call->rdx, MIN_STATE_SIZE, &got);
		if (!fn || (birth && fn != birth))
			continue;
		birth = fn;
		size = call->rdx;
		if (call->fn == birth)
			continue; /* inlined into its failure path */
		close = call->fn;
		n_close++;
	}
	if (!birth)
		return;
	f->state_block = (uint64_t)size;
	birth_answer(f, birth);
	if (n_close == 1)
		close_answer(f, close, birth);
}

static bool tests_arg1(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n; i++)
		if (fn->insn[i].op == INSN_TEST && opnd_is_reg(&fn->insn[i].o[0], REG_SI) &&
		    opnd_is_reg(&fn->insn[i].o[1], REG_SI))
			return true;
	return false;
}

/* Loads a wide word at this offset of something that is not the first argument. */
static bool loads_from_g(const struct code_function *fn, int64_t off, unsigned int reg)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_MOV && in->n_ops > 1 && in->o[0].type == OPND_REG &&
		    in->o[0].size == 8 && (reg == REG_NONE || in->o[0].reg == reg) &&
		    in->o[1].type == OPND_MEM && in->o[1].reg < 16 && in->o[1].reg != REG_DI &&
		    in->o[1].reg != REG_SP && in->o[1].index == REG_NONE && in->o[1].value == off)
			return true;
	}
	return false;
}

static bool stores_through_arg1(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_MOV && in->n_ops > 1 && in->o[0].type == OPND_MEM &&
		    in->o[0].size == 8 && in->o[0].reg == REG_SI && in->o[0].value == 0 &&
		    in->o[0].index == REG_NONE && in->o[1].type == OPND_REG)
			return true;
	}
	return false;
}

static bool is_leaf(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n; i++)
		if (fn->insn[i].op == INSN_CALL || (fn->insn[i].op == INSN_JMP && !fn->insn[i].target))
			return false;
	return true;
}

/* if (ud) *ud = G(L)->ud; return G(L)->frealloc; the two are neighbours. */
static bool is_getallocf(const struct code_function *fn)
{
	static const int64_t offsets[] = { 0, 0x10 };

	if (fn->end - fn->start > GETTER_MAX || fn->n < 5 || !is_leaf(fn) || !tests_arg1(fn) ||
	    !stores_through_arg1(fn))
		return false;
	for (size_t i = 0; i < 2; i++)
		if (loads_from_g(fn, offsets[i] + 8, REG_NONE) && loads_from_g(fn, offsets[i], REG_AX))
			return true;
	return false;
}

void find_getallocf(struct finder *f)
{
	const struct code_function *found = NULL;

	for (size_t i = 0; i < code_count(f->code); i++) {
		const struct code_function *fn = code_get(f->code, i);

		if (!is_getallocf(fn))
			continue;
		if (found)
			return;
		found = fn;
	}
	if (found)
		find_answer(f, FUNC_LUA_GETALLOCF, found->start, "shape");
}
