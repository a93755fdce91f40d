/* SPDX-License-Identifier: MIT */
#include "functions.h"

#include "find.h"

uint64_t functions_find(struct file *file, unsigned int family, unsigned int number,
			struct func_answer *fn)
{
	struct finder f = { .fn = fn, .version = number };
	const struct code *code;

	for (int id = 0; id < FUNC_MAX; id++) {
		const char *source = NULL;
		uint64_t vaddr = elf_find_sym(file->elf, func_name((enum func_id)id), &source);

		if (vaddr)
			fn[id] = (struct func_answer){ .vaddr = vaddr, .how = source };
	}
	code = file_code(file);
	if (code) {
		f.code = code;
		if (family == LMT_FAMILY_LUAJIT)
			find_luajit(&f);
		else
			find_puc(&f);
	}
	for (int id = 0; id < FUNC_MAX; id++) {
		unsigned int of = func_family((enum func_id)id);

		if (!fn[id].vaddr && !fn[id].why_not)
			fn[id].why_not = of && of != family ? "other family"
				: code ? "no unique match" : file->err.text;
	}
	return f.state_block;
}
