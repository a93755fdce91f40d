/* SPDX-License-Identifier: MIT */
/* insn by Capstone, of which distributions have a static library; see insn.h. */
#include "insn.h"

#include <stdio.h>
#include <string.h>

#include <capstone/capstone.h>

#include "insn_bytes.h"

static csh handle(void)
{
	static csh h;

	if (!h && cs_open(CS_ARCH_X86, CS_MODE_64, &h) == CS_ERR_OK)
		cs_option(h, CS_OPT_DETAIL, CS_OPT_ON);
	return h;
}

/* One for all: a trace decodes in one thread, and cs_malloc() per call would be most of the cost. */
static cs_insn *room(void)
{
	static cs_insn *in;

	if (!in && handle())
		in = cs_malloc(handle());
	return in;
}

static enum insn_op branch_of(const cs_insn *in)
{
	if (in->id == X86_INS_JMP || in->id == X86_INS_LJMP)
		return INSN_JMP;
	for (int i = 0; i < in->detail->groups_count; i++)
		switch (in->detail->groups[i]) {
		case X86_GRP_CALL:
			return INSN_CALL;
		case X86_GRP_RET:
		case X86_GRP_IRET:
			return INSN_RET;
		case X86_GRP_JUMP:
			return INSN_JCC;
		default:
			break;
		}
	return INSN_OTHER;
}

static enum insn_op op_of(const cs_insn *in)
{
	switch (in->id) {
	case X86_INS_MOV:
	case X86_INS_MOVABS:
		return INSN_MOV;
	case X86_INS_MOVSXD:
		return INSN_MOVSXD;
	case X86_INS_LEA:
		return INSN_LEA;
	case X86_INS_TEST:
		return INSN_TEST;
	case X86_INS_CMP:
		return INSN_CMP;
	case X86_INS_XOR:
		return INSN_XOR;
	case X86_INS_AND:
		return INSN_AND;
	case X86_INS_ADD:
		return INSN_ADD;
	case X86_INS_SUB:
		return INSN_SUB;
	case X86_INS_MUL:
	case X86_INS_IMUL:
		return INSN_MUL;
	case X86_INS_PUSH:
		return INSN_PUSH;
	case X86_INS_POP:
		return INSN_POP;
	case X86_INS_NOP:
	case X86_INS_ENDBR64:
		return INSN_NOP;
	case X86_INS_UD2:
	case X86_INS_HLT:
	case X86_INS_INT3:
		return INSN_RET;
	default:
		return branch_of(in);
	}
}

/* Every name of each register; whole words of 64 bit first. */
static const x86_reg names[][5] = {
	{ X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH },
	{ X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH },
	{ X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH },
	{ X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH },
	{ X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL },
	{ X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL },
	{ X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL },
	{ X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL },
	{ X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B },
	{ X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B },
	{ X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B },
	{ X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B },
	{ X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B },
	{ X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B },
	{ X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B },
	{ X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B },
	{ X86_REG_RIP },
};

static uint8_t reg_of(unsigned int r)
{
	static uint8_t number[X86_REG_ENDING];
	static bool ready;

	if (!ready) {
		memset(number, REG_NONE, sizeof(number));
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			for (int k = 0; k < 5 && names[i][k]; k++)
				number[names[i][k]] = (uint8_t)i;
		ready = true;
	}
	return r < X86_REG_ENDING ? number[r] : REG_NONE;
}

static void set_operand(struct insn *ret, const cs_x86_op *o)
{
	struct insn_operand *to = &ret->o[ret->n_ops++];

	*to = (struct insn_operand){ .size = o->size, .reg = REG_NONE, .index = REG_NONE };
	switch (o->type) {
	case X86_OP_REG:
		to->type = OPND_REG;
		to->reg = reg_of(o->reg);
		break;
	case X86_OP_MEM:
		to->type = OPND_MEM;
		to->reg = reg_of(o->mem.base);
		to->index = reg_of(o->mem.index);
		to->scale = to->index == REG_NONE ? 0 : (uint8_t)o->mem.scale;
		to->value = o->mem.disp;
		if (ret->op == INSN_LEA)
			to->size = 8; /* of the address, not of what it points to */
		if (to->reg == REG_IP)
			ret->ref = ret->addr + ret->len + (uint64_t)to->value;
		break;
	case X86_OP_IMM:
		to->type = OPND_IMM;
		to->size = 0;
		to->value = o->size == 4 ? (int32_t)o->imm : o->size == 2 ? (int16_t)o->imm
			  : o->size == 1 ? (int8_t)o->imm : o->imm;
		if (insn_is_branch(ret)) { /* Capstone gives the destination */
			ret->target = (uint64_t)o->imm;
			to->value = (int64_t)(ret->target - ret->addr - ret->len);
		}
		break;
	case X86_OP_INVALID:
		ret->n_ops--;
	}
}

static void set_writes(struct insn *ret, const cs_insn *in)
{
	cs_regs read, written;
	uint8_t n_read, n = 0, reg;

	if (ret->op == INSN_TEST || ret->op == INSN_CMP) /* Capstone 4 says that some write */
		return;
	if (cs_regs_access(handle(), in, read, &n_read, written, &n))
		return;
	for (int i = 0; i < n; i++) {
		reg = reg_of(written[i]);
		if (reg < 16)
			ret->writes |= (uint16_t)(1u << reg);
	}
	if (in->id == X86_INS_CQO || in->id == X86_INS_CDQ)
		ret->writes &= (uint16_t)~(1u << REG_AX);
	if (in->id == X86_INS_SYSCALL) /* not said to */
		ret->writes |= 1u << REG_CX | 1u << (REG_8 + 3);
	if (in->id == X86_INS_CMPXCHG)
		ret->writes |= 1u << REG_AX;
}

bool insn_decode(const uint8_t *bytes, size_t len, uint64_t addr, struct insn *ret)
{
	const uint8_t *p = bytes;
	cs_insn *in = room();

	if (!in || !cs_disasm_iter(handle(), &p, &len, &(uint64_t){ addr }, in))
		return false;
	*ret = (struct insn){
		.addr = addr,
		.len = (uint8_t)in->size,
		.op = op_of(in),
		.emu = insn_emulation_of(bytes, in->size),
	};
	if (ret->op == INSN_JCC)
		ret->cc = insn_condition_of(bytes, in->size);
	for (int i = 0; ret->op != INSN_NOP && i < in->detail->x86.op_count && i < INSN_OPERANDS; i++)
		set_operand(ret, &in->detail->x86.operands[i]);
	set_writes(ret, in);
	return true;
}

void insn_format(const uint8_t *bytes, size_t len, uint64_t addr, char *buf, size_t size)
{
	cs_insn *in = room();

	if (!in || !cs_disasm_iter(handle(), &bytes, &len, &addr, in))
		snprintf(buf, size, "?");
	else
		snprintf(buf, size, "%s%s%s", in->mnemonic, *in->op_str ? " " : "", in->op_str);
}
