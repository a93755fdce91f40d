/* SPDX-License-Identifier: MIT */
/*
 * Methods A1 to A6 for LuaJIT (tried on 22 builds, 2.0.4 to rolling,
 * gcc and clang, GC64 or not). What each looks for follows from the source named beside it.
 */
#include "find.h"

#include <string.h>

#define SMALL 0x60u
#define ERR_MEM_MAX 0x180u
#define EXIT_REACH 0x140u      /* the handler calls lj_trace_exit within so many bytes */
#define VMST_GC 0xfffffffdu    /* ~LJ_VMST_GC as a 32-bit store */
#define SWEEP_LIMIT 40         /* GCSWEEPMAX, lj_gc.c */
#define LUA_ERRMEM 4
#define GCS_SWEEPSTRING 3
#define MAX_SET 96

struct lj {
	struct finder *f;
	const struct code *c;
	const struct code_function *vm; /* the assembler part of the VM: one range */
	const struct code_function *set[MAX_SET]; /* functions that enter the GC's vmstate */
	size_t n_set;
};

/*
 * The prologue of lj_vm_exit_handler saves every register, then reads the exit number
 * (vm_x64.dasc, "->vm_exit_handler"): push r13 r12 r11 r10 r9 r8 rdi rsi rbp; lea rbp,[rsp+88];
 * push rbp rbx rdx rcx rax; movzx eax,[rbp-8]; mov ah,[rbp-16]
 */
static const uint8_t exit_handler[] = {
	0x41, 0x55, 0x41, 0x54, 0x41, 0x53, 0x41, 0x52, 0x41, 0x51, 0x41, 0x50, 0x57, 0x56, 0x55,
	0x48, 0x8d, 0x6c, 0x24, 0x58, 0x55, 0x53, 0x52, 0x51, 0x50, 0x0f, 0xb6, 0x45, 0xf8, 0x8a,
	0x65, 0xf0,
};

/* lj_vm_ffi_call: push rbp; mov rbp, rsp; push rbx; mov rbx, rdi; mov … */
static const uint8_t ffi_stub[] = { 0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x89, 0xfb, 0x8b };

uint64_t find_luajit_exit_handler(struct elf_file *elf)
{
	uint64_t first = elf_find_bytes(elf, exit_handler, sizeof(exit_handler), 0);

	if (!first || elf_find_bytes(elf, exit_handler, sizeof(exit_handler), first + 1))
		return 0;
	return first;
}

/* A1: lj_trace_exit is the first thing the exit handler calls. */
static void trace_exit(struct lj *s)
{
	uint64_t at = find_luajit_exit_handler(code_elf(s->c)), end = at + EXIT_REACH;
	const uint8_t *p = at ? elf_data(code_elf(s->c), at, EXIT_REACH) : NULL;
	struct insn in;

	if (!p)
		return;
	s->vm = code_holding(s->c, at);
	while (at < end && insn_decode(p, end - at, at, &in)) {
		if (in.op == INSN_CALL && in.target) {
			if (code_at(s->c, in.target))
				find_answer(s->f, FUNC_LJ_TRACE_EXIT, in.target, "exit handler");
			return;
		}
		p += in.len;
		at += in.len;
	}
}

/* Built without the JIT there is no exit handler: the VM is the range before the call stub. */
static void vm_by_stub(struct lj *s)
{
	const struct code_function *stub = NULL;

	for (size_t i = 0; i < code_count(s->c); i++) {
		const struct code_function *fn = code_get(s->c, i);
		const uint8_t *p = elf_data(code_elf(s->c), fn->start, sizeof(ffi_stub));

		if (!p || memcmp(p, ffi_stub, sizeof(ffi_stub)))
			continue;
		if (stub)
			return;
		stub = fn;
	}
	if (stub)
		s->vm = code_holding(s->c, stub->start - 1);
}

static bool tests_reg(const struct code_function *fn, unsigned int reg)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_TEST && opnd_is_reg(&in->o[0], reg) &&
		    opnd_is_reg(&in->o[1], reg) && in->o[0].size == 8)
			return true;
	}
	return false;
}

/* A2: lj_alloc_f only chooses between three functions by nsize and ptr (lj_alloc.c). */
static void alloc_family(struct lj *s)
{
	const struct code_function *found = NULL;
	struct find_branch free_b, malloc_b, realloc_b, answer[3] = { { 0 } };

	for (size_t i = 0; i < code_count(s->c); i++) {
		const struct code_function *fn = code_get(s->c, i);

		if (fn->end - fn->start > SMALL || !tests_reg(fn, REG_CX) || !tests_reg(fn, REG_SI))
			continue;
		if (!find_alloc_branch(fn, false, true, &free_b) ||
		    !find_alloc_branch(fn, true, false, &malloc_b) ||
		    !find_alloc_branch(fn, true, true, &realloc_b))
			continue;
		if (free_b.target == malloc_b.target || malloc_b.target == realloc_b.target ||
		    free_b.target == realloc_b.target || !code_at(s->c, free_b.target) ||
		    !code_at(s->c, malloc_b.target) || !code_at(s->c, realloc_b.target))
			continue;
		if (found)
			return; /* two candidates: no answer */
		found = fn;
		answer[0] = free_b;
		answer[1] = malloc_b;
		answer[2] = realloc_b;
	}
	if (!found)
		return;
	find_answer(s->f, FUNC_LJ_ALLOC_F, found->start, "branches");
	find_answer(s->f, FUNC_LJ_ALLOC_FREE, answer[0].target, "branches");
	find_answer(s->f, FUNC_LJ_ALLOC_MALLOC, answer[1].target, "branches");
	find_answer(s->f, FUNC_LJ_ALLOC_REALLOC, answer[2].target, "branches");
}

/*
 * A3: lj_ccall_func is the only caller of lj_vm_ffi_call, the range behind the VM's. clang's
 * amalgamated build inlines it into a function that no code calls, only a table names.
 */
static void ccall(struct lj *s)
{
	const struct code_function *ffi = s->vm ? code_at(s->c, s->vm->end) : NULL;
	const uint8_t *p = ffi ? elf_data(code_elf(s->c), ffi->start, sizeof(ffi_stub)) : NULL;
	const struct code_edge *e;
	const struct code_function *fn;
	size_t n;

	if (!p || memcmp(p, ffi_stub, sizeof(ffi_stub)))
		return;
	find_answer(s->f, FUNC_LJ_VM_FFI_CALL, ffi->start, "range behind the VM's");
	if (code_caller_count(s->c, ffi->start) != 1)
		return;
	e = code_callers(s->c, ffi->start, &n);
	fn = code_get(s->c, e[0].function);
	if (!code_caller_count(s->c, fn->start))
		s->f->fn[FUNC_LJ_CCALL_FUNC].why_not = "inlined into its caller";
	else
		find_answer(s->f, FUNC_LJ_CCALL_FUNC, fn->start, "only caller of the call stub");
}

static bool has_op(const struct code_function *fn, enum insn_op op)
{
	for (size_t i = 0; i < fn->n; i++)
		if (fn->insn[i].op == op)
			return true;
	return false;
}

/* Saves g->vmstate, sets it to ~LJ_VMST_GC, restores it: lj_gc_step, lj_gc_fullgc (lj_gc.c). */
static bool sets_vmstate_gc(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];
		bool loads = false, stores = false;

		if (in->op != INSN_MOV || in->o[0].type != OPND_MEM || in->o[0].size != 4 ||
		    in->o[0].value <= 0x40 || in->o[1].type != OPND_IMM ||
		    (uint32_t)in->o[1].value != VMST_GC)
			continue;
		for (size_t k = 0; k < fn->n; k++) {
			const struct insn *o = &fn->insn[k];

			if (o->op != INSN_MOV || o->n_ops < 2)
				continue;
			loads |= o->o[0].type == OPND_REG && o->o[1].type == OPND_MEM &&
				 o->o[1].size == 4 && o->o[1].value == in->o[0].value;
			stores |= o->o[1].type == OPND_REG && o->o[0].type == OPND_MEM &&
				  o->o[0].size == 4 && o->o[0].value == in->o[0].value;
		}
		if (loads && stores)
			return true;
	}
	return false;
}

static bool in_set(const struct lj *s, const struct code_function *fn)
{
	for (size_t i = 0; i < s->n_set; i++)
		if (s->set[i] == fn)
			return true;
	return false;
}

static void build_set(struct lj *s)
{
	for (size_t i = 0; i < code_count(s->c) && s->n_set < MAX_SET; i++) {
		const struct code_function *fn = code_get(s->c, i);

		if (fn != s->vm && has_op(fn, INSN_MUL) && sets_vmstate_gc(fn))
			s->set[s->n_set++] = fn;
	}
}

/* How many members of the set call the function. */
static size_t votes(const struct lj *s, uint64_t target)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_set; i++)
		n += code_calls(s->c, s->set[i], target);
	return n;
}

static bool has_indirect_jump(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n; i++)
		if (fn->insn[i].op == INSN_JMP && !fn->insn[i].target)
			return true;
	return false;
}

/* A4a: gc_onestep is what members of the set call in common and what switches over a state. */
static void onestep(struct lj *s)
{
	const struct code_function *best = NULL;
	size_t best_votes = 1, ties = 0;

	for (size_t i = 0; i < s->n_set; i++) {
		for (size_t k = 0; k < s->set[i]->n; k++) {
			const struct insn *in = &s->set[i]->insn[k];
			const struct code_function *fn =
				in->target ? code_at(s->c, in->target) : NULL;
			size_t n;

			if (!fn || fn == best || in_set(s, fn) || !has_indirect_jump(fn))
				continue;
			n = votes(s, fn->start);
			if (n > best_votes) {
				best = fn;
				best_votes = n;
				ties = 0;
			} else if (best && n == best_votes) {
				ties++;
			}
		}
	}
	if (best && !ties)
		find_answer(s->f, FUNC_GC_ONESTEP, best->start, "called by all that enter the GC");
}

/* A4b: lj_gc_step is the member that the VM's assembler calls, or that a helper of it calls. */
static void gc_step(struct lj *s)
{
	uint64_t one = s->f->fn[FUNC_GC_ONESTEP].vaddr;
	const struct code_function *best = NULL;
	size_t best_callers = 0, direct = 0;

	for (size_t i = 0; s->vm && i < s->n_set; i++) {
		const struct code_function *fn = s->set[i];
		size_t callers = code_caller_count(s->c, fn->start);

		if (!code_calls(s->c, s->vm, fn->start) || (one && !code_calls(s->c, fn, one)))
			continue;
		direct++;
		if (callers > best_callers) {
			best = fn;
			best_callers = callers;
		}
	}
	for (size_t i = 0; s->vm && !direct && i < s->n_set; i++) {
		size_t n;
		const struct code_edge *e = code_callers(s->c, s->set[i]->start, &n);

		for (size_t k = 0; k < n; k++) {
			uint64_t caller = code_get(s->c, e[k].function)->start;

			if (!code_calls(s->c, s->vm, caller) || best == s->set[i])
				continue;
			if (best)
				return;
			best = s->set[i];
		}
	}
	if (best)
		find_answer(s->f, FUNC_LJ_GC_STEP, best->start, "called by the VM to enter the GC");
}

static bool stores_byte(const struct code_function *fn, int64_t value)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_MOV && in->o[0].type == OPND_MEM && in->o[0].size == 1 &&
		    opnd_is_imm(&in->o[1], value))
			return true;
	}
	return false;
}

static bool compares_arg1(const struct code_function *fn)
{
	for (size_t i = 0; i < fn->n && !(fn->insn[i].writes >> REG_SI & 1); i++)
		if (fn->insn[i].op == INSN_CMP && opnd_is_reg(&fn->insn[i].o[0], REG_SI))
			return true;
	return false;
}

/*
 * lj_gc_fullgc is the member that sets the GC's state itself, to "sweep strings" (lj_gc.c). Where
 * lua_gc has swallowed it, that is the member that switches over its second argument.
 */
static void full_gc(struct lj *s)
{
	const struct code_function *found = NULL;

	for (size_t i = 0; i < s->n_set; i++) {
		const struct code_function *fn = s->set[i];

		if (fn->start == s->f->fn[FUNC_LJ_GC_STEP].vaddr || !stores_byte(fn, GCS_SWEEPSTRING))
			continue;
		if (found)
			return;
		found = fn;
	}
	if (!found)
		return;
	if (has_indirect_jump(found) || compares_arg1(found)) {
		s->f->fn[FUNC_LJ_GC_FULLGC].why_not = "inlined into lua_gc";
		find_answer(s->f, FUNC_LUA_GC, found->start, "sets the GC's state itself");
	} else {
		find_answer(s->f, FUNC_LJ_GC_FULLGC, found->start, "sets the GC's state itself");
	}
}

/* A5: gc_sweep flips both whites and frees through a table of functions by type (lj_gc.c). */
static bool looks_like_sweep(const struct code_function *fn)
{
	bool flips = false, table = false, loads_table = false, computed = false;

	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		if (in->op == INSN_XOR && in->n_ops > 1 && opnd_is_imm(&in->o[1], 3))
			flips = true;
		if (insn_is_indirect(in)) {
			computed |= in->o[0].type == OPND_REG;
			table |= in->o[0].type == OPND_MEM && in->o[0].scale == 8 &&
				 in->o[0].reg != REG_NONE && in->o[0].index != REG_NONE;
		}
		loads_table |= in->op == INSN_MOV && in->n_ops > 1 && in->o[1].type == OPND_MEM &&
			       in->o[1].scale == 8 && in->o[1].size == 8 &&
			       in->o[1].reg != REG_NONE && in->o[1].index != REG_NONE;
	}
	return flips && (table || (loads_table && computed));
}

static bool called_with(const struct lj *s, const struct code_function *fn, unsigned int reg,
			int64_t value)
{
	size_t n;
	const struct code_edge *e = code_callers(s->c, fn->start, &n);
	int64_t got;

	for (size_t i = 0; i < n; i++)
		if (code_const_arg(code_get(s->c, e[i].function), e[i].insn, reg, 8, &got) &&
		    got == value)
			return true;
	return false;
}

static void gc_sweep(struct lj *s)
{
	const struct code_function *limited = NULL, *any = NULL, *recursive = NULL;
	size_t n_limited = 0, n_any = 0, n_recursive = 0;

	for (size_t i = 0; i < code_count(s->c); i++) {
		const struct code_function *fn = code_get(s->c, i);

		if (fn == s->vm || !looks_like_sweep(fn))
			continue;
		any = fn;
		n_any++;
		if (called_with(s, fn, REG_DX, SWEEP_LIMIT)) {
			limited = fn;
			n_limited++;
		}
		for (size_t k = 0; k < fn->n; k++) {
			if (fn->insn[k].op == INSN_CALL && fn->insn[k].target == fn->start) {
				recursive = fn;
				n_recursive++;
				break;
			}
		}
	}
	if (n_limited == 1)
		find_answer(s->f, FUNC_GC_SWEEP, limited->start, "sweep limit");
	else if (n_any == 1)
		find_answer(s->f, FUNC_GC_SWEEP, any->start, "table of free functions");
	else if (n_recursive == 1)
		find_answer(s->f, FUNC_GC_SWEEP, recursive->start, "sweeps open upvalues by itself");
}

/* A6: lj_err_mem asks for L->status 6 and throws LUA_ERRMEM into the VM (lj_err.c). */
static bool looks_like_err_mem(const struct lj *s, const struct code_function *fn)
{
	bool compares = false, throws = false;
	int64_t code;

	if (fn->end - fn->start > ERR_MEM_MAX || fn == s->vm)
		return false;
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];

		compares |= in->op == INSN_CMP && opnd_is_imm(&in->o[1], 6) &&
			    (in->o[0].type == OPND_REG || in->o[0].size == 1);
		throws |= (in->op == INSN_CALL || in->op == INSN_JMP) && in->target >= s->vm->start &&
			  in->target < s->vm->end &&
			  code_const_arg(fn, i, REG_SI, 8, &code) && code == LUA_ERRMEM;
	}
	return compares && throws;
}

static void err_mem(struct lj *s)
{
	const struct code_function *found = NULL;

	for (size_t i = 0; s->vm && i < code_count(s->c); i++) {
		const struct code_function *fn = code_get(s->c, i);

		if (!looks_like_err_mem(s, fn))
			continue;
		if (found)
			return;
		found = fn;
	}
	if (found)
		find_answer(s->f, FUNC_LJ_ERR_MEM, found->start, "throws the memory error");
}

void find_luajit(struct finder *f)
{
	struct lj s = { .f = f, .c = f->code };

	trace_exit(&s);
	if (!s.vm)
		vm_by_stub(&s);
	alloc_family(&s);
	ccall(&s);
	build_set(&s);
	onestep(&s);
	gc_step(&s);
	gc_sweep(&s);
	full_gc(&s);
	err_mem(&s);
	find_luajit_memory(f);
	find_luajit_tables(f);
}
