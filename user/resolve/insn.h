/* SPDX-License-Identifier: MIT */
/*
 * insn: one x86-64 instruction, as function search and probe placement need it.
 * L2 resolve. Pure. insn_zydis.c decodes by Zydis; insn_capstone.c, for the static binary, by
 * Capstone: of Zydis the distributions have no static library. tests/unit/t_insn.c holds them
 * against each other.
 */
#ifndef LMT_RESOLVE_INSN_H
#define LMT_RESOLVE_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum insn_op {
	INSN_OTHER,
	INSN_MOV,    /* also movabs */
	INSN_MOVSXD,
	INSN_LEA,
	INSN_TEST,
	INSN_CMP,
	INSN_XOR,
	INSN_AND,
	INSN_ADD,
	INSN_SUB,
	INSN_MUL,    /* mul and imul */
	INSN_PUSH,
	INSN_POP,
	INSN_NOP,    /* of any length, endbr64 included */
	INSN_JMP,
	INSN_JCC,
	INSN_CALL,
	INSN_RET,    /* also ud2, hlt, int3: control does not go on */
};

/* Registers by their number in the encoding: rax rcx rdx rbx rsp rbp rsi rdi r8 … r15. */
enum { REG_AX, REG_CX, REG_DX, REG_BX, REG_SP, REG_BP, REG_SI, REG_DI, REG_8, REG_12 = 12,
       REG_13, REG_14, REG_15, REG_IP = 16, REG_NONE = 0xff };

enum insn_operand_type { OPND_NONE, OPND_REG, OPND_MEM, OPND_IMM };

struct insn_operand {
	uint8_t type;
	uint8_t size;  /* bytes; 0 for OPND_IMM */
	uint8_t reg;   /* OPND_REG: number; OPND_MEM: base, REG_IP or REG_NONE */
	uint8_t index; /* OPND_MEM: REG_NONE when there is none */
	uint8_t scale;
	int64_t value; /* displacement or immediate */
};

/* How the kernel may run the instruction under a uprobe; see facts of attach/feature.h. */
enum insn_emulation { EMU_NONE, EMU_PUSH, EMU_JMP, EMU_JCC, EMU_CALL, EMU_NOP1, EMU_NOPL };

#define INSN_OPERANDS 3

struct insn {
	uint64_t addr;
	uint8_t len;
	uint8_t op;      /* enum insn_op */
	uint8_t cc;      /* INSN_JCC: condition, low nibble of the opcode */
	uint8_t n_ops;   /* visible operands kept in o[]; none of INSN_NOP */
	uint8_t emu;     /* enum insn_emulation */
	uint16_t writes; /* registers changed, explicitly or not, by bit */
	uint64_t target; /* of a direct call or jump; 0 otherwise */
	uint64_t ref;    /* address of a rip-relative operand; 0 otherwise */
	struct insn_operand o[INSN_OPERANDS];
};

/* Conditions as in the opcode: 70 + cc. */
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A, CC_S, CC_NS, CC_P, CC_NP, CC_L, CC_GE,
       CC_LE, CC_G };

/* Decodes the instruction at bytes (len of them readable). False when it is none. */
bool insn_decode(const uint8_t *bytes, size_t len, uint64_t addr, struct insn *ret);

/* "push r14", for people. */
void insn_format(const uint8_t *bytes, size_t len, uint64_t addr, char *buf, size_t size);

static inline bool insn_is_branch(const struct insn *i)
{
	return i->op == INSN_JMP || i->op == INSN_JCC || i->op == INSN_CALL;
}

/* A call or jump whose destination is computed. */
static inline bool insn_is_indirect(const struct insn *i)
{
	return (i->op == INSN_CALL || i->op == INSN_JMP) && !i->target;
}

static inline bool opnd_is_reg(const struct insn_operand *o, unsigned int reg)
{
	return o->type == OPND_REG && o->reg == reg;
}

static inline bool opnd_is_imm(const struct insn_operand *o, int64_t value)
{
	return o->type == OPND_IMM && o->value == value;
}

#endif
