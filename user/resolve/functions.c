/* SPDX-License-Identifier: MIT */
#include "functions.h"

#include <string.h>

#include "find.h"
#include "symfile.h"

#define MAX_NAMESAKES 8

/* What the symbols of the file, else those kept apart from it, say of one function. */
struct named {
	uint64_t vaddr[MAX_NAMESAKES];
	size_t n;
	const char *source;
};

static void look_up(struct file *file, enum func_id id, struct named *ret)
{
	struct elf_file *debug;

	*ret = (struct named){ .n = 0 };
	if (elf_find_sym(file->elf, func_name(id), &ret->source)) {
		ret->n = elf_find_all(file->elf, func_name(id), ret->vaddr, MAX_NAMESAKES);
		return;
	}
	debug = symfile_get(file);
	if (!debug)
		return;
	ret->n = elf_find_all(debug, func_name(id), ret->vaddr, MAX_NAMESAKES);
	ret->source = file_first(file)->debug_source;
}

static void use_symbols(struct file *file, struct func_answer *fn, struct named *named)
{
	for (int id = 0; id < FUNC_MAX; id++) {
		look_up(file, (enum func_id)id, &named[id]);
		if (named[id].n == 1)
			fn[id] = (struct func_answer){ .vaddr = named[id].vaddr[0],
						       .how = named[id].source };
	}
}

/* A name that several functions share: structure says which, and must find one of them. */
static void settle(struct func_answer *a, const struct named *named)
{
	if (named->n < 2)
		return;
	for (size_t i = 0; a->vaddr && i < named->n; i++) {
		if (named->vaddr[i] != a->vaddr)
			continue;
		a->agrees = named->source;
		return;
	}
	*a = (struct func_answer){ .why_not = a->vaddr ? "two methods disagree"
						       : "several functions have this name" };
}

uint64_t functions_find(struct file *file, unsigned int family, unsigned int number,
			struct func_answer *fn)
{
	struct finder f = { .fn = fn, .version = number };
	struct named named[FUNC_MAX];
	const struct code *code;

	use_symbols(file, fn, named);
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

		settle(&fn[id], &named[id]);
		if (!fn[id].vaddr && !fn[id].why_not)
			fn[id].why_not = of && of != family ? "other family"
				: code ? "no unique match" : file->err.text;
	}
	return f.state_block;
}
