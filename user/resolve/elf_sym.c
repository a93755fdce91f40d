/* SPDX-License-Identifier: MIT */
/* What a file names and what it relocates: symbols, imports behind PLT stubs, pointers in data. */
#include "elf.h"

#include <errno.h>
#include <gelf.h>
#include <string.h>

#include "elf_file.h"
#include "elf_handle.h"

#define MAX_SYMBOLS (4u << 20)
#define PLT_STUB_MAX 16u

static int add_symbols(struct elf_file *f, Elf_Scn *scn, const GElf_Shdr *sh, const char *source)
{
	Elf_Data *d = elf_getdata(scn, NULL);
	size_t n = d && sh->sh_entsize ? d->d_size / sh->sh_entsize : 0;

	if (n > MAX_SYMBOLS)
		return -EFBIG;
	for (size_t i = 1; i < n; i++) {
		const char *name;
		GElf_Sym sym;
		int type;

		if (!gelf_getsym(d, (int)i, &sym) || sym.st_shndx == SHN_UNDEF || !sym.st_value)
			continue;
		type = GELF_ST_TYPE(sym.st_info);
		if (type != STT_FUNC && type != STT_OBJECT && type != STT_GNU_IFUNC)
			continue;
		name = elf_strptr(elf_handle(f), sh->sh_link, sym.st_name);
		if (name && *name &&
		    vec_push(&f->symbols, (struct elf_symbol){ name, sym.st_value, source,
								     type == STT_GNU_IFUNC }))
			return -ENOMEM;
	}
	return 0;
}

/* .symtab first: it names what .dynsym hides, and agrees with it where both speak. */
static void read_symbols(struct elf_file *f)
{
	static const struct { unsigned int type; const char *name; } tables[] = {
		{ SHT_SYMTAB, "symtab" }, { SHT_DYNSYM, "dynsym" },
	};

	if (f->have_symbols)
		return;
	f->have_symbols = true;
	for (size_t t = 0; t < 2; t++) {
		Elf_Scn *scn = NULL;
		GElf_Shdr sh;

		while ((scn = elf_nextscn(elf_handle(f), scn)))
			if (gelf_getshdr(scn, &sh) && sh.sh_type == tables[t].type)
				add_symbols(f, scn, &sh, tables[t].name);
	}
}

uint64_t elf_find_sym(struct elf_file *f, const char *name, const char **source_ret)
{
	read_symbols(f);
	vec_each(s, &f->symbols) {
		if (strcmp(s->name, name))
			continue;
		if (source_ret)
			*source_ret = s->source;
		return s->vaddr;
	}
	return 0;
}

size_t elf_find_all(struct elf_file *f, const char *name, uint64_t *ret, size_t max)
{
	size_t n = 0;

	read_symbols(f);
	vec_each(s, &f->symbols) {
		size_t i = 0;

		if (strcmp(s->name, name))
			continue;
		while (i < n && ret[i] != s->vaddr)
			i++;
		if (i == n && n < max)
			ret[n++] = s->vaddr;
	}
	return n;
}

uint64_t elf_symbol(struct elf_file *f, size_t i)
{
	read_symbols(f);
	return i < f->symbols.n ? f->symbols.v[i].vaddr : 0;
}

const char *elf_name_at(struct elf_file *f, uint64_t vaddr)
{
	read_symbols(f);
	vec_each(s, &f->symbols)
		if (s->vaddr == vaddr)
			return s->name;
	return NULL;
}

bool elf_is_chooser(struct elf_file *f, uint64_t vaddr)
{
	read_symbols(f);
	vec_each(s, &f->symbols)
		if (s->vaddr == vaddr && s->chooser)
			return true;
	return false;
}

static const char *symbol_name(struct elf_file *f, size_t symtab, size_t index, uint64_t *value)
{
	Elf_Scn *scn = elf_getscn(elf_handle(f), symtab);
	Elf_Data *d = scn ? elf_getdata(scn, NULL) : NULL;
	GElf_Shdr sh;
	GElf_Sym sym;

	*value = 0;
	if (!d || !index || !gelf_getshdr(scn, &sh) || !gelf_getsym(d, (int)index, &sym))
		return NULL;
	if (sym.st_shndx != SHN_UNDEF)
		*value = sym.st_value;
	return elf_strptr(elf_handle(f), sh.sh_link, sym.st_name);
}

static void set_pointer(struct elf_file *f, uint64_t slot, uint64_t value)
{
	uint64_t *v = slot ? hashmap_get_or_add(&f->pointers, slot) : NULL;

	if (v)
		*v = value;
}

static void add_reloc(struct elf_file *f, size_t symtab, const GElf_Rela *r)
{
	uint64_t type = GELF_R_TYPE(r->r_info), value, *at;
	const char *name;

	if (type == R_X86_64_RELATIVE || type == R_X86_64_IRELATIVE) {
		set_pointer(f, r->r_offset, (uint64_t)r->r_addend);
		return;
	}
	if (type != R_X86_64_GLOB_DAT && type != R_X86_64_JUMP_SLOT && type != R_X86_64_64)
		return;
	name = symbol_name(f, symtab, GELF_R_SYM(r->r_info), &value);
	if (value)
		set_pointer(f, r->r_offset, value + (type == R_X86_64_64 ? (uint64_t)r->r_addend : 0));
	if (!name || !*name || !r->r_offset)
		return;
	if (vec_push(&f->imports, (struct elf_import){ r->r_offset, name }))
		return;
	at = hashmap_get_or_add(&f->import_by_slot, r->r_offset);
	if (at)
		*at = f->imports.n;
}

/*
 * SHT_RELR: packed relative relocations. An even word is an address and relocates that slot; an
 * odd one is a bitmap for the 63 slots behind the last one (gABI, "Relative relocations").
 */
static void add_relr(struct elf_file *f, Elf_Scn *scn)
{
	Elf_Data *d = elf_rawdata(scn, NULL);
	size_t n = d ? d->d_size / 8 : 0;
	uint64_t next = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t word;

		memcpy(&word, (char *)d->d_buf + 8 * i, 8);
		if (!(word & 1)) {
			next = word;
			word = 3;
		}
		for (unsigned int bit = 1; bit < 64; bit++) {
			uint64_t slot = next + 8ull * (bit - 1);
			const uint8_t *p;
			uint64_t value;

			if (!(word >> bit & 1))
				continue;
			p = elf_data(f, slot, 8);
			if (p) {
				memcpy(&value, p, 8);
				set_pointer(f, slot, value);
			}
		}
		next += word == 3 ? 8 : 8 * 63;
	}
}

static void read_relocs(struct elf_file *f)
{
	Elf_Scn *scn = NULL;

	if (f->have_relocs)
		return;
	f->have_relocs = true;
	while ((scn = elf_nextscn(elf_handle(f), scn))) {
		GElf_Shdr sh;
		Elf_Data *d;
		size_t n;

		if (!gelf_getshdr(scn, &sh))
			continue;
		if (sh.sh_type == 19 /* SHT_RELR, newer than elfutils 0.188's header */) {
			add_relr(f, scn);
			continue;
		}
		if (sh.sh_type != SHT_RELA || !(sh.sh_flags & SHF_ALLOC) || !sh.sh_entsize)
			continue;
		d = elf_getdata(scn, NULL);
		n = d ? d->d_size / sh.sh_entsize : 0;
		for (size_t i = 0; i < n && i < MAX_SYMBOLS; i++) {
			GElf_Rela r;

			if (gelf_getrela(d, (int)i, &r))
				add_reloc(f, sh.sh_link, &r);
		}
	}
}

const char *elf_import_slot(struct elf_file *f, uint64_t slot_vaddr)
{
	uint64_t *i;

	read_relocs(f);
	i = hashmap_lookup(&f->import_by_slot, slot_vaddr);
	return i && *i ? f->imports.v[*i - 1].name : NULL;
}

size_t elf_import_slots(struct elf_file *f, const char *name, uint64_t *ret, size_t max)
{
	size_t n = 0;

	read_relocs(f);
	vec_each(i, &f->imports)
		if (n < max && !strcmp(i->name, name))
			ret[n++] = i->slot;
	return n;
}

/* A stub is [endbr64] [bnd] jmp *slot(%rip), whatever section it is in. */
const char *elf_import_at(struct elf_file *f, uint64_t stub_vaddr)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	const uint8_t *p = elf_data(f, stub_vaddr, PLT_STUB_MAX);
	size_t at = 0;
	int32_t disp;

	if (!p)
		return NULL;
	if (!memcmp(p, endbr64, sizeof(endbr64)))
		at += sizeof(endbr64);
	if (p[at] == 0xf2)
		at++;
	if (p[at] != 0xff || p[at + 1] != 0x25)
		return NULL;
	memcpy(&disp, p + at + 2, sizeof(disp));
	return elf_import_slot(f, stub_vaddr + at + 6 + (uint64_t)(int64_t)disp);
}

uint64_t elf_pointer(struct elf_file *f, uint64_t slot_vaddr)
{
	const uint8_t *p;
	uint64_t *v, raw = 0;

	read_relocs(f);
	v = hashmap_lookup(&f->pointers, slot_vaddr);
	if (v)
		return *v;
	p = elf_data(f, slot_vaddr, 8);
	if (p)
		memcpy(&raw, p, 8);
	return raw;
}
