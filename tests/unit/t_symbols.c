/* SPDX-License-Identifier: MIT */
/*
 * C functions by name and by unwinding, on this very program: elfutils and BCC say the same; the
 * unwinder finds the functions that are running.
 */
#include "unit.h"

#include <alloca.h>
#include <ucontext.h>

#include "collect/native_stack.h"
#include "collect/symbols.h"

struct fixture {
	struct target *target;
	struct files files;
};

static int setup(void **state)
{
	static struct fixture f;
	struct errmsg err;

	assert_int_equal(target_open(getpid(), &f.target, &err), 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	files_deinit(&f->files);
	target_free(f->target);
	return 0;
}

static void an_address_has_its_function_and_module(void **state)
{
	struct fixture *f = *state;
	struct symbol sym;

	assert_true(symbols_find(f->target, &f->files, (uint64_t)(uintptr_t)slurp + 1, &sym));
	assert_string_equal(sym.name, "slurp");
	assert_non_null(strstr(sym.module, "t_symbols"));
	assert_false(symbols_find(f->target, &f->files, 4096, &sym));
}

#ifdef HAVE_BCC
/* One address may have several names; each side may take another. */
static bool is_name_of(struct file *f, const char *name, uint64_t start)
{
	uint64_t at[64];
	size_t n = elf_find_all(f->elf, name, at, N_OF(at));

	while (n)
		if (at[--n] == start)
			return true;
	return false;
}

static void compare_module(struct fixture *f, const struct module *m, size_t *same,
			   size_t *different)
{
	struct file *file = files_get(&f->files, m);
	const struct elf_function *fn;
	size_t n;

	if (!file || !file->elf)
		return;
	fn = elf_functions(file->elf, &n);
	for (size_t i = 0; i < n; i += 1 + n / 500) { /* some of each */
		const char *elf = elf_name_at(file->elf, fn[i].start), *bcc;

		/* Asked for is what lies behind its first byte. */
		if (!elf || fn[i].end - fn[i].start < 2)
			continue;
		elf = symbols_name_elf(file, fn[i].start + 1);
		bcc = symbols_name_bcc(getpid(), file_uaddr(file, m, fn[i].start + 1));
		if (bcc && (!strcmp(elf, bcc) || is_name_of(file, bcc, fn[i].start))) {
			++*same;
			continue;
		}
		++*different;
		print_message("# %s+0x%llx: elfutils %s, BCC %s\n", m->path, (unsigned long long)fn[i].start,
			      elf, bcc ? bcc : "-");
	}
}

static void elfutils_and_bcc_agree(void **state)
{
	struct fixture *f = *state;
	size_t same = 0, different = 0;

	vec_each(m, &f->target->modules)
		if (strstr(m->path, "t_symbols") || strstr(m->path, "libsqlite3") ||
		    strstr(m->path, "libelf") || strstr(m->path, "libz."))
			compare_module(f, m, &same, &different);
	print_message("# %zu functions have the same name, %zu have not\n", same, different);
	assert_true(same > 300);
	assert_int_equal(different, 0);
}
#else
static void elfutils_and_bcc_agree(void **state)
{
	(void)state;
	print_message("# skipped: BCC's library is not there (libbpfcc-dev)\n");
	skip();
}
#endif

static struct lmt_native taken;

/* By words, not by memcpy(): a sanitizer would take it for a mistake. */
static void __attribute__((noinline, noclone, no_sanitize("address"))) take(const struct target *t)
{
	static const int regs[] = { REG_RBX, REG_RBP, REG_R12, REG_R13, REG_R14, REG_R15 };
	ucontext_t uc;

	getcontext(&uc);
	taken = (struct lmt_native){ .ip = (uint64_t)uc.uc_mcontext.gregs[REG_RIP],
				     .sp = (uint64_t)uc.uc_mcontext.gregs[REG_RSP] };
	for (size_t i = 0; i < N_OF(regs); i++)
		taken.reg[i] = (uint64_t)uc.uc_mcontext.gregs[regs[i]];
	taken.start = taken.sp;
	taken.len = proc_find_map(&t->maps, taken.sp)->end - taken.sp;
	if (taken.len > sizeof(taken.data))
		taken.len = sizeof(taken.data);
	for (uint32_t i = 0; i < taken.len; i += 8)
		*(uint64_t *)(taken.data + i) = *(const uint64_t *)(uintptr_t)(taken.start + i);
}

/* A frame of unknown size, which needs a frame pointer whatever the compiler was told. */
static void __attribute__((noinline, noclone)) take_below(const struct target *t, size_t n)
{
	volatile char *room = alloca(n);

	room[0] = 1;
	take(t);
	room[n - 1] = 1;
}

static void the_running_functions_are_found(void **state)
{
	static const char *const want[] = { "take", "take_below", "the_running_functions_are_found" };
	struct native_stack stack;
	struct fixture *f = *state;
	struct symbol sym;

	take_below(f->target, 100);
	native_unwind(f->target, &f->files, &taken, false, &stack);
	assert_true(stack.n > N_OF(want) + 2);
	for (size_t i = 0; i < N_OF(want); i++) {
		assert_true(symbols_find(f->target, &f->files, stack.frame[i].ip - 1, &sym));
		assert_string_equal(sym.name, want[i]);
	}
	assert_true(stack.whole);
	assert_true(symbols_find(f->target, &f->files, stack.frame[stack.n - 1].ip - 1, &sym));
	assert_string_equal(sym.name, "_start");
}

static void a_stack_cut_off_is_not_whole(void **state)
{
	struct native_stack stack;
	struct fixture *f = *state;

	take_below(f->target, 100);
	taken.len = 16;
	native_unwind(f->target, &f->files, &taken, false, &stack);
	assert_false(stack.whole);
	assert_in_range(stack.n, 1, 2);
}

/* Whatever the registers and the stack hold: it ends, with no more than there is. */
static void a_stack_of_rubbish_does_no_harm(void **state)
{
	struct native_stack stack;
	struct fixture *f = *state;

	for (unsigned int seed = 0; seed < 200; seed++) {
		take_below(f->target, 100);
		srandom(seed);
		for (size_t i = 0; i < taken.len; i += 8)
			if (random() % 4 == 0) {
				uint64_t v = random() % 2 ? taken.sp + (uint64_t)random() % 8192
							  : (uint64_t)random() << 16 ^
								    (uint64_t)random();

				memcpy(taken.data + i, &v, 8);
			}
		taken.cframe = seed % 2 ? taken.sp + (seed * 8) % 1024 : 0;
		taken.len = seed % 3 ? taken.len : UINT64_MAX;
		native_unwind(f->target, &f->files, &taken, seed & 4, &stack);
		assert_true(stack.n <= NATIVE_FRAMES);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_its_function_and_module),
		cmocka_unit_test(elfutils_and_bcc_agree),
		cmocka_unit_test(the_running_functions_are_found),
		cmocka_unit_test(a_stack_cut_off_is_not_whole),
		cmocka_unit_test(a_stack_of_rubbish_does_no_harm),
	};

	return cmocka_run_group_tests_name("symbols", tests, setup, teardown);
}
