/* SPDX-License-Identifier: MIT */
/* How many arguments a function has, by what it reads of the registers that may carry them. */
#include "code.h"

#include <stdlib.h>

#define JUMPS 4 /* from function to function, followed */

static const uint8_t registers[] = { REG_DI, REG_SI, REG_DX, REG_CX };
#define ARGUMENTS 4
#define PASSED_ON 0x3 /* by a call whose target is not known: rarely more than two, and as they came */

static bool is_arg(unsigned int reg, unsigned int *i)
{
	for (*i = 0; *i < ARGUMENTS; ++*i)
		if (registers[*i] == reg)
			return true;
	return false;
}

static unsigned int bit_of(unsigned int reg)
{
	unsigned int i;

	return is_arg(reg, &i) ? 1u << i : 0;
}

static unsigned int written(const struct insn *in)
{
	unsigned int args = 0;

	for (unsigned int i = 0; i < ARGUMENTS; i++)
		if (in->writes >> registers[i] & 1)
			args |= 1u << i;
	return args;
}

/* Only ever the destination: what was in it does not matter. */
static bool is_destination(const struct insn *in, unsigned int o)
{
	if (o || in->o[0].type != OPND_REG)
		return false;
	if (in->op == INSN_XOR || in->op == INSN_SUB)
		return opnd_is_reg(&in->o[1], in->o[0].reg);
	return in->op == INSN_MOV || in->op == INSN_MOVSXD || in->op == INSN_LEA || in->op == INSN_POP ||
	       (in->op == INSN_OTHER && written(in) & bit_of(in->o[0].reg));
}

static unsigned int read_by(const struct insn *in)
{
	unsigned int args = 0;

	if (in->op == INSN_PUSH || in->op == INSN_NOP)
		return 0; /* saved only */
	if (in->op == INSN_OTHER && !in->n_ops)
		return written(in) & PASSED_ON; /* string instructions */
	for (unsigned int o = 0; o < in->n_ops && o < INSN_OPERANDS; o++) {
		if (in->o[o].type == OPND_MEM)
			args |= bit_of(in->o[o].reg) | bit_of(in->o[o].index);
		else if (in->o[o].type == OPND_REG && !is_destination(in, o) &&
			 !(in->op == INSN_XOR && is_destination(in, 0)))
			args |= bit_of(in->o[o].reg);
	}
	return args;
}

/* Straight on to the end of the path; *next: where it goes on in another function, or 0. */
static unsigned int read_in(const struct insn *insn, const struct code_function *fn, unsigned int *lost,
			    uint64_t *next)
{
	unsigned int args = 0;

	*next = 0;
	for (size_t i = 0; i < fn->n && *lost != 0xf; i++) {
		const struct insn *in = &insn[i];

		args |= read_by(in) & ~*lost;
		if (in->op == INSN_RET)
			break;
		if (in->op == INSN_CALL || in->op == INSN_JMP) {
			if (in->op == INSN_JMP)
				*next = in->target;
			args |= *next ? 0 : PASSED_ON & ~*lost;
			break;
		}
		*lost |= written(in);
	}
	return args;
}

unsigned int code_args_read(struct elf_file *f, uint64_t vaddr)
{
	unsigned int args = 0, lost = 0;

	for (int i = 0; vaddr && i < JUMPS; i++) {
		struct code_function fn;
		struct insn *insn = code_decode_one(f, vaddr, &fn);

		if (!insn)
			return args | (PASSED_ON & ~lost);
		args |= read_in(insn, &fn, &lost, &vaddr);
		free(insn);
	}
	return args;
}
