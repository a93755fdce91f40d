/* SPDX-License-Identifier: MIT */
#include "symbols.h"

bool symbols_find(const struct target *t, struct files *files, uint64_t uaddr, struct symbol *ret)
{
	const struct module *m = target_module_at(t, uaddr);
	const struct elf_function *fn;
	struct file *f;
	uint64_t vaddr;

	if (!m)
		return false;
	f = files_get(files, m);
	*ret = (struct symbol){ .module = m->path };
	if (!f || !f->elf)
		return true;
	vaddr = file_vaddr(f, m, uaddr);
	elf_offset_of(f->elf, vaddr, &ret->offset);
	ret->name = elf_name_at(f->elf, vaddr);
	fn = ret->name ? NULL : elf_function_at(f->elf, vaddr);
	if (fn)
		ret->name = elf_name_at(f->elf, fn->start);
	return true;
}
