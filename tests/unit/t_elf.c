/* SPDX-License-Identifier: MIT */
/* elf, ehframe, code: good files are read right; cut and lying ones give an error or less. */
#include "unit.h"

#include <errno.h>

#include "elfmaker.h"
#include "resolve/cfi.h"
#include "resolve/code.h"
#include "resolve/ehframe.h"
#include "resolve/elf.h"
#include "resolve/identify.h"

static const uint8_t ret_only[] = { 0xc3 };
static const uint8_t push_pop[] = { 0x55, 0x5d, 0xc3 };

/*
 * elfutils 0.188 loses the copy that elf_getdata() makes of a misaligned section when the section
 * is damaged. (That we free what is ours, t_place sees, with whole files.)
 */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libelf.so";
}

struct good {
	struct image im;
	uint64_t first, second, third;
};

/* Three functions; the third calls the first and jumps to the second. */
static void make_good(struct good *g)
{
	uint8_t caller[] = { 0xe8, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0 };
	int32_t to;

	image_init(&g->im);
	g->first = image_function(&g->im, "first", push_pop, sizeof(push_pop));
	g->second = image_function(&g->im, "second", ret_only, sizeof(ret_only));
	to = (int32_t)(g->first - (g->im.text + 5));
	memcpy(caller + 1, &to, 4);
	to = (int32_t)(g->second - (g->im.text + 10));
	memcpy(caller + 6, &to, 4);
	g->third = image_function(&g->im, "third", caller, sizeof(caller));
	image_finish(&g->im);
}

static int open_bytes(const void *bytes, size_t len, struct elf_file **ret, struct errmsg *err)
{
	struct memfile f = memfile_of(bytes, len);
	int rc;

	err->text[0] = '\0';
	rc = elf_open(f.path, ret, err);
	memfile_close(&f);
	return rc;
}

static struct elf_file *open_image(const struct image *im)
{
	struct elf_file *f;
	struct errmsg err;

	assert_int_equal(open_bytes(im->b, sizeof(im->b), &f, &err), 0);
	return f;
}

static void a_good_file_tells_what_it_holds(void **state)
{
	struct good g;
	struct elf_file *f;
	const char *source;
	uint64_t offset;

	(void)state;
	make_good(&g);
	f = open_image(&g.im);
	assert_string_equal(elf_build_id(f), "deadbeef");
	assert_int_equal(elf_find_sym(f, "second", &source), g.second);
	assert_string_equal(source, "symtab");
	assert_int_equal(elf_find_sym(f, "secon", NULL), 0);
	assert_string_equal(elf_name_at(f, g.third), "third");
	assert_null(elf_name_at(f, g.third + 1));
	assert_true(elf_is_code(f, g.first));
	assert_true(elf_offset_of(f, g.first, &offset));
	assert_int_equal(offset, g.first);
	assert_memory_equal(elf_data(f, g.first, 3), push_pop, 3);
	assert_null(elf_data(f, IMAGE_BYTES - 2, 3));
	assert_non_null(elf_data(f, IMAGE_BYTES - 2, 2));
	assert_null(elf_data(f, UINT64_MAX, 2));
	assert_null(elf_data(f, g.first, SIZE_MAX));
	assert_int_equal(elf_find_bytes(f, push_pop, 3, 0), g.first);
	assert_int_equal(elf_find_bytes(f, push_pop, 3, g.first + 1), 0);
	elf_free(f);
}

static void functions_come_from_the_unwind_table(void **state)
{
	const struct elf_function *fn;
	struct elf_file *f;
	struct good g;
	size_t n;

	(void)state;
	make_good(&g);
	f = open_image(&g.im);
	fn = elf_functions(f, &n);
	assert_int_equal(n, 3);
	assert_int_equal(fn[0].start, g.first);
	assert_int_equal(fn[0].end, g.first + sizeof(push_pop));
	assert_ptr_equal(elf_function_at(f, g.first + 2), &fn[0]);
	assert_null(elf_function_at(f, g.first + sizeof(push_pop)));
	assert_null(elf_function_at(f, 0));
	elf_free(f);
}

static void functions_are_found_without_section_headers(void **state)
{
	struct elf_file *f;
	struct good g;
	size_t n;

	(void)state;
	make_good(&g);
	image_ehdr(&g.im)->e_shoff = 0;
	image_ehdr(&g.im)->e_shnum = 0;
	image_ehdr(&g.im)->e_shstrndx = 0;
	f = open_image(&g.im);
	elf_functions(f, &n);
	assert_int_equal(n, 3);
	elf_free(f);
}

static void a_lying_section_does_not_hide_the_unwind_table(void **state)
{
	struct elf_file *f;
	struct good g;
	size_t n;

	(void)state;
	make_good(&g);
	image_shdr(&g.im, SECTION_EH)->sh_addr = 0x7fffffff0000;
	f = open_image(&g.im);
	elf_functions(f, &n);
	assert_int_equal(n, 3);
	elf_free(f);
}

static void overlapping_functions_are_dropped(void **state)
{
	const struct elf_function *fn;
	struct elf_file *f;
	struct good g;
	size_t n;

	(void)state;
	make_good(&g);
	image_range(&g.im, g.first + 1, 4096);       /* a lie about the middle of first */
	image_range(&g.im, 0x7000000, 16);           /* outside the file */
	image_range(&g.im, g.second, 0);             /* empty */
	image_finish(&g.im);
	f = open_image(&g.im);
	fn = elf_functions(f, &n);
	assert_int_equal(n, 3);
	for (size_t i = 1; i < n; i++)
		assert_true(fn[i - 1].end <= fn[i].start);
	elf_free(f);
}

static void calls_and_tail_jumps_are_edges(void **state)
{
	struct elf_file *f;
	struct errmsg err;
	struct code *c;
	struct good g;
	size_t n;

	(void)state;
	make_good(&g);
	f = open_image(&g.im);
	assert_int_equal(code_new(f, &c, &err), 0);
	/* so small a file is swept for functions without a table too */
	assert_true(code_count(c) >= 3);
	assert_int_equal(code_callers(c, g.first, &n)->at, g.third);
	assert_int_equal(n, 1);
	assert_true(code_calls(c, code_at(c, g.third), g.second));
	assert_false(code_calls(c, code_at(c, g.first), g.second));
	assert_int_equal(code_caller_count(c, g.second), 1);
	assert_null(code_callers(c, g.third, &n));
	assert_null(code_at(c, g.first + 1));
	assert_ptr_equal(code_holding(c, g.first + 1), code_at(c, g.first));
	code_free(c);
	elf_free(f);
}

static void a_mapping_gives_the_bias(void **state)
{
	struct elf_file *f;
	struct good g;

	(void)state;
	make_good(&g);
	image_phdr(&g.im, 0)->p_vaddr = 0x400000;
	f = open_image(&g.im);
	assert_int_equal(elf_bias(f, 0x7f0000001000, 0x1000), 0x7f0000000000 - 0x400000);
	elf_free(f);
}

/* Everything that is asked of a file, on whatever it is. */
static void exercise(struct elf_file *f)
{
	const struct elf_segment *s;
	const struct elf_function *fn;
	struct identity id;
	struct errmsg err;
	struct code *c;
	struct cfi_row row;
	volatile unsigned int sum = 0;
	struct cfi *cfi;
	size_t n;

	for (size_t i = 0; (s = elf_segment(f, i)); i++)
		if (s->data && s->filesz) /* what is promised can be read to its end */
			sum += s->data[0] + s->data[s->filesz - 1];
	elf_find_sym(f, "no such name", NULL);
	elf_name_at(f, 1);
	elf_import_slot(f, 8);
	elf_pointer(f, 0x3000);
	elf_find_bytes(f, "Lua 5.", 6, 0);
	identify_file(f, &id);
	fn = elf_functions(f, &n);
	cfi = cfi_new(f);
	for (size_t i = 0; i < n; i += 7) {
		elf_import_at(f, fn[i].start);
		if (cfi)
			cfi_row(cfi, fn[i].start + 1, &row);
	}
	cfi_free(cfi);
	if (!code_new(f, &c, &err))
		code_free(c);
}

/* Opens bytes; a refusal must come with a sentence. True when it was opened. */
static bool survive(const void *bytes, size_t len)
{
	struct elf_file *f;
	struct errmsg err;
	int rc = open_bytes(bytes, len, &f, &err);

	if (rc) {
		assert_int_equal(rc, -ENOEXEC);
		assert_non_null(strstr(err.text, "/proc/self/fd/"));
		return false;
	}
	assert_string_equal(err.text, "");
	exercise(f);
	elf_free(f);
	return true;
}

static void what_is_no_such_file_is_refused(void **state)
{
	struct elf_file *f;
	struct errmsg err;
	struct good g;

	(void)state;
	assert_int_equal(elf_open("/nonexistent", &f, &err), -ENOENT);
	assert_non_null(strstr(err.text, "cannot open '/nonexistent'"));
	assert_int_equal(elf_open("/", &f, &err), -EFBIG);
	assert_int_equal(elf_open("/dev/zero", &f, &err), -EFBIG);
	assert_false(survive("", 0));
	assert_false(survive("#!/bin/sh\n", 10));
	assert_false(survive("!<arch>\n", 8));
	make_good(&g);
	image_ehdr(&g.im)->e_machine = EM_AARCH64;
	assert_int_equal(open_bytes(g.im.b, sizeof(g.im.b), &f, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "not an x86-64 file"));
	make_good(&g);
	image_ehdr(&g.im)->e_ident[EI_CLASS] = ELFCLASS32;
	assert_false(survive(g.im.b, sizeof(g.im.b)));
	make_good(&g);
	image_ehdr(&g.im)->e_phnum = 0;
	assert_int_equal(open_bytes(g.im.b, sizeof(g.im.b), &f, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "no valid program headers"));
}

static void cut_files_are_survived(void **state)
{
	struct good g;
	size_t len;
	uint8_t *b = slurp("/proc/self/exe", &len);

	(void)state;
	make_good(&g);
	assert_true(survive(g.im.b, sizeof(g.im.b)));
	for (size_t n = 0; n < sizeof(g.im.b); n += n < 600 ? 13 : 100)
		survive(g.im.b, n);
	free(b);
	b = slurp("/bin/true", &len);
	for (size_t n = 0; n < len; n += 300)
		survive(b, n);
	free(b);
	assert_false(survive(g.im.b, 63));
}

static const uint64_t absurd[] = {
	0, 1, 0x7f, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
	0x7fffffffffffffff, 0x8000000000000000, 0xfffffffffffff000, UINT64_MAX,
};

/* Each word of the headers, one after the other, becomes each absurd value. */
static void lie_in(const struct image *good, size_t from, size_t to, size_t width)
{
	struct image im;

	for (size_t at = from; at + width <= to; at += width) {
		for (size_t i = 0; i < N_OF(absurd); i++) {
			im = *good;
			memcpy(im.b + at, &absurd[i], width);
			survive(im.b, sizeof(im.b));
		}
	}
}

static void lying_headers_are_survived(void **state)
{
	struct good g;

	(void)state;
	make_good(&g);
	lie_in(&g.im, 16, sizeof(Elf64_Ehdr), 2);
	lie_in(&g.im, 24, 48, 8);
	lie_in(&g.im, IMAGE_PHDRS, IMAGE_PHDRS + 3 * sizeof(Elf64_Phdr), 8);
	lie_in(&g.im, IMAGE_SHDRS, IMAGE_SHDRS + N_SECTIONS * sizeof(Elf64_Shdr), 8);
	lie_in(&g.im, IMAGE_SHDRS, IMAGE_SHDRS + N_SECTIONS * sizeof(Elf64_Shdr), 4);
	lie_in(&g.im, IMAGE_NOTE, IMAGE_NOTE + 12, 4);
	lie_in(&g.im, IMAGE_HDR, IMAGE_HDR + 12, 4);
	lie_in(&g.im, IMAGE_SYM, g.im.sym, 8);
	lie_in(&g.im, IMAGE_EH, g.im.eh, 4);
}

static void random_damage_to_a_real_file_is_survived(void **state)
{
	size_t len;
	uint8_t *good = slurp("/bin/true", &len), *bad = malloc(len);
	uint32_t seed = 4711;

	(void)state;
	for (int round = 0; round < 150; round++) {
		memcpy(bad, good, len);
		for (int i = 0; i < 20; i++) {
			size_t at;

			seed = seed * 1664525 + 1013904223;
			/* Every second one into the headers, where it counts. */
			at = i & 1 ? (seed >> 8) % len : (seed >> 8) % 1024;
			if (i % 4 == 2)
				at = len - 1 - (seed >> 8) % 1800; /* section headers */
			if (at >= 20)
				bad[at] = (uint8_t)(seed >> 16);
		}
		survive(bad, len);
	}
	free(good);
	free(bad);
}

struct ranges {
	uint64_t start[16], end[16];
	bool lsda[16];
	size_t n;
	int stop_after;
};

static int note_range(uint64_t start, uint64_t end, bool has_lsda, void *ctx)
{
	struct ranges *r = ctx;

	assert_true(r->n < N_OF(r->start));
	assert_true(end > start);
	r->start[r->n] = start;
	r->end[r->n] = end;
	r->lsda[r->n++] = has_lsda;
	return r->stop_after && (int)r->n == r->stop_after ? 77 : 0;
}

/* As gcc writes it for C++: personality, LSDA; the second FDE has none. */
static const uint8_t eh_cxx[] = {
	28, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'P', 'L', 'R', 0, 1, 0x78, 16, 7, 0x9b, 1, 2, 3, 4, 0x1b,
	0x1b, 0, 0, 0, 0, 0, 0, 0,
	20, 0, 0, 0, 36, 0, 0, 0, 0, 1, 0, 0, 0x20, 0, 0, 0, 4, 0x10, 0, 0, 0, 0, 0, 0,
	20, 0, 0, 0, 60, 0, 0, 0, 0, 2, 0, 0, 0x30, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0,
};

static void landing_pads_are_noticed(void **state)
{
	struct ranges r = { .n = 0 };

	(void)state;
	assert_int_equal(ehframe_each(eh_cxx, sizeof(eh_cxx), 0x1000, note_range, &r), 0);
	assert_int_equal(r.n, 2);
	assert_int_equal(r.start[0], 0x1000 + 40 + 0x100);
	assert_int_equal(r.end[0], r.start[0] + 0x20);
	assert_true(r.lsda[0]);
	assert_int_equal(r.start[1], 0x1000 + 64 + 0x200);
	assert_false(r.lsda[1]);
}

static void the_walk_ends_when_told(void **state)
{
	struct ranges r = { .stop_after = 1 };

	(void)state;
	assert_int_equal(ehframe_each(eh_cxx, sizeof(eh_cxx), 0x1000, note_range, &r), 77);
	assert_int_equal(r.n, 1);
}

/* In a buffer of exactly this size, so that a sanitizer sees one byte too many. */
static size_t ranges_in(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct ranges r = { .n = 0 };
	size_t n;

	memcpy(exact, bytes, len);
	ehframe_each(exact, len, 0x1000, note_range, &r);
	n = r.n;
	free(exact);
	return n;
}

static void a_cut_unwind_table_gives_what_is_whole(void **state)
{
	(void)state;
	for (size_t n = 0; n <= sizeof(eh_cxx); n++) {
		size_t found = ranges_in(eh_cxx, n);

		assert_int_equal(found, n < 56 ? 0 : n < 80 ? 1 : 2);
	}
}

static void every_changed_byte_of_an_unwind_table_is_survived(void **state)
{
	uint8_t bad[sizeof(eh_cxx)];

	(void)state;
	for (size_t at = 0; at < sizeof(bad); at++) {
		for (unsigned int v = 0; v < 256; v++) {
			memcpy(bad, eh_cxx, sizeof(bad));
			bad[at] = (uint8_t)v;
			assert_true(ranges_in(bad, sizeof(bad)) <= 2);
		}
	}
}

static void the_header_tells_where_the_table_is(void **state)
{
	static const uint8_t good[] = { 1, 0x1b, 3, 0x3b, 0xfc, 0x0f, 0, 0 };
	uint8_t bad[sizeof(good)];

	(void)state;
	assert_int_equal(ehframe_from_hdr(good, sizeof(good), 0x5000), 0x6000);
	assert_int_equal(ehframe_from_hdr(good, 7, 0x5000), 0);
	assert_int_equal(ehframe_from_hdr(good, 0, 0x5000), 0);
	memcpy(bad, good, sizeof(good));
	bad[0] = 2;
	assert_int_equal(ehframe_from_hdr(bad, sizeof(bad), 0x5000), 0);
	bad[0] = 1;
	bad[1] = 0xff;
	assert_int_equal(ehframe_from_hdr(bad, sizeof(bad), 0x5000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_file_tells_what_it_holds),
		cmocka_unit_test(functions_come_from_the_unwind_table),
		cmocka_unit_test(functions_are_found_without_section_headers),
		cmocka_unit_test(a_lying_section_does_not_hide_the_unwind_table),
		cmocka_unit_test(overlapping_functions_are_dropped),
		cmocka_unit_test(calls_and_tail_jumps_are_edges),
		cmocka_unit_test(a_mapping_gives_the_bias),
		cmocka_unit_test(what_is_no_such_file_is_refused),
		cmocka_unit_test(cut_files_are_survived),
		cmocka_unit_test(lying_headers_are_survived),
		cmocka_unit_test(random_damage_to_a_real_file_is_survived),
		cmocka_unit_test(landing_pads_are_noticed),
		cmocka_unit_test(the_walk_ends_when_told),
		cmocka_unit_test(a_cut_unwind_table_gives_what_is_whole),
		cmocka_unit_test(every_changed_byte_of_an_unwind_table_is_survived),
		cmocka_unit_test(the_header_tells_where_the_table_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
