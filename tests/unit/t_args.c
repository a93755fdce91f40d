/* SPDX-License-Identifier: MIT */
/* Which arguments a function has, by its code. */
#include "unit.h"

#include "resolve/code.h"

/* Written down, so that no compiler decides what they read. */
#define FUNCTION(name, body)                                                               \
	__asm__(".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n"        \
		".cfi_startproc\n" body "\n.cfi_endproc\n.size " #name ", . - " #name "\n")

FUNCTION(args_none, "xor %edi, %edi; mov $1, %ecx; mov %rcx, %rax; ret");
FUNCTION(args_first, "push %rbx; mov %rdi, %rbx; movzbl (%rbx), %eax; pop %rbx; ret");
FUNCTION(args_two, "push %rcx; mov %rsi, %rax; add %rdi, %rax; pop %rcx; ret");
FUNCTION(args_scratch, "mov (%rdi), %rcx; lea (%rdi,%rsi), %rdx; cmp %rdx, %rcx; ret");
FUNCTION(args_four, "mov %rdi, (%rsi); mov %rcx, 8(%rdx); ret");
FUNCTION(args_behind, "test %rsi, %rsi; jmp args_third");
FUNCTION(args_third, "mov %rdx, %rax; ret");

static unsigned int args_of(struct elf_file *f, const char *name)
{
	return code_args_read(f, elf_find_sym(f, name, NULL));
}

static void what_is_read_before_it_is_written_is_an_argument(void **state)
{
	struct elf_file *f;
	struct errmsg err;

	(void)state;
	assert_int_equal(elf_open("/proc/self/exe", &f, &err), 0);
	assert_int_equal(args_of(f, "args_none"), 0);
	assert_int_equal(args_of(f, "args_first"), 0x1);
	assert_int_equal(args_of(f, "args_two"), 0x3);
	assert_int_equal(args_of(f, "args_scratch"), 0x3);
	assert_int_equal(args_of(f, "args_four"), 0xf);
	assert_int_equal(args_of(f, "args_behind"), 0x6);
	elf_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_before_it_is_written_is_an_argument),
	};

	return cmocka_run_group_tests_name("args", tests, NULL, NULL);
}
