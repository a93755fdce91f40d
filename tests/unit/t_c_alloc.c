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

static const struct c_alloc_function *named(const struct c_alloc_function *v, size_t n,
					    const char *name)
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
	assert_non_null(c_alloc_unseen(elf, n, true));
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
		assert_null(c_alloc_unseen(elf, 0, true));
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
	assert_non_null(strstr(c_alloc_unseen(elf, 0, true), "jemalloc"));
	elf_free(elf);
}

/*
 * Writes the distance to `target` behind the opcode at code[at], of a function that will begin at
 * the image's end.
 */
static void aim(const struct image *im, uint8_t *code, size_t at, uint64_t target)
{
	uint32_t rel = (uint32_t)(target - (im->text + at + 5));

	memcpy(code + at + 1, &rel, 4);
}

struct unnamed {
	uint64_t malloc, free, realloc, callback;
	size_t n;
	struct c_alloc_function fn[C_ALLOC_MAX];
};

/*
 * A program whose allocator callback and realloc() are like this, as found. realloc_frees: it
 * calls free(); null_calls: realloc(NULL, n) calls malloc(n), else it has code of its own for
 * that.
 */
static void find_unnamed(struct unnamed *u, bool realloc_frees, bool null_calls, bool swapped)
{
	/*
	 * test rdi, rdi; je 1f; push rbx; mov rbx, rdi; call free; pop rbx; ret; 1: mov rdi, rsi;
	 * jmp malloc
	 */
	uint8_t moves[] = "\x48\x85\xff\x74\x0b\x53\x48\x89\xfb\xe8....\x5b\xc3\x48\x89\xf7\xe9....";
	/*
	 * mov rdi, rsi; test rcx, rcx; je 1f; mov rsi, rcx; jmp realloc; 1: push rax; call free;
	 * pop rdx; ret
	 */
	uint8_t calls[] = "\x48\x89\xf7\x48\x85\xc9\x74\x08\x48\x89\xce\xe9....\x50\xe8....\x5a\xc3";
	struct elf_file *elf;
	struct image im;

	image_init(&im);
	u->malloc = image_function(&im, "a", RET);
	u->free = image_function(&im, "b", RET);
	aim(&im, moves, 9, realloc_frees ? u->free : u->malloc);
	aim(&im, moves, 19, u->malloc);
	if (!null_calls)
		memcpy(moves + 16, "\x31\xc0\xc3", 3); /* xor eax, eax; ret */
	u->realloc = image_function(&im, "c", moves, sizeof(moves) - 1);
	aim(&im, calls, 11, swapped ? u->free : u->realloc);
	aim(&im, calls, 17, swapped ? u->realloc : u->free);
	u->callback = image_function(&im, "d", calls, sizeof(calls) - 1);
	elf = open_image(&im);
	u->n = c_alloc_by_callback(elf, u->callback, u->fn);
	elf_free(elf);
}

static void without_names_lua_s_allocator_leads_to_them(void **state)
{
	struct unnamed u;

	(void)state;
	find_unnamed(&u, true, true, false);
	assert_int_equal(u.n, 3);
	assert_int_equal(named(u.fn, u.n, "malloc")->vaddr, u.malloc);
	assert_int_equal(named(u.fn, u.n, "realloc")->vaddr, u.realloc);
	assert_int_equal(named(u.fn, u.n, "free")->vaddr, u.free);
}

static void what_only_looks_like_them_is_refused(void **state)
{
	struct unnamed u;

	(void)state;
	find_unnamed(&u, false, true, false); /* realloc() that never calls what frees */
	assert_int_equal(u.n, 0);
	find_unnamed(&u, true, false, false); /* …that has no malloc() to call */
	assert_int_equal(u.n, 0);
	find_unnamed(&u, true, true, true); /* the callback moves where it should free */
	assert_int_equal(u.n, 0);
}

/* A return probe takes the word on top of the stack for the return address. */
static void nothing_is_pushed_where_a_return_probe_stands(void **state)
{
	static const struct features k = { .emulates = 1u << EMU_CALL | 1u << EMU_PUSH |
						       1u << EMU_JCC };
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
	/*
	 * Where nothing tells how long the function is, as in musl, its first instruction serves.
	 */
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
		cmocka_unit_test(without_names_lua_s_allocator_leads_to_them),
		cmocka_unit_test(what_only_looks_like_them_is_refused),
		cmocka_unit_test(nothing_is_pushed_where_a_return_probe_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
