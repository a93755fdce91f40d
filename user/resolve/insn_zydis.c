/* SPDX-License-Identifier: MIT */
#include "insn.h"

#include <stdio.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "insn_bytes.h"

static const ZydisDecoder *decoder(void)
{
	static ZydisDecoder d;
	static bool ready;

	if (!ready) {
		ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		ready = true;
	}
	return &d;
}

static enum insn_op op_of(const ZydisDecodedInstruction *i)
{
	switch ((int)i->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return INSN_MOV;
	case ZYDIS_MNEMONIC_MOVSXD:
		return INSN_MOVSXD;
	case ZYDIS_MNEMONIC_LEA:
		return INSN_LEA;
	case ZYDIS_MNEMONIC_TEST:
		return INSN_TEST;
	case ZYDIS_MNEMONIC_CMP:
		return INSN_CMP;
	case ZYDIS_MNEMONIC_XOR:
		return INSN_XOR;
	case ZYDIS_MNEMONIC_AND:
		return INSN_AND;
	case ZYDIS_MNEMONIC_ADD:
		return INSN_ADD;
	case ZYDIS_MNEMONIC_SUB:
		return INSN_SUB;
	case ZYDIS_MNEMONIC_MUL:
	case ZYDIS_MNEMONIC_IMUL:
		return INSN_MUL;
	case ZYDIS_MNEMONIC_PUSH:
		return INSN_PUSH;
	case ZYDIS_MNEMONIC_POP:
		return INSN_POP;
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
		return INSN_NOP;
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_INT3:
		return INSN_RET;
	default:
		break;
	}
	switch ((int)i->meta.category) {
	case ZYDIS_CATEGORY_CALL:
		return INSN_CALL;
	case ZYDIS_CATEGORY_RET:
		return INSN_RET;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return INSN_JMP;
	case ZYDIS_CATEGORY_COND_BR:
		return INSN_JCC;
	default:
		return INSN_OTHER;
	}
}

static uint8_t reg_of(ZydisRegister r)
{
	ZydisRegister wide;

	if (r == ZYDIS_REGISTER_NONE)
		return REG_NONE;
	if (r == ZYDIS_REGISTER_RIP)
		return REG_IP;
	wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
	if (wide < ZYDIS_REGISTER_RAX || wide > ZYDIS_REGISTER_R15)
		return REG_NONE;
	return (uint8_t)(wide - ZYDIS_REGISTER_RAX);
}

static void set_operand(struct insn *ret, const ZydisDecodedInstruction *in,
			const ZydisDecodedOperand *o)
{
	struct insn_operand *to = &ret->o[ret->n_ops];

	*to = (struct insn_operand){ .size = (uint8_t)(o->size / 8), .reg = REG_NONE,
				     .index = REG_NONE };
	switch (o->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		to->type = OPND_REG;
		to->reg = reg_of(o->reg.value);
		break;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		to->type = OPND_MEM;
		to->reg = reg_of(o->mem.base);
		to->index = reg_of(o->mem.index);
		to->scale = o->mem.scale;
		to->value = o->mem.disp.has_displacement ? o->mem.disp.value : 0;
		if (to->reg == REG_IP)
			ret->ref = ret->addr + in->length + (uint64_t)to->value;
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		to->type = OPND_IMM;
		to->size = 0;
		to->value = o->imm.value.s;
		if (o->imm.is_relative)
			ret->target = ret->addr + in->length + (uint64_t)to->value;
		break;
	case ZYDIS_OPERAND_TYPE_UNUSED:
	case ZYDIS_OPERAND_TYPE_POINTER:
		return;
	}
	ret->n_ops++;
}

bool insn_decode(const uint8_t *bytes, size_t len, uint64_t addr, struct insn *ret)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder(), bytes, len, &in, ops)))
		return false;
	*ret = (struct insn){
		.addr = addr,
		.len = in.length,
		.op = op_of(&in),
		.emu = insn_emulation_of(bytes, in.length),
	};
	if (ret->op == INSN_JCC)
		ret->cc = insn_condition_of(bytes, in.length);
	for (int i = 0; i < in.operand_count; i++) {
		const ZydisDecodedOperand *o = &ops[i];
		uint8_t reg;

		if (ret->op != INSN_NOP && i < in.operand_count_visible &&
		    ret->n_ops < INSN_OPERANDS)
			set_operand(ret, &in, o);
		if (o->type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    !(o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		reg = reg_of(o->reg.value);
		if (reg < 16)
			ret->writes |= (uint16_t)(1u << reg);
	}
	return true;
}

void insn_format(const uint8_t *bytes, size_t len, uint64_t addr, char *buf, size_t size)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	ZydisFormatter fmt;

	ZydisFormatterInit(&fmt, ZYDIS_FORMATTER_STYLE_INTEL);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder(), bytes, len, &in, ops)) ||
	    !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&fmt, &in, ops, in.operand_count_visible,
							  buf, size, addr, NULL)))
		snprintf(buf, size, "?");
}
