/* SPDX-License-Identifier: MIT */
/*
 * The parts of PUC Lua around the allocator and the collector: vectors that grow and shrink, a
 * step of the collector, its sweep, and the node of an empty table. Each starts from what
 * find_puc.c found.
 */
#include "find.h"

#include <string.h>

#include "alloc_calls.h"
#include "base/vec.h"

#define VECTOR_MAX 0x180u
#define MIN_VECTOR 4    /* MINSIZEARRAY, lmem.c */
#define MAX_CALLEES 256
#define MARKED 9        /* offset of `marked` in every object, all versions */
#define MIN_GCSTATE 0x15 /* offset of gcstate in any global_State; `marked` is below */

static const struct code_function *answer(const struct finder *f, enum func_id id)
{
	return f->fn[id].vaddr ? code_at(f->code, f->fn[id].vaddr) : NULL;
}

static size_t size_of(const struct code_function *fn)
{
	return fn->end - fn->start;
}

/* Calls luaM_realloc_, or the allocator itself where that is inlined; or luaM_saferealloc_ does. */
static bool reallocates(const struct finder *f, const struct code_function *fn, int levels)
{
	uint64_t re = f->fn[FUNC_LUAM_REALLOC].vaddr;

	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		const struct code_function *to;

		if ((in->op == INSN_CALL && !in->target) || (re && insn_is_branch(in) && in->target == re))
			return true;
		to = levels > 1 && insn_is_branch(in) && in->target ? code_at(f->code, in->target) : NULL;
		if (to && to != fn && size_of(to) < VECTOR_MAX && reallocates(f, to, levels - 1))
			return true;
	}
	return false;
}

/* mov r, imm or cmp r, imm with the number. */
static bool names_number(const struct code_function *fn, int64_t n)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if ((in->op == INSN_MOV || in->op == INSN_CMP) && in->n_ops > 1 &&
		    in->o[0].type == OPND_REG && opnd_is_imm(&in->o[1], n))
			return true;
	}
	return false;
}

static bool refers_to(const struct code_function *fn, uint64_t vaddr)
{
	for (size_t i = 0; i < fn->n; i++)
		if (find_refers(&fn->insn[i], vaddr))
			return true;
	return false;
}

/* Stores a 32-bit register through a pointer: *size = n. */
static bool stores_size(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_MOV && in->o[0].type == OPND_MEM && in->o[0].size == 4 &&
		    in->o[0].value == 0 && in->o[0].reg < 16 && in->o[0].reg != REG_SP &&
		    in->o[0].index == REG_NONE && in->o[1].type == OPND_REG)
			return true;
	}
	return false;
}

static size_t multiplications(const struct code_function *fn)
{
	size_t n = 0;

	for (size_t i = 0; i < fn->n; i++)
		n += fn->insn[i].op == INSN_MUL;
	return n;
}

static uint64_t find_text(const struct finder *f, const char *text)
{
	return elf_find_bytes(code_elf(f->code), text, strlen(text) + 1, 0);
}

/* luaM_growaux_ doubles up to a limit and names what is too many. */
static bool is_growaux(const struct finder *f, const struct code_function *fn, uint64_t text)
{
	return size_of(fn) <= VECTOR_MAX && refers_to(fn, text) && reallocates(f, fn, 2) &&
	       stores_size(fn) && names_number(fn, MIN_VECTOR);
}

/* luaM_shrinkvector_ multiplies twice, reallocates, stores the new size (lmem.c, 5.4). */
static bool is_shrinkvector(const struct finder *f, const struct code_function *fn)
{
	return size_of(fn) <= VECTOR_MAX && multiplications(fn) == 2 && stores_size(fn) &&
	       reallocates(f, fn, 2) && fn->start != f->fn[FUNC_LUAM_GROWAUX].vaddr;
}

void find_puc_vectors(struct finder *f)
{
	bool old = f->version == 501;
	uint64_t text = find_text(f, old ? "memory allocation error: block too big"
					 : "too many %s (limit is %d)");
	const struct code_function *grow = NULL, *shrink = NULL;
	size_t n_grow = 0, n_shrink = 0;

	for (size_t i = 0; i < code_count(f->code); i++) {
		const struct code_function *fn = code_get(f->code, i);

		if (text && is_growaux(f, fn, text)) {
			grow = fn;
			n_grow++;
		}
	}
	if (n_grow == 1)
		find_answer(f, FUNC_LUAM_GROWAUX, grow->start, "names what is too many");
	if (f->version && f->version < 504) {
		f->fn[FUNC_LUAM_SHRINKVECTOR].why_not = "does not exist before 5.4";
		return;
	}
	for (size_t i = 0; i < code_count(f->code); i++) {
		const struct code_function *fn = code_get(f->code, i);

		if (!is_shrinkvector(f, fn))
			continue;
		shrink = fn;
		n_shrink++;
	}
	if (n_shrink == 1)
		find_answer(f, FUNC_LUAM_SHRINKVECTOR, shrink->start, "stores the smaller size");
}

struct callees {
	const struct code_function *fn[MAX_CALLEES];
	size_t n;
};

static bool holds(const struct callees *s, const struct code_function *fn)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->fn[i] == fn)
			return true;
	return false;
}

/* The direct callees of a function, and theirs: breadth first, so that a level is a range. */
static void gather(const struct code *c, const struct code_function *from, int levels,
		   struct callees *ret)
{
	size_t first = 0, last;

	ret->fn[0] = from;
	ret->n = 1;
	for (int l = 0; l < levels; l++, first = last) {
		last = ret->n;
		for (size_t i = first; i < last; i++) {
			for (size_t k = 0; k < ret->fn[i]->n && ret->n < MAX_CALLEES; k++) {
				const struct insn *in = &ret->fn[i]->insn[k];
				const struct code_function *fn = insn_is_branch(in) && in->target
					? code_at(c, in->target) : NULL;

				if (fn && !holds(ret, fn))
					ret->fn[ret->n++] = fn;
			}
		}
	}
}

/* Reads the byte at the offset of some struct. */
static bool reads_byte(const struct insn *in, int64_t off)
{
	size_t k = in->op == INSN_CMP ? 0 : 1;

	return in->n_ops > k && in->o[k].type == OPND_MEM && in->o[k].size == 1 &&
	       in->o[k].value == off && in->o[k].reg < 16;
}

/* Reads a byte of a struct and sets it: what global_State's gcstate is to singlestep. */
static bool drives_state(const struct code_function *fn, int64_t off)
{
	for (size_t i = 0; i < fn->n; i++)
		if (reads_byte(&fn->insn[i], off))
			return true;
	return false;
}

static bool has_switch(const struct code_function *fn)
{
	bool compares = false, jumps = false;

	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		compares |= in->op == INSN_CMP && in->n_ops > 1 && in->o[1].type == OPND_IMM &&
			    in->o[1].value >= 3 && in->o[1].value <= 8;
		jumps |= in->op == INSN_JMP && !in->target;
	}
	return compares && jumps;
}

/* Switches over a byte of its struct that it sets too; an object's mark byte lies further up. */
static bool is_state_machine(const struct code_function *fn)
{
	bool any = false;

	for (size_t i = 0; has_switch(fn) && i < fn->n && !any; i++) {
		const struct insn *in = &fn->insn[i];

		any = in->op == INSN_MOV && in->o[0].type == OPND_MEM && in->o[0].size == 1 &&
		      in->o[0].value >= MIN_GCSTATE && in->o[0].reg < 16 && in->o[0].reg != REG_SP &&
		      drives_state(fn, in->o[0].value);
	}
	return any;
}

/* singlestep: the switch over the collector's state that a step and a full collection share. */
static void singlestep(struct finder *f)
{
	const struct code_function *step = answer(f, FUNC_LUAC_STEP), *full = answer(f, FUNC_LUAC_FULLGC);
	const struct code_function *found = NULL;
	struct callees a, b;

	if (!step || !full)
		return;
	for (int levels = 1; levels <= 2 && !found; levels++) {
		gather(f->code, step, levels, &a);
		gather(f->code, full, 2, &b);
		for (size_t i = 1; i < a.n; i++) {
			if (!holds(&b, a.fn[i]) || a.fn[i] == full || !is_state_machine(a.fn[i]))
				continue;
			if (found)
				return;
			found = a.fn[i];
		}
	}
	if (found)
		find_answer(f, FUNC_SINGLESTEP, found->start, "switch shared by step and full collection");
}

/* What is left of `marked` when colours, and in some versions the age, are taken away. */
static bool is_colour_mask(int64_t value, unsigned int version)
{
	unsigned int low = value & 0xff;

	if (version >= 504)
		return low == 0xc7 || low == 0xc0;
	return low == 0xf8 || (version == 502 && low == 0xb8);
}

/* Flips the white bits: `currentwhite ^ WHITEBITS`. */
static bool flips_white(const struct code_function *fn, unsigned int version)
{
	int64_t mask = version >= 504 ? 0x18 : 3;
	bool flips = false, clears = false;

	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		flips |= in->op == INSN_XOR && in->n_ops > 1 && opnd_is_imm(&in->o[1], mask);
		/* 5.2 chooses between two masks, hence a move */
		clears |= (in->op == INSN_AND || (version == 502 && in->op == INSN_MOV)) &&
			  in->n_ops > 1 && in->o[1].type == OPND_IMM &&
			  is_colour_mask(in->o[1].value, version);
	}
	return flips && clears;
}

/* Writes an object's mark byte. */
static bool repaints(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_MOV && in->o[0].type == OPND_MEM && in->o[0].size == 1 &&
		    in->o[0].value == MARKED && in->o[1].type == OPND_REG)
			return true;
	}
	return false;
}

/*
 * Reads the first word its second argument points at: the list. sweepstep, into which sweeplist
 * may be inlined, has the global_State there, and takes the list from inside it.
 */
static bool walks_arg1(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_CALL)
			return false;
		if (in->op == INSN_MOV && in->n_ops > 1 && in->o[0].type == OPND_REG &&
		    in->o[1].type == OPND_MEM && in->o[1].size == 8 && in->o[1].value == 0 &&
		    in->o[1].index == REG_NONE && in->o[1].reg < 16 &&
		    find_origin(fn, i, in->o[1].reg) == REG_SI)
			return true;
	}
	return false;
}

/* sweeplist: often inlined or cloned; the only function near singlestep that repaints, or none. */
static void sweeplist(struct finder *f)
{
	const struct code_function *step = answer(f, FUNC_SINGLESTEP), *found = NULL;
	struct callees near;

	if (!step)
		return;
	gather(f->code, step, 2, &near);
	for (size_t i = 1; i < near.n; i++) { /* [0] is singlestep, which may hold the flip itself */
		if (!flips_white(near.fn[i], f->version) || !repaints(near.fn[i]) ||
		    !walks_arg1(near.fn[i]) || code_calls(f->code, near.fn[i], step->start))
			continue;
		if (found) {
			f->fn[FUNC_SWEEPLIST].why_not = "inlined or cloned; nearest is singlestep";
			return;
		}
		found = near.fn[i];
	}
	if (found)
		find_answer(f, FUNC_SWEEPLIST, found->start, "repaints what a step sweeps");
}

void find_puc_collector(struct finder *f)
{
	singlestep(f);
	sweeplist(f);
}
