/* SPDX-License-Identifier: MIT */
#include "cfi.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>

#include "elf_handle.h"

enum { DW_RBX = 3, DW_RBP = 6, DW_RSP = 7, DW_R12 = 12 };

struct cfi {
	Dwarf_CFI *dw;
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
