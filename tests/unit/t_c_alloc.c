/* SPDX-License-Identifier: MIT */
/* malloc() and its kin by name, and where a probe of theirs may stand. */
#include "unit.h"

#include "attach/plan.h"
#include "block.h"
#include "elfmaker.h"
#include "resolve/c_alloc.h"
#include "resolve/file.h"

#define BYTES(s) s, sizeof(s) - 1
#define RET BYTES("\xc3")

static struct elf_file *open_image(struct image *im)
{
	struct elf_file *elf;
	struct memfile f;
	struct errmsg err;

	image_finish(im);
	f = memfile_of(im->b, sizeof(im->b));
	assert_int_equal(elf_open(f.path, &elf, &err), 0);
	memfile_close(&f);
	return elf;
}

static const struct c_alloc_function *named(const struct c_alloc_function *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			return &v[i];
	return NULL;
}

static void every_allocator_is_found_by_its_names(void **state)
{
	struct c_alloc_function fn[C_ALLOC_MAX];
	struct elf_file *elf;
	struct image im;
	size_t n;

	(void)state;
	image_init(&im);
	image_function(&im, "je_posix_memalign", RET);
	image_function(&im, "malloc", RET);
	image_function(&im, "_ZdlPv", RET);
	image_function(&im, "_Znwm", RET);
	elf = open_image(&im);
	n = c_alloc_find(elf, fn, C_ALLOC_MAX);
	assert_int_equal(n, 3);
	assert_int_equal(named(fn, n, "malloc")->what, LMT_C_MALLOC);
	assert_int_equal(named(fn, n, "je_posix_memalign")->what, LMT_C_POSIX_MEMALIGN);
	assert_int_equal(named(fn, n, "_ZdlPv")->what, LMT_C_FREE);
	assert_null(named(fn, n, "_Znwm")); /* it may throw */
	assert_non_null(c_alloc_unseen(elf, n));
	elf_free(elf);
}

static void wrappers_and_the_loader_are_no_allocators(void **state)
{
	static const char *const others[] = { "_ZdlPv", "_rtld_global" };
	struct c_alloc_function fn[C_ALLOC_MAX];
	struct elf_file *elf;
	struct image im;

	(void)state;
	for (int i = 0; i < 2; i++) {
		image_init(&im);
		image_function(&im, others[i], RET);
		if (i)
			image_function(&im, "malloc", RET);
		elf = open_image(&im);
		assert_int_equal(c_alloc_find(elf, fn, C_ALLOC_MAX), 0);
		assert_null(c_alloc_unseen(elf, 0));
		elf_free(elf);
	}
}

static void an_allocator_without_names_is_told(void **state)
{
	static const char text[] = "\xc3<jemalloc>: ";
	struct elf_file *elf;
	struct image im;

	(void)state;
	image_init(&im);
	image_function(&im, "other", text, sizeof(text));
	elf = open_image(&im);
	assert_non_null(strstr(c_alloc_unseen(elf, 0), "jemalloc"));
	elf_free(elf);
}

/* A return probe takes the word on top of the stack for the return address. */
static void nothing_is_pushed_where_a_return_probe_stands(void **state)
{
	static const struct features k = { .emulates = 1u << EMU_CALL | 1u << EMU_PUSH | 1u << EMU_JCC };
	struct file file = { .path = "image" };
	struct plan_site site;
	struct errmsg err;
	struct image im;
	uint64_t vaddr;

	(void)state;
	image_init(&im);
	vaddr = image_function(&im, "malloc", BYTES("\x48\x83\xec\x08\xe8\x00\x00\x00\x00\x48\x83\xc4\x08\xc3"));
	file.elf = open_image(&im);
	assert_int_equal(plan_extra(&file, vaddr, "malloc", LMT_PROBE_C_HEAP, 0x1, &k, &site, &err), 0);
	assert_int_equal(site.place.offset, 0);
	assert_int_equal(site.probe.pushed, 0);
	assert_int_equal(plan_extra(&file, vaddr, "malloc", LMT_PROBE_C_CALL, 0x1, &k, &site, &err), 0);
	assert_int_equal(site.place.offset, 4); /* without one the cheaper place will do */
	/* Where nothing tells how long the function is, as in musl, its first instruction serves. */
	assert_int_equal(plan_extra(&file, vaddr + 4, "malloc", LMT_PROBE_C_HEAP, 0x1, &k, &site, &err), 0);
	assert_int_equal(site.offset, vaddr + 4);
	elf_free(file.elf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocator_is_found_by_its_names),
		cmocka_unit_test(wrappers_and_the_loader_are_no_allocators),
		cmocka_unit_test(an_allocator_without_names_is_told),
		cmocka_unit_test(nothing_is_pushed_where_a_return_probe_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
