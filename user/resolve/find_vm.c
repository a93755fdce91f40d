/* SPDX-License-Identifier: MIT */
#include "find_vm.h"

#include "symfile.h"

/*
 * luaV_execute in a stripped file: instructions that make objects call the collector themselves,
 * so it calls luaC_step more than once, and of those that do it is by far the biggest.
 */
static uint64_t by_collector(struct file *f, const struct func_answer *fn)
{
	const struct code *code = fn[FUNC_LUAC_STEP].vaddr ? file_code(f) : NULL;
	const struct code_edge *e;
	uint64_t best = 0, most = 0;
	size_t n;

	if (!code)
		return 0;
	e = code_callers(code, fn[FUNC_LUAC_STEP].vaddr, &n);
	for (size_t i = 1; i < n; i++) {
		const struct code_function *caller = code_get(code, e[i].function);

		if (e[i].function != e[i - 1].function || caller->end - caller->start <= most)
			continue;
		most = caller->end - caller->start;
		best = caller->start;
	}
	return best;
}

uint64_t find_puc_vm(struct file *f, const struct func_answer *fn)
{
	struct elf_file *debug;
	uint64_t vaddr;

	f = file_first(f);
	if (!f->elf || f->vm_tried)
		return f->vm;
	f->vm_tried = true;
	vaddr = elf_find_sym(f->elf, "luaV_execute", NULL);
	if (!vaddr && (debug = symfile_get(f)))
		vaddr = elf_find_sym(debug, "luaV_execute", NULL);
	f->vm = vaddr ? vaddr : by_collector(f, fn);
	return f->vm;
}
