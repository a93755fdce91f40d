/* SPDX-License-Identifier: MIT */
#include "find.h"

#include <string.h>

#define MAX_STEPS 60

const char *func_name(enum func_id id)
{
	static const char *const names[] = {
#define FUNC_NAME(fid, name, family) name,
		FUNCS(FUNC_NAME)
#undef FUNC_NAME
	};

	return names[id];
}

unsigned int func_family(enum func_id id)
{
	static const unsigned int families[] = {
#define FUNC_FAMILY(fid, name, family) family,
		FUNCS(FUNC_FAMILY)
#undef FUNC_FAMILY
	};

	return families[id];
}

void find_answer(struct finder *f, enum func_id id, uint64_t vaddr, const char *how)
{
	struct func_answer *a = &f->fn[id];

	if (!vaddr)
		return;
	if (!a->vaddr && !a->why_not) {
		a->vaddr = vaddr;
		a->how = how;
	} else if (a->vaddr == vaddr) {
		a->agrees = how;
	} else if (a->vaddr) {
		a->vaddr = 0;
		a->why_not = "two methods disagree";
	}
}

/* Index of the instruction at an address inside the function, or -1. */
static long index_of(const struct code_function *fn, uint64_t addr)
{
	for (size_t i = 0; i < fn->n; i++)
		if (fn->insn[i].addr == addr)
			return (long)i;
	return -1;
}

static bool outside(const struct code_function *fn, uint64_t addr)
{
	return addr < fn->start || addr >= fn->end;
}

/* Zero flag after `test r, r`, from what is assumed of nsize (rcx) and ptr (rsi); -1 unknown. */
static int zero_flag(const struct insn *in, bool nsize, bool ptr)
{
	if (in->o[0].type != OPND_REG || !opnd_is_reg(&in->o[1], in->o[0].reg))
		return -1;
	if (in->o[0].reg == REG_CX)
		return !nsize;
	return in->o[0].reg == REG_SI ? !ptr : -1;
}

bool find_alloc_branch(const struct code_function *fn, bool nsize, bool ptr,
		       struct find_branch *ret)
{
	int zf = -1;
	long i = 0;

	for (int step = 0; step < MAX_STEPS && i >= 0 && (size_t)i < fn->n; step++) {
		const struct insn *in = &fn->insn[i++];
		bool taken = in->op == INSN_JMP;

		if (in->op == INSN_TEST) {
			zf = zero_flag(in, nsize, ptr);
		} else if (in->op == INSN_JCC) {
			if (zf < 0 || (in->cc != CC_E && in->cc != CC_NE))
				return false;
			taken = (in->cc == CC_E) == (zf == 1);
		} else if (in->op == INSN_RET || insn_is_indirect(in)) {
			return false;
		}
		if (in->op == INSN_CALL || (taken && outside(fn, in->target))) {
			*ret = (struct find_branch){ in->addr, in->target };
			return true;
		}
		if (taken)
			i = index_of(fn, in->target);
	}
	return false;
}

bool find_refers(const struct insn *in, uint64_t vaddr)
{
	if (in->ref == vaddr)
		return true;
	for (size_t k = 0; k < in->n_ops; k++)
		if (opnd_is_imm(&in->o[k], (int64_t)vaddr))
			return true;
	return false;
}

uint64_t find_address(const struct insn *in)
{
	if (in->op == INSN_LEA && in->ref)
		return in->ref;
	if (in->op == INSN_MOV && in->n_ops > 1 && in->o[0].type == OPND_REG &&
	    in->o[1].type == OPND_IMM && in->o[1].value > 0x1000)
		return (uint64_t)in->o[1].value;
	return 0;
}

#define CALLER_SAVED (1u << REG_AX | 1u << REG_CX | 1u << REG_DX | 1u << REG_SI | 1u << REG_DI | \
		      0xfu << 8)

unsigned int find_origin(const struct code_function *fn, size_t at, unsigned int reg)
{
	uint8_t from[16];

	for (unsigned int r = 0; r < 16; r++)
		from[r] = (uint8_t)r;
	for (size_t i = 0; i < at && i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];
		uint32_t lost = in->writes | (in->op == INSN_CALL ? CALLER_SAVED : 0);
		uint8_t moved = REG_NONE;

		/* 32 bits too: LuaJIT with 32-bit references makes its arguments wide that way. */
		if (in->op == INSN_MOV && in->n_ops > 1 && in->o[0].type == OPND_REG &&
		    in->o[1].type == OPND_REG && in->o[0].size >= 4 && in->o[1].reg < 16)
			moved = from[in->o[1].reg];
		for (unsigned int r = 0; r < 16; r++)
			if (lost >> r & 1)
				from[r] = REG_NONE;
		if (moved != REG_NONE && in->o[0].reg < 16)
			from[in->o[0].reg] = moved;
	}
	return from[reg];
}

bool find_passes_arguments(const struct code_function *fn)
{
	size_t at = 0;

	while (at < fn->n && !insn_is_indirect(&fn->insn[at])) {
		if (fn->insn[at].op == INSN_CALL || fn->insn[at].op == INSN_JMP ||
		    fn->insn[at].op == INSN_RET)
			return false;
		at++;
	}
	return at < fn->n && find_origin(fn, at, REG_SI) == REG_SI &&
	       find_origin(fn, at, REG_DX) == REG_DX && find_origin(fn, at, REG_CX) == REG_CX;
}
