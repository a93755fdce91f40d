/* SPDX-License-Identifier: MIT */
/*
 * Both decoders say the same of every instruction that function search and placement look at: of
 * this program's own code, and of each copy of Lua that is installed.
 */
#include "unit.h"

#ifndef HAVE_CAPSTONE
static void both_decoders_agree(void **state)
{
	(void)state;
	print_message("skipped: no Capstone here: apt-get install libcapstone-dev\n");
	skip();
}
#else
#include <glob.h>

#include "resolve/elf.h"
#include "resolve/insn.h"

#define insn_decode other_decode
#define insn_format other_format
#ifdef BY_CAPSTONE
#include "resolve/insn_zydis.c"
#else
#include "resolve/insn_capstone.c"
#endif
#undef insn_decode
#undef insn_format

/* Operands of what is INSN_OTHER are for nobody: the libraries order some of them differently. */
static bool alike(const struct insn *a, const struct insn *b)
{
	if (a->len != b->len || a->op != b->op || a->cc != b->cc || a->emu != b->emu ||
	    a->writes != b->writes || a->target != b->target || a->ref != b->ref)
		return false;
	return a->op == INSN_OTHER || (a->n_ops == b->n_ops && !memcmp(a->o, b->o, sizeof(a->o)));
}

static void compare_segment(const char *path, const struct elf_segment *seg)
{
	struct insn a, b;
	char text[96];

	for (uint64_t at = 0; at < seg->filesz;) {
		const uint8_t *p = seg->data + at;
		size_t left = seg->filesz - at;
		bool one = insn_decode(p, left, seg->vaddr + at, &a);

		if (one != other_decode(p, left, seg->vaddr + at, &b) || (one && !alike(&a, &b))) {
			insn_format(p, left, seg->vaddr + at, text, sizeof(text));
			fail_msg("%s: they differ at %#lx: %s", path, seg->vaddr + at, text);
		}
		at += one ? a.len : 1;
	}
}

static unsigned int compare_file(const char *path)
{
	const struct elf_segment *seg;
	struct elf_file *f;
	struct errmsg err;
	unsigned int n = 0;

	assert_int_equal(elf_open(path, &f, &err), 0);
	for (size_t i = 0; (seg = elf_segment(f, i)); i++) {
		if (!seg->executable || !seg->data)
			continue;
		compare_segment(path, seg);
		n++;
	}
	elf_free(f);
	return n;
}

static void both_decoders_agree(void **state)
{
	glob_t g;

	(void)state;
	assert_true(!glob("/usr/bin/lua5.[1-4]", 0, NULL, &g));
	glob("/usr/lib/*/liblua*5.*.so.?", GLOB_APPEND, NULL, &g);
	for (size_t i = 0; i < g.gl_pathc; i++)
		assert_true(compare_file(g.gl_pathv[i]) > 0);
	print_message("compared in %zu files\n", g.gl_pathc);
	globfree(&g);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(both_decoders_agree) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
