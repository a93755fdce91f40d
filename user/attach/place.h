/* SPDX-License-Identifier: MIT */
/*
 * place: on which instruction of a function a probe is cheapest while its arguments can still be
 * read. L3 attach. Pure: decoded instructions in, a site out.
 *
 * A uprobe on an instruction that the kernel emulates costs a fourteenth of one on any other
 * (docs/ARCHITECTURE.md). So: the first emulated instruction that no branch inside the function
 * jumps to, before the first call, return or computed jump.
 */
#ifndef LMT_ATTACH_PLACE_H
#define LMT_ATTACH_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "resolve/code.h"

#define PLACE_ARGS 4

struct place_want {
	unsigned int args;    /* how many arguments are followed, at most PLACE_ARGS */
	unsigned int needed;  /* bit set of those that must be readable */
	bool wants_return;    /* a return probe goes onto the same site: nothing may be pushed */
	unsigned int emulates; /* bit set of enum insn_emulation: what this kernel emulates */
};

struct placement {
	uint64_t vaddr;      /* of the instruction */
	unsigned int offset; /* from the function's start */
	bool emulated;
	uint8_t reg[PLACE_ARGS]; /* where each argument is; LMT_REG_LOST */
	int pushed;          /* bytes pushed since entry */
	char insn[48];       /* for people */
	const char *why;     /* when not emulated: why the dear site was taken */
};

/* False when the function cannot carry the probe at all; ret->why says why. */
bool place_probe(const struct code_function *fn, struct elf_file *elf,
		 const struct place_want *want, struct placement *ret);

#endif
