/* SPDX-License-Identifier: MIT */
#include "alloc_calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 16 /* instructions looked back for a constant argument… */
#define LOAD_REACH 14 /* …for the load of the callback's address… */
#define UD_REACH 18   /* …and for that of its first argument */
#define STACK_PLACES 16
#define CALLER_SAVED (1u << REG_AX | 1u << REG_CX | 1u << REG_DX | 1u << REG_SI | 1u << REG_DI | \
		      0xfu << 8)

/* Base and displacement of the pointer an indirect call goes through. */
static bool call_through(const struct code_function *fn, size_t at, unsigned int *base, int64_t *disp)
{
	const struct insn *in = &fn->insn[at];
	const struct insn_operand *o = &in->o[0];

	if (o->type == OPND_MEM) {
		*base = o->reg;
		*disp = o->value;
		return o->reg < 16 && o->index == REG_NONE;
	}
	if (o->type != OPND_REG)
		return false;
	for (size_t back = 1; back <= LOAD_REACH && back <= at; back++) {
		const struct insn *ld = &fn->insn[at - back];

		if (ld->op == INSN_CALL)
			return false;
		if (ld->op != INSN_MOV || !opnd_is_reg(&ld->o[0], o->reg) ||
		    ld->o[1].type != OPND_MEM || ld->o[1].index != REG_NONE)
			continue;
		*base = ld->o[1].reg;
		*disp = ld->o[1].value;
		return ld->o[1].reg < 16;
	}
	return false;
}

static bool loads_ud(const struct code_function *fn, size_t at, unsigned int base, int64_t disp)
{
	for (size_t back = 1; back <= UD_REACH && back <= at; back++) {
		const struct insn *in = &fn->insn[at - back];

		if (in->op == INSN_CALL)
			return false;
		if (in->op == INSN_MOV && opnd_is_reg(&in->o[0], REG_DI) &&
		    in->o[1].type == OPND_MEM && in->o[1].reg == base &&
		    in->o[1].index == REG_NONE && in->o[1].value == disp + 8)
			return true;
	}
	return false;
}

int alloc_calls_find(const struct code *c, int64_t disp, struct alloc_calls *ret)
{
	for (size_t i = 0; i < code_count(c); i++) {
		const struct code_function *fn = code_get(c, i);

		for (size_t k = 0; k < fn->n; k++) {
			struct alloc_call call = { .fn = fn, .at = k };
			int64_t found;

			if (!insn_is_indirect(&fn->insn[k]) ||
			    !call_through(fn, k, &call.base, &found) || found != disp ||
			    !loads_ud(fn, k, call.base, disp))
				continue;
			call.rsi_const = code_const_arg(fn, k, REG_SI, WINDOW, &call.rsi);
			call.rdx_const = code_const_arg(fn, k, REG_DX, WINDOW, &call.rdx);
			call.rcx_const = code_const_arg(fn, k, REG_CX, WINDOW, &call.rcx);
			if (vec_push(&ret->v, call))
				return -ENOMEM;
		}
	}
	return 0;
}

void alloc_calls_deinit(struct alloc_calls *calls)
{
	vec_deinit(&calls->v);
}

static uint8_t place_of_reg(unsigned int reg)
{
	switch (reg) {
	case REG_BX:
		return 0;
	case REG_BP:
		return 1;
	case REG_12:
	case REG_13:
	case REG_14:
	case REG_15:
		return (uint8_t)(reg - REG_12 + 2);
	default:
		return ALLOC_PLACE_NONE;
	}
}

/* Where the first argument is while a function runs. Offsets count from rsp at entry, downwards. */
struct arg0 {
	uint16_t regs;
	bool spilled;
	int64_t spill;  /* of the stack word it was stored to */
	int64_t pushed; /* rsp now */
};

/* `pop` and `add rsp` that lead straight to a return: they undo the frame for another path. */
static bool is_epilogue(const struct code_function *fn, size_t at)
{
	for (size_t i = at; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_RET || in->op == INSN_JMP)
			return true;
		if (in->op != INSN_POP &&
		    !(in->op == INSN_ADD && opnd_is_reg(&in->o[0], REG_SP)))
			return false;
	}
	return false;
}

static void follow_stack(struct arg0 *a, const struct insn *in)
{
	if (in->op == INSN_PUSH)
		a->pushed += 8;
	else if (in->op == INSN_POP)
		a->pushed -= 8;
	else if (in->op == INSN_SUB && opnd_is_reg(&in->o[0], REG_SP) && in->o[1].type == OPND_IMM)
		a->pushed += in->o[1].value;
	else if (in->op == INSN_ADD && opnd_is_reg(&in->o[0], REG_SP) && in->o[1].type == OPND_IMM)
		a->pushed -= in->o[1].value;
}

static void follow(struct arg0 *a, const struct insn *in)
{
	bool whole = in->op == INSN_MOV && in->n_ops > 1 && in->o[0].size == 8 &&
		     in->o[1].type == OPND_REG && in->o[1].reg < 16;
	bool from = whole && (a->regs >> in->o[1].reg & 1);

	if (from && in->o[0].type == OPND_MEM && in->o[0].reg == REG_SP &&
	    in->o[0].index == REG_NONE) {
		a->spilled = true;
		a->spill = in->o[0].value - a->pushed;
	}
	a->regs &= (uint16_t)~in->writes;
	if (in->op == INSN_CALL)
		a->regs &= (uint16_t)~CALLER_SAVED;
	if (from && in->o[0].type == OPND_REG && in->o[0].reg < 16)
		a->regs |= (uint16_t)(1u << in->o[0].reg);
	follow_stack(a, in);
}

/*
 * Linear from the entry to the call, which is not how control flows; what it gets wrong the BPF
 * side notices, since what it finds there must be a thread of g.
 */
static uint8_t place_of_arg0(const struct code_function *fn, size_t at)
{
	struct arg0 a = { .regs = 1u << REG_DI };
	int64_t word;

	for (size_t i = 0; i < at; i++)
		if (!is_epilogue(fn, i))
			follow(&a, &fn->insn[i]);
	for (unsigned int r = 0; r < 16; r++)
		if ((a.regs >> r & 1) && place_of_reg(r) != ALLOC_PLACE_NONE)
			return place_of_reg(r);
	word = a.spill + a.pushed;
	if (!a.spilled || word < 0 || word % 8 || word / 8 >= STACK_PLACES)
		return ALLOC_PLACE_NONE;
	return (uint8_t)(6 + word / 8);
}

struct alloc_site alloc_call_site(const struct alloc_call *call)
{
	const struct insn *in = &call->fn->insn[call->at];

	return (struct alloc_site){
		.vaddr = in->addr + in->len,
		.g_place = place_of_reg(call->base),
		.L_place = place_of_arg0(call->fn, call->at),
	};
}

/* The callee-saved register that the first argument of a call is taken from. */
static uint8_t place_of_arg(const struct code_function *fn, size_t call)
{
	for (size_t back = 1; back <= UD_REACH && back <= call; back++) {
		const struct insn *in = &fn->insn[call - back];

		if (in->op == INSN_CALL)
			return ALLOC_PLACE_NONE;
		if (!(in->writes >> REG_DI & 1))
			continue;
		return in->op == INSN_MOV && in->o[1].type == OPND_REG && in->o[1].reg < 16
			? place_of_reg(in->o[1].reg) : ALLOC_PLACE_NONE;
	}
	return ALLOC_PLACE_NONE;
}

/* f = lua_getallocf(L, &ud); f(ud, …): the computed calls behind it in the same function. */
static int add_borrowed(const struct code *c, uint64_t getallocf, struct alloc_sites *ret)
{
	size_t n;
	const struct code_edge *e = code_callers(c, getallocf, &n);

	for (size_t i = 0; i < n; i++) {
		const struct code_function *fn = code_get(c, e[i].function);
		struct alloc_site site = { .g_place = ALLOC_PLACE_NONE,
					   .L_place = place_of_arg(fn, e[i].insn) };

		for (size_t k = e[i].insn + 1; k < fn->n && site.L_place != ALLOC_PLACE_NONE; k++) {
			const struct insn *in = &fn->insn[k];

			if (in->op != INSN_CALL || in->target)
				continue;
			site.vaddr = in->addr + in->len;
			if (vec_push(&ret->v, site))
				return -ENOMEM;
		}
	}
	return 0;
}

int alloc_sites_find(const struct code *c, int64_t disp, uint64_t getallocf, struct alloc_sites *ret)
{
	struct alloc_calls calls = { 0 };
	int rc = alloc_calls_find(c, disp, &calls);

	vec_each(call, &calls.v)
		if (!rc && call->fn->insn[call->at].op == INSN_CALL)
			rc = vec_push(&ret->v, alloc_call_site(call));
	alloc_calls_deinit(&calls);
	if (!rc && getallocf)
		rc = add_borrowed(c, getallocf, ret);
	return rc;
}

/* Adds the function's callers to the next level, and the return addresses of their calls. */
static int add_callers(const struct code *c, size_t fn, bool *seen, struct vaddrs *ret, size_t max)
{
	size_t n;
	const struct code_edge *e = code_callers(c, code_get(c, fn)->start, &n);

	for (size_t i = 0; i < n && ret->v.n < max; i++) {
		const struct insn *in = &code_get(c, e[i].function)->insn[e[i].insn];

		seen[e[i].function] = true;
		if (in->op == INSN_CALL && vec_push(&ret->v, in->addr + in->len))
			return -ENOMEM;
	}
	return 0;
}

int alloc_callers_find(const struct code *c, int64_t disp, int levels, size_t max,
		       struct vaddrs *ret)
{
	size_t n = code_count(c);
	bool *level = calloc(n, 1), *next = calloc(n, 1), *done = calloc(n, 1);
	struct alloc_calls calls = { 0 };
	int rc = level && next && done ? alloc_calls_find(c, disp, &calls) : -ENOMEM;

	vec_each(call, &calls.v) {
		const struct insn *in = &call->fn->insn[call->at];

		level[code_index(c, call->fn)] = true;
		if (!rc && in->op == INSN_CALL)
			rc = vec_push(&ret->v, in->addr + in->len);
	}
	for (int l = 0; !rc && l < levels; l++) {
		memset(next, 0, n);
		for (size_t i = 0; !rc && i < n; i++) {
			if (level[i] && !done[i])
				rc = add_callers(c, i, next, ret, max);
			done[i] |= level[i];
		}
		memcpy(level, next, n);
	}
	alloc_calls_deinit(&calls);
	free(level);
	free(next);
	free(done);
	return rc;
}
