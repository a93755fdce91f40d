/* SPDX-License-Identifier: MIT */
/*
 * elfmaker: small x86-64 ELF files made of given functions, whole or broken on purpose.
 *
 * Address and offset are the same number. One segment holds all; functions are described by
 * .eh_frame as a compiler would, and by .symtab.
 */
#ifndef LMT_TESTS_ELFMAKER_H
#define LMT_TESTS_ELFMAKER_H

#include <elf.h>

#include "unit.h"

enum {
	IMAGE_PHDRS = 0x40,
	IMAGE_NOTE = 0x200,
	IMAGE_SHSTR = 0x280,
	IMAGE_HDR = 0x380, /* .eh_frame_hdr */
	IMAGE_TEXT = 0x1000,
	IMAGE_EH = 0x2000,
	IMAGE_SYM = 0x3000,
	IMAGE_STR = 0x3800,
	IMAGE_SHDRS = 0x4000,
	IMAGE_BYTES = 0x5000,
};

enum { SECTION_NULL, SECTION_EH, SECTION_SYM, SECTION_STR, SECTION_SHSTR, N_SECTIONS };

struct image {
	uint8_t b[IMAGE_BYTES];
	size_t text, eh, sym, str; /* where the next one goes */
};

static inline void image_put(struct image *im, size_t at, const void *bytes, size_t len)
{
	assert_true(at + len <= sizeof(im->b));
	memcpy(im->b + at, bytes, len);
}

static inline void image_u32(struct image *im, size_t *at, uint32_t v)
{
	image_put(im, *at, &v, sizeof(v));
	*at += sizeof(v);
}

static inline Elf64_Ehdr *image_ehdr(struct image *im)
{
	return (Elf64_Ehdr *)im->b;
}

static inline Elf64_Phdr *image_phdr(struct image *im, int i)
{
	return (Elf64_Phdr *)(im->b + IMAGE_PHDRS) + i;
}

static inline Elf64_Shdr *image_shdr(struct image *im, int i)
{
	return (Elf64_Shdr *)(im->b + IMAGE_SHDRS) + i;
}

static inline void image_headers(struct image *im)
{
	Elf64_Ehdr eh = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
		.e_phoff = IMAGE_PHDRS, .e_shoff = IMAGE_SHDRS, .e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 3,
		.e_shentsize = sizeof(Elf64_Shdr), .e_shnum = N_SECTIONS,
		.e_shstrndx = SECTION_SHSTR,
	};
	Elf64_Phdr load = { .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = IMAGE_BYTES,
			    .p_memsz = IMAGE_BYTES, .p_align = 0x1000 };
	Elf64_Phdr hdr = { .p_type = PT_GNU_EH_FRAME, .p_offset = IMAGE_HDR, .p_vaddr = IMAGE_HDR,
			   .p_filesz = 12, .p_memsz = 12 };
	Elf64_Phdr note = { .p_type = PT_NOTE, .p_offset = IMAGE_NOTE, .p_vaddr = IMAGE_NOTE,
			    .p_filesz = 20, .p_memsz = 20, .p_align = 4 };
	static const uint8_t build_id[] = { 4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 'G', 'N', 'U', 0,
					    0xde, 0xad, 0xbe, 0xef };
	int32_t to_eh = IMAGE_EH - (IMAGE_HDR + 4);
	uint8_t eh_hdr[12] = { 1, 0x1b, 0xff, 0xff };

	image_put(im, 0, &eh, sizeof(eh));
	*image_phdr(im, 0) = load;
	*image_phdr(im, 1) = hdr;
	*image_phdr(im, 2) = note;
	image_put(im, IMAGE_NOTE, build_id, sizeof(build_id));
	memcpy(eh_hdr + 4, &to_eh, 4);
	image_put(im, IMAGE_HDR, eh_hdr, sizeof(eh_hdr));
}

static inline void image_init(struct image *im)
{
	/* "zR", pc-relative signed 4 bytes, padded with DW_CFA_nop */
	static const uint8_t cie[] = { 20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1,
				       0x1b, 0, 0, 0, 0, 0, 0, 0 };

	memset(im, 0, sizeof(*im));
	image_headers(im);
	image_put(im, IMAGE_EH, cie, sizeof(cie));
	im->text = IMAGE_TEXT;
	im->eh = IMAGE_EH + sizeof(cie);
	im->sym = IMAGE_SYM + sizeof(Elf64_Sym);
	im->str = IMAGE_STR + 1;
}

/* Describes a range of code; its address. */
static inline void image_range(struct image *im, uint64_t start, uint32_t len)
{
	size_t at = im->eh;

	image_u32(im, &at, 16);
	image_u32(im, &at, (uint32_t)(at - IMAGE_EH)); /* back to the CIE */
	image_u32(im, &at, (uint32_t)(start - at));
	image_u32(im, &at, len);
	image_u32(im, &at, 0); /* no augmentation, nops */
	im->eh = at;
}

/* Adds a function of this machine code; its address. */
static inline uint64_t image_function(struct image *im, const char *name, const void *code,
				      size_t len)
{
	Elf64_Sym sym = { .st_name = (uint32_t)(im->str - IMAGE_STR), .st_value = im->text,
			  .st_size = len, .st_shndx = 1,
			  .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC) };
	uint64_t vaddr = im->text;

	image_put(im, im->text, code, len);
	image_put(im, im->sym, &sym, sizeof(sym));
	image_put(im, im->str, name, strlen(name) + 1);
	image_range(im, vaddr, (uint32_t)len);
	im->text += (len + 31) & ~(size_t)15;
	im->sym += sizeof(sym);
	im->str += strlen(name) + 1;
	return vaddr;
}

/* Writes the section headers; the image is whole then. */
static inline void image_finish(struct image *im)
{
	static const char names[] = "\0.eh_frame\0.symtab\0.strtab\0.shstrtab";
	const Elf64_Shdr sections[N_SECTIONS] = {
		[SECTION_EH] = { .sh_name = 1, .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC,
				 .sh_addr = IMAGE_EH, .sh_offset = IMAGE_EH,
				 .sh_size = im->eh - IMAGE_EH, .sh_addralign = 8 },
		[SECTION_SYM] = { .sh_name = 11, .sh_type = SHT_SYMTAB, .sh_offset = IMAGE_SYM,
				  .sh_size = im->sym - IMAGE_SYM, .sh_link = SECTION_STR,
				  .sh_info = 1, .sh_entsize = sizeof(Elf64_Sym),
				  .sh_addralign = 8 },
		[SECTION_STR] = { .sh_name = 19, .sh_type = SHT_STRTAB, .sh_offset = IMAGE_STR,
				  .sh_size = im->str - IMAGE_STR, .sh_addralign = 1 },
		[SECTION_SHSTR] = { .sh_name = 27, .sh_type = SHT_STRTAB,
				    .sh_offset = IMAGE_SHSTR, .sh_size = sizeof(names),
				    .sh_addralign = 1 },
	};

	image_put(im, IMAGE_SHSTR, names, sizeof(names));
	image_put(im, IMAGE_SHDRS, sections, sizeof(sections));
}

#endif
