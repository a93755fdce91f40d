/* SPDX-License-Identifier: MIT */
#include "cfi.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>

#include "elf_handle.h"

enum { DW_RBX = 3, DW_RBP = 6, DW_RSP = 7, DW_R12 = 12 };

#define EXPR_DEPTH 16
#define EXPR_OPS 32

struct cfi {
	Dwarf_CFI *dw;
};

/* Where expressions of the tables are worked out. */
struct cfi_stack {
	uint64_t v[EXPR_DEPTH];
	unsigned int n;
	bool is_value; /* the result is the value itself, not where it lies */
};

struct cfi *cfi_new(struct elf_file *f)
{
	struct cfi *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->dw = dwarf_getcfi_elf(elf_handle(f));
	if (!c->dw) {
		free(c);
		return NULL;
	}
	return c;
}

void cfi_free(struct cfi *c)
{
	if (!c)
		return;
	dwarf_cfi_end(c->dw);
	free(c);
}

/* rsp + constant or rbp + constant. */
static bool frame_end(Dwarf_Frame *frame, struct cfi_row *ret)
{
	Dwarf_Op *ops;
	size_t n;

	if (dwarf_frame_cfa(frame, &ops, &n) || n != 1 || ops[0].atom != DW_OP_bregx ||
	    (ops[0].number != DW_RSP && ops[0].number != DW_RBP) || ops[0].number2 < 8 ||
	    ops[0].number2 > UINT16_MAX)
		return false;
	ret->by_rbp = ops[0].number == DW_RBP;
	ret->bytes = (uint16_t)ops[0].number2;
	return true;
}

/* Unchanged, or saved at a constant distance below the frame's end. */
static bool saved_register(Dwarf_Frame *frame, int dw_reg, uint8_t *word)
{
	Dwarf_Op mem[3], *ops;
	int64_t off;
	size_t n;

	*word = 0;
	if (dwarf_frame_register(frame, dw_reg, mem, &ops, &n))
		return false;
	if (n == 0)
		return true; /* same value; undefined does not occur for callee-saved registers */
	if (n != 2 || ops[0].atom != DW_OP_call_frame_cfa || ops[1].atom != DW_OP_plus_uconst)
		return false;
	off = -(int64_t)ops[1].number;
	if (off < 8 || off > 8 * 8 || off % 8)
		return false;
	*word = (uint8_t)(off / 8);
	return true;
}

bool cfi_row(struct cfi *c, uint64_t return_vaddr, struct cfi_row *ret)
{
	static const int regs[CFI_REGS] = { DW_RBX, DW_RBP, DW_R12, DW_R12 + 1, DW_R12 + 2,
					    DW_R12 + 3 };
	Dwarf_Frame *frame;
	bool ok;

	/* The rules of the call itself: the return address may begin another row. */
	if (dwarf_cfi_addrframe(c->dw, return_vaddr - 1, &frame))
		return false;
	*ret = (struct cfi_row){ 0 };
	ok = frame_end(frame, ret);
	for (int i = 0; ok && i < CFI_REGS; i++)
		ok = saved_register(frame, regs[i], &ret->word[i]);
	free(frame);
	return ok;
}

static bool pop2(struct cfi_stack *s, uint64_t *a, uint64_t *b)
{
	if (s->n < 2)
		return false;
	*b = s->v[--s->n];
	*a = s->v[--s->n];
	return true;
}

static bool push(struct cfi_stack *s, uint64_t v)
{
	if (s->n == EXPR_DEPTH)
		return false;
	s->v[s->n++] = v;
	return true;
}

static bool push_reg(const struct cfi_regs *r, uint64_t reg, uint64_t add, struct cfi_stack *s)
{
	return reg < CFI_DWARF_REGS && r->known >> reg & 1 && push(s, r->v[reg] + add);
}

static bool apply_binary(unsigned int atom, struct cfi_stack *s)
{
	uint64_t a, b;

	if (!pop2(s, &a, &b))
		return false;
	switch (atom) {
	case DW_OP_plus:
		return push(s, a + b);
	case DW_OP_minus:
		return push(s, a - b);
	case DW_OP_and:
		return push(s, a & b);
	case DW_OP_ge:
		return push(s, (int64_t)a >= (int64_t)b);
	case DW_OP_shl:
		return push(s, b < 64 ? a << b : 0);
	default:
		return false;
	}
}

/* One operation; what does not occur in the tables of compilers and linkers is refused. */
static bool apply(const Dwarf_Op *op, const struct cfi_undo *u, uint64_t cfa, struct cfi_stack *s)
{
	uint64_t v;

	if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31)
		return push_reg(u->regs, op->atom - DW_OP_breg0, op->number, s);
	if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31)
		return push(s, op->atom - DW_OP_lit0);
	switch (op->atom) {
	case DW_OP_bregx:
		return push_reg(u->regs, op->number, op->number2, s);
	case DW_OP_regx:
		s->is_value = true;
		return push_reg(u->regs, op->number, 0, s);
	case DW_OP_call_frame_cfa:
		return push(s, cfa);
	case DW_OP_plus_uconst:
		return s->n && (s->v[s->n - 1] += op->number, true);
	case DW_OP_const1u: case DW_OP_const2u: case DW_OP_const4u: case DW_OP_constu:
	case DW_OP_const1s: case DW_OP_const2s: case DW_OP_const4s: case DW_OP_consts:
		return push(s, op->number);
	case DW_OP_deref:
		return s->n && u->read(u->ctx, s->v[s->n - 1], &v) && (s->v[s->n - 1] = v, true);
	case DW_OP_stack_value:
		s->is_value = true;
		return true;
	default:
		return apply_binary(op->atom, s);
	}
}

static bool evaluate(const Dwarf_Op *ops, size_t n, const struct cfi_undo *u, uint64_t cfa,
		     struct cfi_stack *s)
{
	s->n = 0;
	s->is_value = false;
	if (n > EXPR_OPS)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!apply(&ops[i], u, cfa, s))
			return false;
	return s->n > 0;
}

/* The caller's value of a register; what cannot be told is marked as unknown. */
static void restore(Dwarf_Frame *frame, unsigned int reg, const struct cfi_undo *u, uint64_t cfa,
		    struct cfi_regs *out, bool *undefined)
{
	struct cfi_stack s;
	Dwarf_Op mem[3], *ops;
	size_t n;
	bool known;

	*undefined = false;
	known = !dwarf_frame_register(frame, (int)reg, mem, &ops, &n);
	if (known && !n && !ops) { /* unchanged */
		out->v[reg] = u->regs->v[reg];
		known = u->regs->known >> reg & 1;
	} else if (known && !n) {
		*undefined = true;
		known = false;
	} else if (known) {
		known = evaluate(ops, n, u, cfa, &s);
		out->v[reg] = known ? s.v[s.n - 1] : 0;
		if (known && !s.is_value)
			known = u->read(u->ctx, out->v[reg], &out->v[reg]);
	}
	out->known = (out->known & ~(1u << reg)) | (uint32_t)known << reg;
}

enum cfi_answer cfi_undo(struct cfi *c, uint64_t vaddr, const struct cfi_undo *u)
{
	struct cfi_regs out = { 0 };
	struct cfi_stack s;
	Dwarf_Frame *frame;
	Dwarf_Op *ops;
	bool undefined = false;
	size_t n;

	if (dwarf_cfi_addrframe(c->dw, vaddr, &frame))
		return CFI_NONE;
	if (dwarf_frame_cfa(frame, &ops, &n) || !evaluate(ops, n, u, 0, &s)) {
		free(frame);
		return CFI_NONE;
	}
	for (unsigned int reg = 0; reg < CFI_DWARF_REGS; reg++)
		restore(frame, reg, u, s.v[s.n - 1], &out, &undefined);
	free(frame);
	if (undefined) /* the last one: the return address */
		return CFI_OUTERMOST;
	if (!(out.known >> CFI_RIP & 1))
		return CFI_NONE;
	out.v[CFI_RSP] = s.v[s.n - 1];
	out.known |= 1u << CFI_RSP;
	*u->regs = out;
	return CFI_UNDONE;
}
