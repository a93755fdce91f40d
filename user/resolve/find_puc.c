/* SPDX-License-Identifier: MIT */
/*
 * Methods P1 to P6 for PUC Lua 5.1 to 5.5 (tried on 51 builds, gcc and
 * clang, -O2, -O3, LTO, static). All start from the calls of g->frealloc.
 */
#include "find.h"

#include <string.h>

#include "alloc_calls.h"
#include "base/hashmap.h"
#include "base/vec.h"

#define FREALLOC_51 0x10 /* offset of frealloc in global_State; 0 since 5.2 */
#define WINDOW 16        /* instructions looked back for a constant argument */
#define SMALL 0x60u
#define MEDIUM 0x200u
#define ERRMEM 4

struct puc {
	struct finder *f;
	const struct code *c;
	struct alloc_calls calls;        /* the family */
};

static size_t size_of(const struct code_function *fn)
{
	return fn->end - fn->start;
}

static bool is_realloc_call(const struct alloc_call *c)
{
	return !c->rsi_const && !c->rcx_const && size_of(c->fn) < MEDIUM;
}

static bool is_malloc_call(const struct alloc_call *c)
{
	return c->rsi_const && c->rsi == 0 && !c->rcx_const && size_of(c->fn) < MEDIUM;
}

static bool is_free_call(const struct alloc_call *c)
{
	return c->rcx_const && c->rcx == 0 && !c->rdx_const && size_of(c->fn) < SMALL;
}

/* The target of a call with the constant in esi, or 0. */
static uint64_t calls_with_esi(const struct code_function *fn, size_t at, int64_t value)
{
	const struct insn *in = &fn->insn[at];
	int64_t got;

	if ((in->op != INSN_CALL && in->op != INSN_JMP) || !in->target)
		return 0;
	return code_const_arg(fn, at, REG_SI, 8, &got) && got == value ? in->target : 0;
}

static bool throws(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n; i++)
		if (calls_with_esi(fn, i, ERRMEM))
			return true;
	return false;
}

/* The function with most callers among those of the calls that pass; NULL when two tie. */
static const struct code_function *most_called(const struct puc *s,
					       bool (*pass)(const struct alloc_call *),
					       bool (*also)(const struct code_function *))
{
	const struct code_function *best = NULL;
	size_t best_n = 0, ties = 0;

	vec_each(call, &s->calls.v) {
		size_t n;

		if (!pass(call) || call->fn == best || (also && !also(call->fn)))
			continue;
		n = code_caller_count(s->c, call->fn->start);
		if (!best || n > best_n) {
			best = call->fn;
			best_n = n;
			ties = 0;
		} else if (n == best_n) {
			ties++;
		}
	}
	return ties ? NULL : best;
}

static bool passes_and_does_not_throw(const struct code_function *fn)
{
	return find_passes_arguments(fn) && !throws(fn);
}

static void find_answer_fn(struct puc *s, enum func_id id, const struct code_function *fn,
			   const char *how)
{
	if (fn)
		find_answer(s->f, id, fn->start, how);
}

/* P1: the members of the family, by which arguments of the allocator are constant. */
static void family(struct puc *s)
{
	const struct code_function *re = NULL;

	if (s->f->version >= 504) /* luaM_saferealloc_ has the same shape, but throws */
		re = most_called(s, is_realloc_call, passes_and_does_not_throw);
	if (!re)
		re = most_called(s, is_realloc_call, find_passes_arguments);
	if (!re)
		re = most_called(s, is_realloc_call, NULL);
	find_answer_fn(s, FUNC_LUAM_REALLOC, re, "allocator call");
	if (s->f->version < 504) {
		s->f->fn[FUNC_LUAM_MALLOC].why_not = "does not exist before 5.4";
		s->f->fn[FUNC_LUAM_FREE].why_not = "does not exist before 5.4";
		return;
	}
	find_answer_fn(s, FUNC_LUAM_MALLOC, most_called(s, is_malloc_call, NULL), "allocator call");
	find_answer_fn(s, FUNC_LUAM_FREE, most_called(s, is_free_call, NULL), "allocator call");
}

/* Gathers the targets of calls with a constant esi, one vote for each calling function. */
static void vote_esi(const struct code_function *fn, int64_t value, struct hashmap *votes)
{
	for (size_t i = 0; i < fn->n; i++) {
		uint64_t target = calls_with_esi(fn, i, value);
		uint64_t *n = target ? hashmap_get_or_add(votes, target) : NULL;

		if (n)
			++*n;
	}
}

/* The key with most votes, or 0 when there is none or two tie. */
static uint64_t winner(const struct hashmap *votes)
{
	uint64_t best = 0, best_n = 0;
	bool tie = false;

	for (size_t i = 0; i < votes->cap; i++) {
		if (!votes->e[i].key)
			continue;
		if (votes->e[i].value > best_n) {
			best = votes->e[i].key;
			best_n = votes->e[i].value;
			tie = false;
		} else if (votes->e[i].value == best_n) {
			tie = true;
		}
	}
	return tie ? 0 : best;
}

/* The vote of luaM_realloc_ and luaM_malloc_ alone: in a large program others look like family. */
static uint64_t core_vote(struct puc *s, int64_t esi, bool callees)
{
	static const enum func_id core[] = { FUNC_LUAM_REALLOC, FUNC_LUAM_MALLOC };
	struct hashmap votes = { 0 };
	uint64_t result;

	for (size_t i = 0; i < 2; i++) {
		const struct code_function *fn = s->f->fn[core[i]].vaddr
			? code_at(s->c, s->f->fn[core[i]].vaddr) : NULL;

		if (fn && !callees)
			vote_esi(fn, esi, &votes);
		for (size_t k = 0; fn && callees && k < fn->n; k++) {
			const struct code_function *to = fn->insn[k].target && insn_is_branch(&fn->insn[k])
				? code_at(s->c, fn->insn[k].target) : NULL;

			if (to && to != fn && size_of(to) <= MEDIUM)
				vote_esi(to, esi, &votes);
		}
	}
	result = winner(&votes);
	hashmap_deinit(&votes);
	return result;
}

/* Votes over the functions of the family, or over their direct callers. */
static uint64_t family_vote(struct puc *s, int64_t esi, bool callers)
{
	struct hashmap votes = { 0 };
	const struct code_function *last = NULL;
	uint64_t result = callers ? 0 : core_vote(s, esi, false);

	if (!result && !callers && s->f->version >= 504) /* tryagain, where it is not inlined */
		result = core_vote(s, esi, true);
	if (result)
		return result;
	vec_each(call, &s->calls.v) {
		size_t n;
		const struct code_edge *e;

		if (call->fn == last || !(is_realloc_call(call) || is_malloc_call(call)))
			continue;
		last = call->fn;
		if (!callers) {
			vote_esi(call->fn, esi, &votes);
			continue;
		}
		e = code_callers(s->c, call->fn->start, &n);
		for (size_t i = 0; i < n; i++)
			vote_esi(code_get(s->c, e[i].function), esi, &votes);
	}
	result = winner(&votes);
	hashmap_deinit(&votes);
	return result;
}

/* P2: luaD_throw(L, LUA_ERRMEM). */
static void throw_target(struct puc *s)
{
	uint64_t t = family_vote(s, ERRMEM, false);

	if (!t)
		t = family_vote(s, ERRMEM, true);
	if (t && code_at(s->c, t))
		find_answer(s->f, FUNC_LUAD_THROW, t, "memory error code");
}

static bool is_ordering(const struct insn *in)
{
	return in->op == INSN_JCC && in->cc != CC_E && in->cc != CC_NE && in->cc != CC_O &&
	       in->cc != CC_NO && in->cc != CC_P && in->cc != CC_NP;
}

/* Offsets in global_State that the family adds to or subtracts from: GCdebt or totalbytes. */
static void debt_offsets(struct puc *s, struct hashmap *offsets)
{
	for (int stores = 0; stores < 2 && !offsets->n; stores++) {
		vec_each(call, &s->calls.v) {
			if (!is_realloc_call(call) && !is_malloc_call(call))
				continue;
			for (size_t k = 0; k < call->fn->n; k++) {
				const struct insn *in = &call->fn->insn[k];
				bool hit = stores ? in->op == INSN_MOV && in->o[0].value > 0x10
						  : in->op == INSN_ADD || in->op == INSN_SUB;

				if (hit && in->o[0].type == OPND_MEM && in->o[0].size == 8 &&
				    in->o[0].reg < 16 && in->o[0].reg != REG_SP)
					hashmap_get_or_add(offsets, (uint64_t)in->o[0].value);
			}
		}
	}
}

static bool reads_debt(const struct insn *in, size_t operand, const struct hashmap *offsets)
{
	return in->n_ops > operand && in->o[operand].type == OPND_MEM && in->o[operand].value > 0 &&
	       hashmap_lookup(offsets, (uint64_t)in->o[operand].value);
}

/* cmp with the debt, or a load of it that is tested at once. */
static bool tests_debt(const struct code_function *fn, size_t at, const struct hashmap *offsets)
{
	const struct insn *in = &fn->insn[at];

	if (in->op == INSN_CMP)
		return reads_debt(in, 0, offsets) || reads_debt(in, 1, offsets);
	if (in->op != INSN_MOV || in->o[0].type != OPND_REG || !reads_debt(in, 1, offsets))
		return false;
	for (size_t k = at + 1; k < fn->n && k <= at + 3; k++)
		if ((fn->insn[k].op == INSN_TEST || fn->insn[k].op == INSN_CMP) &&
		    opnd_is_reg(&fn->insn[k].o[0], in->o[0].reg))
			return true;
	return false;
}

/* The first call within five instructions from `at`, unless its esi is a constant. */
static void vote_first_call(const struct code_function *fn, size_t at, struct hashmap *votes)
{
	for (size_t k = at; k < fn->n && k < at + 5; k++) {
		const struct insn *in = &fn->insn[k];
		int64_t esi;
		uint64_t *n;

		if (in->op == INSN_CALL) {
			if (!in->target || code_const_arg(fn, k, REG_SI, 4, &esi))
				return;
			n = hashmap_get_or_add(votes, in->target);
			if (n)
				++*n;
			return;
		}
		if (in->op == INSN_RET || in->op == INSN_JMP || in->op == INSN_JCC)
			return;
	}
}

static void vote_debt(const struct code_function *fn, const struct hashmap *offsets,
		      struct hashmap *votes)
{
	for (size_t i = 0; i < fn->n; i++) {
		if (!tests_debt(fn, i, offsets))
			continue;
		for (size_t k = i + 1; k < fn->n && k <= i + 4; k++) {
			if (!is_ordering(&fn->insn[k]))
				continue;
			vote_first_call(fn, k + 1, votes);
			for (size_t t = 0; t < fn->n; t++)
				if (fn->insn[t].addr == fn->insn[k].target)
					vote_first_call(fn, t, votes);
			break;
		}
	}
}

/* P3: luaC_step is what everybody calls when the debt is positive. */
static void gc_step(struct puc *s)
{
	struct hashmap offsets = { 0 }, votes = { 0 };
	uint64_t best;

	debt_offsets(s, &offsets);
	for (size_t i = 0; offsets.n && i < code_count(s->c); i++)
		vote_debt(code_get(s->c, i), &offsets, &votes);
	best = winner(&votes);
	if (best && code_at(s->c, best))
		find_answer(s->f, FUNC_LUAC_STEP, best, "called when the debt is positive");
	hashmap_deinit(&offsets);
	hashmap_deinit(&votes);
}

/* True when `to` is among the direct callees of `from`, down to the given depth. */
static bool reaches(const struct code *c, const struct code_function *from, uint64_t to, int depth)
{
	for (size_t i = 0; i < from->n; i++) {
		const struct code_function *fn;

		if (from->insn[i].op != INSN_CALL && from->insn[i].op != INSN_JMP)
			continue;
		if (from->insn[i].target == to)
			return true;
		fn = depth > 1 && from->insn[i].target ? code_at(c, from->insn[i].target) : NULL;
		if (fn && reaches(c, fn, to, depth - 1))
			return true;
	}
	return false;
}

/* P4 for 5.1, which has no emergency collection: the other caller of luaC_step's first callee. */
static uint64_t fullgc_51(struct puc *s, uint64_t step)
{
	const struct code_function *fn = step ? code_at(s->c, step) : NULL;
	const struct code_edge *e;
	uint64_t callee = 0, other = 0;
	size_t n;

	for (size_t i = 0; fn && i < fn->n && !callee; i++)
		if (fn->insn[i].op == INSN_CALL && fn->insn[i].target)
			callee = fn->insn[i].target;
	e = code_callers(s->c, callee, &n);
	for (size_t i = 0; i < n; i++) {
		uint64_t caller = code_get(s->c, e[i].function)->start;

		if (caller == step || caller == other)
			continue;
		if (other)
			return 0;
		other = caller;
	}
	return other;
}

/* luaC_step without a callee in common with luaC_fullgc (singlestep) is something else. */
static void verify_step(struct puc *s)
{
	struct func_answer *step = &s->f->fn[FUNC_LUAC_STEP], *full = &s->f->fn[FUNC_LUAC_FULLGC];
	const struct code_function *sf = step->vaddr ? code_at(s->c, step->vaddr) : NULL;
	const struct code_function *ff = full->vaddr ? code_at(s->c, full->vaddr) : NULL;

	if (!sf || !ff || s->f->version == 501)
		return;
	for (size_t i = 0; i < ff->n; i++)
		if (ff->insn[i].op == INSN_CALL && ff->insn[i].target &&
		    reaches(s->c, sf, ff->insn[i].target, 2))
			return;
	*step = (struct func_answer){ .why_not = "inlined into its callers" };
}

static bool has_switch(const struct code_function *fn)
{
	for (size_t i = 0; fn && i < fn->n; i++)
		if (fn->insn[i].op == INSN_JMP && !fn->insn[i].target)
			return true;
	return false;
}

/* P4: luaC_fullgc(L, 1), the emergency collection when the allocator refuses. */
static void full_gc(struct puc *s)
{
	uint64_t t;

	if (s->f->version == 501) {
		t = fullgc_51(s, s->f->fn[FUNC_LUAC_STEP].vaddr);
	} else {
		t = family_vote(s, 1, false);
		if (!t)
			t = family_vote(s, 1, true);
	}
	if (t && s->f->version == 501 && has_switch(code_at(s->c, t)))
		s->f->fn[FUNC_LUAC_FULLGC].why_not = "inlined into lua_gc";
	else if (t && code_at(s->c, t))
		find_answer(s->f, FUNC_LUAC_FULLGC, t, "emergency collection");
	verify_step(s);
}

/*
 * Shaped like l_alloc where libc is in the same file: small, tests nsize, leaves for two functions.
 */
static bool looks_like_l_alloc(const struct code_function *fn)
{
	struct find_branch free_b, realloc_b;

	return fn && size_of(fn) <= SMALL && find_alloc_branch(fn, false, true, &free_b) &&
	       find_alloc_branch(fn, true, true, &realloc_b) && free_b.target != realloc_b.target;
}

/* In a static program: the function that calls of lua_newstate pass. */
static void l_alloc_static(struct puc *s)
{
	uint64_t newstate = s->f->fn[FUNC_LUA_NEWSTATE].vaddr;
	const struct code_function *found = NULL;
	size_t n;
	const struct code_edge *e = code_callers(s->c, newstate, &n);

	for (size_t i = 0; newstate && i < n; i++) {
		const struct code_function *by = code_get(s->c, e[i].function);

		for (size_t k = e[i].insn; k > 0 && e[i].insn - k < WINDOW; k--) {
			const struct insn *in = &by->insn[k - 1];
			const struct code_function *fn = code_at(s->c, find_address(in));

			if (!(in->writes >> REG_DI & 1))
				continue;
			if (looks_like_l_alloc(fn) && fn != found) {
				if (found)
					return;
				found = fn;
			}
			break;
		}
	}
	if (found)
		find_answer(s->f, FUNC_L_ALLOC, found->start, "passed to lua_newstate");
}

static bool calls_import(const struct puc *s, const struct code_function *fn, const char *name)
{
	for (size_t i = 0; i < fn->n; i++) {
		const char *import = fn->insn[i].target && insn_is_branch(&fn->insn[i])
			? elf_import_at(code_elf(s->c), fn->insn[i].target) : NULL;

		if (import && !strcmp(import, name))
			return true;
	}
	return false;
}

/* P6: l_alloc frees or reallocs by nsize, through libc. */
static void l_alloc(struct puc *s)
{
	const struct code_function *found = NULL;
	size_t n = 0;

	for (size_t i = 0; i < code_count(s->c); i++) {
		const struct code_function *fn = code_get(s->c, i);
		bool tests = false;

		for (size_t k = 0; k < fn->n && size_of(fn) <= SMALL; k++)
			tests |= fn->insn[k].op == INSN_TEST && opnd_is_reg(&fn->insn[k].o[0], REG_CX);
		if (!tests || !calls_import(s, fn, "realloc") || !calls_import(s, fn, "free"))
			continue;
		found = fn;
		n++;
	}
	if (n == 1)
		find_answer(s->f, FUNC_L_ALLOC, found->start, "shape");
	else if (n == 0)
		l_alloc_static(s);
}

void find_puc(struct finder *f)
{
	struct puc s = { .f = f, .c = f->code };

	if (alloc_calls_find(f->code, f->version == 501 ? FREALLOC_51 : 0, &s.calls))
		return;
	family(&s);
	find_birth_and_death(f, &s.calls, false);
	throw_target(&s);
	gc_step(&s);
	full_gc(&s);
	l_alloc(&s);
	alloc_calls_deinit(&s.calls);
	find_getallocf(f);
	find_puc_vectors(f);
	find_puc_collector(f);
	find_puc_dummynode(f);
}
