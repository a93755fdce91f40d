/* SPDX-License-Identifier: MIT */
#include "place.h"

#include <string.h>

#include "block.h"

#define MAX_INSNS 24
#define INSN_BYTES 16

/* The registers of the System V calling convention, in order. */
static const uint8_t arg_reg[PLACE_ARGS] = { REG_DI, REG_SI, REG_DX, REG_CX };

/* Which registers hold each argument, and how far the stack has moved. */
struct track {
	uint16_t held[PLACE_ARGS];
	int pushed;
};

static bool is_branch_target(const struct code_function *fn, uint64_t addr)
{
	for (size_t i = 0; i < fn->n; i++)
		if (fn->insn[i].op != INSN_CALL && fn->insn[i].target == addr)
			return true;
	return false;
}

/* A copy of a whole register keeps its argument reachable in one more place. */
static void follow(struct track *t, const struct insn *in)
{
	bool copy = in->op == INSN_MOV && in->o[0].type == OPND_REG && in->o[1].type == OPND_REG &&
		    in->o[0].size == 8 && in->o[0].reg < 16 && in->o[1].reg < 16;

	for (int a = 0; a < PLACE_ARGS; a++) {
		bool had = copy && (t->held[a] >> in->o[1].reg & 1);

		t->held[a] &= (uint16_t)~in->writes;
		if (had)
			t->held[a] |= (uint16_t)(1u << in->o[0].reg);
	}
	if (in->op == INSN_PUSH)
		t->pushed += 8;
	else if (in->op == INSN_SUB && opnd_is_reg(&in->o[0], REG_SP) && in->o[1].type == OPND_IMM)
		t->pushed += (int)in->o[1].value;
	else if (in->writes >> REG_SP & 1)
		t->pushed = -1; /* no longer known; never equals 0 again */
}

static uint8_t where(uint16_t held, unsigned int arg)
{
	if (held >> arg_reg[arg] & 1)
		return arg_reg[arg];
	for (uint8_t r = 0; r < 16; r++)
		if (held >> r & 1)
			return r;
	return LMT_REG_LOST;
}

static bool usable(const struct track *t, const struct place_want *want)
{
	if (want->wants_return && t->pushed)
		return false;
	for (unsigned int a = 0; a < want->args; a++)
		if ((want->needed >> a & 1) && !t->held[a])
			return false;
	return true;
}

static void describe(const struct insn *in, struct elf_file *elf, struct placement *ret)
{
	const uint8_t *p = elf_data(elf, in->addr, in->len);

	if (p)
		insn_format(p, in->len, in->addr, ret->insn, sizeof(ret->insn));
}

static void take_site(const struct code_function *fn, const struct insn *in, struct elf_file *elf,
		      const struct track *t, const struct place_want *want, struct placement *ret)
{
	ret->vaddr = in->addr;
	ret->offset = (unsigned int)(in->addr - fn->start);
	ret->pushed = t->pushed;
	for (unsigned int a = 0; a < PLACE_ARGS; a++)
		ret->reg[a] = a < want->args ? where(t->held[a], a) : LMT_REG_LOST;
	describe(in, elf, ret);
}

bool place_probe(const struct code_function *fn, struct elf_file *elf,
		 const struct place_want *want, struct placement *ret)
{
	struct track t, at_entry;

	memset(ret, 0, sizeof(*ret));
	if (!fn->n) {
		ret->why = "its code could not be decoded";
		return false;
	}
	for (int a = 0; a < PLACE_ARGS; a++)
		t.held[a] = (uint16_t)(1u << arg_reg[a]);
	t.pushed = 0;
	at_entry = t;
	ret->why = "no instruction near its entry is emulated by the kernel";
	for (size_t i = 0; i < fn->n && i < MAX_INSNS; i++) {
		const struct insn *in = &fn->insn[i];

		if ((want->emulates >> in->emu & 1) && in->emu != EMU_NONE &&
		    (i == 0 || !is_branch_target(fn, in->addr))) {
			if (!usable(&t, want)) {
				ret->why = "its arguments are gone before a cheap instruction";
				break;
			}
			ret->emulated = true;
			ret->why = NULL;
			take_site(fn, in, elf, &t, want, ret);
			return true;
		}
		if (in->op == INSN_RET || in->op == INSN_CALL || in->op == INSN_JMP)
			break;
		follow(&t, in);
	}
	/* The entry always works; where it begins with endbr64 the jump lands on it all the same. */
	take_site(fn, &fn->insn[0], elf, &at_entry, want, ret);
	return true;
}
