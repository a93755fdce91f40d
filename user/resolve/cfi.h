/* SPDX-License-Identifier: MIT */
/*
 * cfi: how to undo one stack frame at a return address, from .eh_frame.
 * L2 resolve. With elf.c the only user of elfutils. Must not know Lua.
 */
#ifndef LMT_RESOLVE_CFI_H
#define LMT_RESOLVE_CFI_H

#include <stdbool.h>
#include <stdint.h>

#include "elf.h"

/* The callee-saved registers, in the order of the BPF side: rbx rbp r12 r13 r14 r15. */
#define CFI_REGS 6

struct cfi_row {
	bool by_rbp;           /* the frame is found from rbp, else from rsp */
	uint16_t bytes;        /* from there to the frame's end, where the return address ends */
	uint8_t word[CFI_REGS]; /* register saved so many words below the frame's end; 0: not */
};

struct cfi;

/* NULL when the file has no unwind table or on ENOMEM. f must outlive it. */
struct cfi *cfi_new(struct elf_file *f);
void cfi_free(struct cfi *c);

/*
 * The row for a call that returns to vaddr. False when the frame is not of the plain kind:
 * end = register + constant, saved registers at constant places close below it.
 */
bool cfi_row(struct cfi *c, uint64_t return_vaddr, struct cfi_row *ret);

/* Registers by their DWARF numbers. */
#define CFI_DWARF_REGS 17
enum { CFI_RBX = 3, CFI_RBP = 6, CFI_RSP = 7, CFI_R12 = 12, CFI_RIP = 16 };

struct cfi_regs {
	uint64_t v[CFI_DWARF_REGS];
	uint32_t known; /* by bit */
};

/* The registers in a frame, and a way to read its stack; false when that is not there. */
struct cfi_undo {
	struct cfi_regs *regs;
	bool (*read)(void *ctx, uint64_t uaddr, uint64_t *ret);
	void *ctx;
};

enum cfi_answer { CFI_UNDONE, CFI_OUTERMOST, CFI_NONE };

/*
 * Undoes the frame that runs vaddr (of a caller: its return address - 1), whatever its kind: u->regs
 * are its caller's then. CFI_OUTERMOST: it has none. CFI_NONE: no row, or its stack is not there.
 */
enum cfi_answer cfi_undo(struct cfi *c, uint64_t vaddr, const struct cfi_undo *u);

#endif
