/* SPDX-License-Identifier: MIT */
/*
 * LuaJIT functions told by the tables of pointers that name them, and those that call the
 * allocator. The tables' order is that of lj_ircall.h (IRCALLDEF) and lj_gc.c (gc_freefunc), the
 * same from 2.0 to 2.1 of 2026.
 */
#include "find.h"

#include <string.h>

#include "alloc_calls.h"
#include "base/vec.h"

#define MEDIUM 0x200u
#define CALLINFO_BYTES 16 /* a function and its flags */
#define GCT_CDATA 10      /* gct of a cdata; the first with a free function is 4, a string */
#define GCT_FIRST 4
#define GCT_TRACE 9
#define N_FREE_FUNCTIONS 9
#define CDATA_FIN 0x10    /* LJ_GC_CDATA_FIN, lj_obj.h */
#define CDATA_FREE_MAX 0x400u

static const int64_t allocf_offsets[] = { 0, 0x10 }; /* since, and before, June 2020 */

static bool is_realloc(const struct alloc_call *c)
{
	return !c->rsi_const && !c->rdx_const && !c->rcx_const && find_passes_arguments(c->fn);
}

/* Its second argument is the size, handed on as the fourth. */
static bool is_newgco(const struct alloc_call *c)
{
	return c->rsi_const && c->rsi == 0 && c->rdx_const && c->rdx == 0 && !c->rcx_const &&
	       find_origin(c->fn, c->at, REG_CX) == REG_SI;
}

/* The one with most callers among the small functions whose call passes; NULL when two tie. */
static const struct code_function *most_called(const struct code *c, const struct alloc_calls *calls,
					       bool (*pass)(const struct alloc_call *))
{
	const struct code_function *best = NULL;
	size_t best_n = 0;
	bool tie = false;

	vec_each(call, &calls->v) {
		size_t n;

		if (call->fn == best || call->fn->end - call->fn->start > MEDIUM || !pass(call))
			continue;
		n = code_caller_count(c, call->fn->start);
		tie = best && n == best_n;
		if (!best || n > best_n) {
			best = call->fn;
			best_n = n;
		}
	}
	return tie ? NULL : best;
}

/* At one offset of the allocator; with `alone`, also where lj_mem_realloc was inlined away. */
static bool memory_at(struct finder *f, int64_t offset, bool alone)
{
	struct alloc_calls calls = { 0 };
	const struct code_function *re = NULL, *gco = NULL;
	bool found;

	if (!alloc_calls_find(f->code, offset, &calls)) {
		re = most_called(f->code, &calls, is_realloc);
		gco = most_called(f->code, &calls, is_newgco);
	}
	found = gco && (re || alone);
	if (found) {
		find_birth_and_death(f, &calls, true);
		find_answer(f, FUNC_LJ_MEM_NEWGCO, gco->start, "allocator call");
	}
	if (found && re)
		find_answer(f, FUNC_LJ_MEM_REALLOC, re->start, "allocator call");
	alloc_calls_deinit(&calls);
	return found;
}

void find_luajit_memory(struct finder *f)
{
	for (int alone = 0; alone < 2; alone++)
		for (size_t i = 0; i < sizeof(allocf_offsets) / sizeof(*allocf_offsets); i++)
			if (memory_at(f, allocf_offsets[i], alone))
				return;
}

static const struct code_function *function_in(const struct finder *f, uint64_t slot)
{
	uint64_t at = elf_pointer(code_elf(f->code), slot);

	return at ? code_at(f->code, at) : NULL;
}

/* A loop around the collector: the while of lj_gc_step_jit. */
static bool loops_over_step(const struct finder *f, const struct code_function *fn)
{
	uint64_t step = f->fn[FUNC_LJ_GC_STEP].vaddr, one = f->fn[FUNC_GC_ONESTEP].vaddr;
	uint64_t call = 0;

	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_CALL && in->target && (in->target == step || in->target == one))
			call = in->addr;
		if (call && (in->op == INSN_JCC || in->op == INSN_JMP) && in->target >= fn->start &&
		    in->target <= call)
			return true;
	}
	return false;
}

/* lj_ir_callinfo: lj_gc_step_jit, lj_gc_barrieruv and lj_mem_newgco stand one behind another. */
static void call_table(struct finder *f, const struct elf_segment *seg)
{
	uint64_t newgco = f->fn[FUNC_LJ_MEM_NEWGCO].vaddr;

	for (uint64_t at = (seg->vaddr + 7) & ~7ull; at + 40 <= seg->vaddr + seg->filesz; at += 8) {
		const struct code_function *jit = function_in(f, at), *gco;

		if (!jit || !function_in(f, at + CALLINFO_BYTES))
			continue;
		gco = function_in(f, at + 2 * CALLINFO_BYTES);
		if (!gco || gco->start != newgco || !loops_over_step(f, jit))
			continue;
		find_answer(f, FUNC_LJ_GC_STEP_JIT, jit->start, "table of calls from traces");
		find_answer(f, FUNC_LJ_MEM_NEWGCO, gco->start, "table of calls from traces");
		return;
	}
}

/* Asks a cdata whether it has a finalizer: test byte, LJ_GC_CDATA_FIN. */
static bool tests_finalizer(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n && fn->end - fn->start <= CDATA_FREE_MAX; i++) {
		const struct insn *in = &fn->insn[i];

		if ((in->op == INSN_TEST || in->op == INSN_AND) && in->o[0].size <= 4 &&
		    opnd_is_imm(&in->o[1], CDATA_FIN))
			return true;
	}
	return false;
}

/* gc_freefunc: a function for each type from string to userdata; base: where type 4 may stand. */
static void free_table(struct finder *f, uint64_t base)
{
	const struct code_function *cdata = function_in(f, base + 8 * (GCT_CDATA - GCT_FIRST));

	for (int i = 0; i < N_FREE_FUNCTIONS; i++) /* without the JIT none for traces */
		if (i != GCT_TRACE - GCT_FIRST && !function_in(f, base + 8 * (uint64_t)i))
			return;
	if (cdata && tests_finalizer(cdata))
		find_answer(f, FUNC_LJ_CDATA_FREE, cdata->start, "table of free functions");
}

/* The tables that gc_sweep names, indexed from the first type or from 0. */
static void free_functions(struct finder *f)
{
	uint64_t sweep = f->fn[FUNC_GC_SWEEP].vaddr;
	const struct code_function *fn = sweep ? code_at(f->code, sweep) : NULL;
	uint64_t last = 0;

	for (size_t i = 0; fn && i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];
		uint64_t at = in->ref;

		for (size_t k = 0; !at && k < in->n_ops; k++) {
			const struct insn_operand *o = &in->o[k];

			if ((o->type == OPND_IMM || (o->type == OPND_MEM && o->scale == 8)) &&
			    o->value > 0x1000)
				at = (uint64_t)o->value;
		}
		if (!at || at == last)
			continue;
		last = at;
		free_table(f, at);
		if (f->fn[FUNC_LJ_CDATA_FREE].vaddr)
			return;
		free_table(f, at + 8 * GCT_FIRST);
	}
}

void find_luajit_tables(struct finder *f)
{
	const struct elf_segment *seg;

	find_getallocf(f);
	for (size_t i = 0; (seg = elf_segment(code_elf(f->code), i)); i++)
		if (!seg->executable && !f->fn[FUNC_LJ_GC_STEP_JIT].how)
			call_table(f, seg);
	free_functions(f);
}
