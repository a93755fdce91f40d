/* SPDX-License-Identifier: MIT */
/*
 * dummynode_, the static node that tables with an empty hash part point at. It lies in read-only
 * data; the functions that make and free tables take its address.
 */
#include "find.h"

#include <string.h>

#include "base/hashmap.h"

#define NODE_BYTES_MIN 24 /* 5.4; 40 in 5.1 */
#define REACH 24          /* instructions between taking the address and storing it */

/* Offsets of `node` in a Table, all versions: 5.1, 5.2.0 … 5.2.3; later; redis. */
static bool is_node_offset(int64_t off)
{
	return off == 24 || off == 32 || off == 40;
}

/* An empty node: nil keys and values, whatever number stands for nil; no pointers. */
static bool looks_like_node(const struct finder *f, uint64_t vaddr)
{
	struct elf_file *elf = code_elf(f->code);
	const uint8_t *p = elf_data(elf, vaddr, NODE_BYTES_MIN);
	static const uint8_t zero[8];

	if (!p || vaddr % 8 || elf_is_code(elf, vaddr) || memcmp(p, zero, 8))
		return false;
	return f->version >= 504 ? p[8] == 0x10 && !memcmp(p + 10, zero, 6) && !memcmp(p + 16, zero, 8)
				 : !memcmp(p + 8, zero, 8) && !memcmp(p + 16, zero, 8);
}

/* The read-only address an instruction puts into a register or memory, or 0. */
static uint64_t address_taken(const struct insn *in)
{
	if (in->op == INSN_MOV && in->o[0].type == OPND_MEM && in->o[1].type == OPND_IMM &&
	    in->o[1].value > 0x1000)
		return (uint64_t)in->o[1].value;
	return find_address(in);
}

static bool stores_reg(const struct insn *in, unsigned int reg)
{
	return in->op == INSN_MOV && in->o[0].type == OPND_MEM && in->o[0].size == 8 &&
	       in->o[0].reg < 16 && in->o[0].reg != REG_SP && is_node_offset(in->o[0].value) &&
	       opnd_is_reg(&in->o[1], reg);
}

/* t->node = dummynode: the address is taken and soon stored where a Table has its node. */
static bool stored_as_node(const struct code_function *fn, size_t at)
{
	const struct insn *in = &fn->insn[at];

	if (in->o[0].type == OPND_MEM)
		return in->o[0].size == 8 && in->o[0].reg < 16 && is_node_offset(in->o[0].value);
	for (size_t k = at + 1; k < fn->n && k <= at + REACH; k++) {
		if (stores_reg(&fn->insn[k], in->o[0].reg))
			return true;
		if (in->o[0].reg < 16 && (fn->insn[k].writes >> in->o[0].reg & 1))
			return false;
	}
	return false;
}

void find_puc_dummynode(struct finder *f)
{
	struct hashmap stored = { 0 };
	uint64_t found = 0, best = 0;
	bool tie = false;

	for (size_t i = 0; i < code_count(f->code); i++) {
		const struct code_function *fn = code_get(f->code, i);

		for (size_t k = 0; k < fn->n; k++) {
			uint64_t at = address_taken(&fn->insn[k]), *n;

			if (!at || !looks_like_node(f, at) || !stored_as_node(fn, k))
				continue;
			n = hashmap_get_or_add(&stored, at);
			if (n)
				++*n;
		}
	}
	for (size_t i = 0; i < stored.cap; i++) {
		if (!stored.e[i].key)
			continue;
		tie = stored.e[i].value == best || (tie && stored.e[i].value < best);
		if (stored.e[i].value > best) {
			best = stored.e[i].value;
			found = stored.e[i].key;
		}
	}
	hashmap_deinit(&stored);
	if (found && !tie)
		find_answer(f, FUNC_DUMMYNODE, found, "stored as a table's node");
}
