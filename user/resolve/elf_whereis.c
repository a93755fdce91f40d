/* SPDX-License-Identifier: MIT */
#include "elf_whereis.h"

#include <string.h>

#include <gelf.h>

#include "elf_handle.h"

static const char *section_at(Elf *elf, uint64_t vaddr)
{
	Elf_Scn *scn = NULL;
	size_t names;
	GElf_Shdr sh;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) && sh.sh_flags & SHF_ALLOC && !(sh.sh_flags & SHF_TLS) &&
		    vaddr >= sh.sh_addr && vaddr - sh.sh_addr < sh.sh_size)
			return elf_strptr(elf, names, sh.sh_name);
	return NULL;
}

static const char *symbol_in(Elf *elf, Elf_Scn *scn, const GElf_Shdr *sh, uint64_t vaddr,
			     uint64_t *off_ret)
{
	Elf_Data *d = elf_getdata(scn, NULL);
	size_t n = d && sh->sh_entsize ? d->d_size / sh->sh_entsize : 0;

	for (size_t i = 0; i < n; i++) {
		GElf_Sym sym;

		if (!gelf_getsym(d, (int)i, &sym) || sym.st_shndx == SHN_UNDEF ||
		    GELF_ST_TYPE(sym.st_info) == STT_TLS || vaddr < sym.st_value ||
		    vaddr - sym.st_value >= (sym.st_size ? sym.st_size : 1) || !sym.st_name)
			continue;
		*off_ret = vaddr - sym.st_value;
		return elf_strptr(elf, sh->sh_link, sym.st_name);
	}
	return NULL;
}

static const char *symbol_at(Elf *elf, uint64_t vaddr, uint64_t *off_ret)
{
	const char *name = NULL;
	Elf_Scn *scn = NULL;
	GElf_Shdr sh;

	*off_ret = 0;
	while (!name && (scn = elf_nextscn(elf, scn)))
		if (gelf_getshdr(scn, &sh) &&
		    (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM))
			name = symbol_in(elf, scn, &sh, vaddr, off_ret);
	return name && *name ? name : NULL;
}

bool whereis(struct elf_file *f, uint64_t vaddr, struct whereis *ret)
{
	const struct elf_segment *s = NULL;
	Elf *elf = elf_handle(f);

	for (size_t i = 0; (s = elf_extent(f, i)); i++)
		if (vaddr >= s->vaddr && vaddr - s->vaddr < s->memsz)
			break;
	if (!s || !elf)
		return false;
	*ret = (struct whereis){ .writable = s->writable, .in_file = vaddr - s->vaddr < s->filesz };
	ret->section = section_at(elf, vaddr);
	ret->symbol = symbol_at(elf, vaddr, &ret->symbol_off);
	if (!ret->symbol)
		ret->symbol = elf_name_at(f, vaddr); /* by a separate debug file */
	return true;
}

const char *whereis_function(struct elf_file *f, uint64_t vaddr, uint64_t *off_ret)
{
	const struct elf_function *fn = elf_function_at(f, vaddr);
	const char *name = fn ? elf_name_at(f, fn->start) : NULL;
	Elf *elf = elf_handle(f);

	if (name) {
		*off_ret = vaddr - fn->start;
		return name;
	}
	return elf ? symbol_at(elf, vaddr, off_ret) : NULL;
}
