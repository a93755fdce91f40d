/* SPDX-License-Identifier: MIT */
#include "symbols.h"

#include "resolve/elf_whereis.h"
#include "resolve/symfile.h"

/* The name of the function that holds the address. */
static const char *name_in(struct elf_file *elf, uint64_t vaddr, const struct elf_function *fn)
{
	const char *name = elf_name_at(elf, vaddr);
	uint64_t ignored;

	if (!name && fn)
		name = elf_name_at(elf, fn->start);
	return name ? name : whereis_function(elf, vaddr, &ignored);
}

const char *symbols_name_elf(struct file *f, uint64_t vaddr)
{
	const struct elf_function *fn = elf_function_at(f->elf, vaddr);
	const char *name = name_in(f->elf, vaddr, fn);
	struct elf_file *debug = name ? NULL : symfile_get(f);

	return debug ? name_in(debug, vaddr, fn) : name;
}

bool symbols_find(const struct target *t, struct files *files, uint64_t uaddr, struct symbol *ret)
{
	const struct module *m = target_module_at(t, uaddr);
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
#ifdef WITH_BCC
	ret->name = symbols_name_bcc(t->pid, uaddr);
#else
	ret->name = symbols_name_elf(f, vaddr);
#endif
	return true;
}
