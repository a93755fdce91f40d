/* SPDX-License-Identifier: MIT */
#include "nonlocal_exit.h"

#include <string.h>

#define MAX_FUNCTIONS 128 /* followed from one on */

static const char throws[] = "throw a C++ exception";
static const char jumps[] = "jump out by longjmp()";
static const char switches[] = "switch to another C stack";

/* Functions of other files that do not come back, or on another stack. */
static const struct {
	const char *name, *what;
} leavers[] = {
	{ "__cxa_throw", throws },
	{ "__cxa_rethrow", throws },
	{ "__cxa_allocate_exception", throws },
	{ "_Znwm", throws },
	{ "_Znam", throws },
	{ "_ZSt17__throw_bad_allocv", throws },
	{ "_Unwind_RaiseException", throws },
	{ "longjmp", jumps },
	{ "_longjmp", jumps },
	{ "siglongjmp", jumps },
	{ "__longjmp_chk", jumps },
	{ "swapcontext", switches },
	{ "setcontext", switches },
	{ "jump_fcontext", switches },
	{ "ontop_fcontext", switches },
	{ "co_switch", switches },
	{ "coro_transfer", switches },
};

static const char *import_leaves(struct elf_file *elf, const struct insn *in)
{
	const char *name = in->target ? elf_import_at(elf, in->target) :
			   in->ref    ? elf_import_slot(elf, in->ref) : NULL;

	for (size_t i = 0; name && i < sizeof(leavers) / sizeof(leavers[0]); i++)
		if (!strcmp(name, leavers[i].name))
			return leavers[i].what;
	return NULL;
}

/*
 * Stack pointer from elsewhere: out of a structure, or an argument as it came. Frames that undo
 * themselves take theirs from the frame pointer or a register of their own.
 */
static bool sets_stack(const struct insn *in)
{
	const struct insn_operand *from = &in->o[1];

	if (in->op != INSN_MOV || !opnd_is_reg(&in->o[0], REG_SP))
		return false;
	return (from->type == OPND_MEM && from->reg != REG_BP && from->reg != REG_SP) ||
	       opnd_is_reg(from, REG_DI) || opnd_is_reg(from, REG_SI);
}

struct followed {
	const struct code_function *fn[MAX_FUNCTIONS];
	size_t n;
};

static void follow(struct followed *f, const struct code_function *fn)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->fn[i] == fn)
			return;
	if (fn && f->n < MAX_FUNCTIONS)
		f->fn[f->n++] = fn;
}

/* What one function may do; those it calls are followed. */
static const char *look_into(const struct code *code, const struct code_function *fn, bool first,
			     struct followed *f)
{
	for (size_t i = 0; i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];
		const char *what;

		if (sets_stack(in))
			return switches;
		if (!insn_is_branch(in))
			continue;
		what = import_leaves(code_elf(code), in);
		if (what && (first || what != throws)) /* deeper down it may be caught */
			return what;
		if (in->target && (in->target < fn->start || in->target >= fn->end))
			follow(f, code_at(code, in->target));
	}
	return NULL;
}

const char *nonlocal_exit(const struct code *code, const struct code_function *fn)
{
	struct followed f = { .fn = { fn }, .n = 1 };
	const char *what = fn->has_lsda ? throws : NULL;

	for (size_t i = 0; !what && i < f.n; i++)
		what = look_into(code, f.fn[i], i == 0, &f);
	return what;
}
