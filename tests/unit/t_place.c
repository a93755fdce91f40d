/* SPDX-License-Identifier: MIT */
/* Where a probe is placed: first bytes of real functions, and cases that compilers rarely make. */
#include "unit.h"

#include "attach/place.h"
#include "block.h"
#include "elfmaker.h"

#define BYTES(s) s, sizeof(s) - 1

#define EMULATES_ALL                                                                        \
	(1u << EMU_PUSH | 1u << EMU_JMP | 1u << EMU_JCC | 1u << EMU_CALL | 1u << EMU_NOP1 | \
	 1u << EMU_NOPL)

struct placed {
	struct image im;
	struct elf_file *elf;
	struct code *code;
	struct placement at;
	bool ok;
};

static void place(struct placed *p, const char *bytes, size_t len, const struct place_want *want)
{
	struct memfile f;
	struct errmsg err;
	uint64_t vaddr;

	image_init(&p->im);
	vaddr = image_function(&p->im, "fn", bytes, len);
	image_finish(&p->im);
	f = memfile_of(p->im.b, sizeof(p->im.b));
	assert_int_equal(elf_open(f.path, &p->elf, &err), 0);
	memfile_close(&f);
	assert_int_equal(code_new(p->elf, &p->code, &err), 0);
	p->ok = place_probe(code_at(p->code, vaddr), p->elf, want, &p->at);
	if (p->ok)
		assert_int_equal(p->at.vaddr, vaddr + p->at.offset);
}

static void release(struct placed *p)
{
	code_free(p->code);
	elf_free(p->elf);
}

/*
 * The first bytes of Debian 12's functions (luajit 2.1.0~beta3+git20220320+dfsg-4.1+deb12u1, lua5.1
 * 5.1.5-9, lua5.2 5.2.4-3, lua5.3 5.3.6-2, lua5.4 5.4.4-3+deb12u1), and where the cheap one is.
 */
static const struct {
	const char *name;
	unsigned int args, needed;
	bool wants_return;
	unsigned int offset;
	bool emulated;
	const char *bytes;
	size_t len;
} recorded[] = {
	{ "luajit lua_newstate", 2, 0x1, false, 0, true,
	  BYTES("\x41\x56\x31\xc9\x31\xc0\xba\x20\x00\x00\x00\x41\x55\x49\x89\xf5\x41\x54\x49"
		"\x89\xfc") },
	{ "luajit lua_close", 1, 0x1, false, 0, true,
	  BYTES("\x41\x55\x41\xbd\x0a\x00\x00\x00\x41\x54\x4c\x8d\x25\xdf\x52\xfd\xff\x55\x53"
		"\x48\x83\xec\x08") },
	{ "luajit lj_alloc_f", 4, 0xe, true, 3, true,
	  BYTES("\x48\x85\xc9\x74\x1b\x48\x85\xf6\x74\x0e\x48\x89\xca\xe9\xce\xfd\xff\xff\x66"
		"\x0f\x1f\x44\x00\x00") },
	{ "luajit lj_alloc_malloc", 2, 0x2, false, 0, true,
	  BYTES("\x41\x55\x41\x54\x55\x53\x48\x89\xfb\x48\x83\xec\x08\x48\x81\xfe\xf0\x00\x00\x00") },
	{ "luajit lj_alloc_free", 2, 0x2, false, 3, true,
	  BYTES("\x48\x85\xf6\x0f\x84\x5f\x01\x00\x00\x41\x57\x48\x8d\x56\xf0\x41\x56\x41\x55"
		"\x41\x54\x55\x53") },
	{ "luajit lj_trace_exit", 2, 0x1, false, 0, true,
	  BYTES("\x41\x57\x49\x89\xff\x41\x56\x41\x55\x41\x54\x55\x53\x48\x89\xf3\x48\x83\xec\x38") },
	{ "luajit lj_err_mem", 1, 0x1, false, 0, true,
	  BYTES("\x53\x80\x7f\x0b\x06\x48\x89\xfb\x74\x61\x48\xb8\xff\xff\xff\xff\xff\x7f\x00"
		"\x00\x48\x8b\x57\x20") },
	{ "lua5.1 lua_close", 1, 0x1, false, 0, true,
	  BYTES("\x55\x53\x48\x8d\x1d\x17\xfc\xff\xff\x48\x83\xec\x08\x48\x8b\x47\x20\x48\x8b"
		"\xa8\xb0\x00\x00\x00") },
	{ "lua5.1 l_alloc", 4, 0xe, true, 6, true,
	  BYTES("\x48\x89\xf7\x48\x85\xc9\x74\x08\x48\x89\xce\xe9\x70\xe3\xfe\xff\x48\x83\xec\x08") },
	{ "lua5.1 luaM_realloc_", 4, 0xf, false, 0, true,
	  BYTES("\x41\x56\x49\x89\xfe\x41\x55\x49\x89\xd5\x55\x53\x48\x89\xcb\x48\x83\xec\x18"
		"\x48\x8b\x6f\x20") },
	{ "lua5.1 luaC_step", 1, 0x1, false, 0, true,
	  BYTES("\x41\x54\x49\x89\xfc\x55\x53\x48\x8b\x6f\x20\x8b\x85\x94\x00\x00\x00\x8d\x1c\x80") },
	{ "lua5.1 luaD_throw", 2, 0x3, false, 0, true,
	  BYTES("\x41\x54\x41\x89\xf4\x55\x48\x89\xfd\x48\x83\xec\x08\x48\x8b\xbf\xa8\x00\x00"
		"\x00\x48\x85\xff") },
	{ "lua5.1 close_state", 1, 0x1, false, 0, true,
	  BYTES("\x55\x48\x89\xfd\x53\x48\x83\xec\x08\x48\x8b\x77\x40\x48\x8b\x5f\x20\xe8\x1a"
		"\xac\xff\xff") },
	{ "lua5.2 lua_close", 1, 0x1, false, 0, false,
	  BYTES("\x48\x8b\x47\x18\x48\x8b\xb8\x08\x01\x00\x00\xe9\x90\xfa\xff\xff\xb8\x01\x00"
		"\x00\x00\x48\x39\xf7") },
	{ "lua5.2 l_alloc", 4, 0xe, true, 6, true,
	  BYTES("\x48\x89\xf7\x48\x85\xc9\x74\x08\x48\x89\xce\xe9\xe0\xdd\xfe\xff\x48\x83\xec\x08") },
	{ "lua5.2 luaM_realloc_", 4, 0xf, false, 0, true,
	  BYTES("\x41\x57\x49\x89\xff\x41\x56\x49\x89\xd6\x41\x55\x49\x89\xf5\x41\x54\x45\x31"
		"\xe4\x55\x53") },
	{ "lua5.2 luaC_step", 1, 0x1, false, 8, true,
	  BYTES("\x48\x8b\x47\x18\x80\x78\x57\x00\x74\x06\xe9\xb1\xfd\xff\xff\x90\x48\xc7\xc6"
		"\xa0\xf6\xff\xff") },
	{ "lua5.2 luaD_throw", 2, 0x3, false, 11, true,
	  BYTES("\x48\x83\xec\x08\x48\x8b\x47\x70\x48\x85\xc0\x74\x14\x89\xb0\xd0\x00\x00\x00"
		"\x48\x8d\x78\x08") },
	{ "lua5.2 close_state", 1, 0x1, false, 0, true,
	  BYTES("\x41\x54\x55\x48\x89\xfd\x53\x48\x8b\x77\x38\x4c\x8b\x67\x18\xe8\x1c\x9e\xff"
		"\xff\x48\x89\xef") },
	{ "lua5.3 lua_close", 1, 0x1, false, 0, false,
	  BYTES("\x48\x8b\x47\x18\x48\x8b\xb8\xc8\x00\x00\x00\xe9\xd0\xf9\xff\xff\xb8\x01\x00"
		"\x00\x00\x48\x39\xf7") },
	{ "lua5.3 l_alloc", 4, 0xe, true, 0, true,
	  BYTES("\x41\x54\x55\x48\x89\xf5\x53\x48\x85\xc9\x74\x34\x48\x89\xce\x48\x89\xef\x49"
		"\x89\xd4\x48\x89\xcb") },
	{ "lua5.3 luaM_realloc_", 4, 0xf, false, 0, true,
	  BYTES("\x41\x57\x49\x89\xd7\x41\x56\x49\x89\xf6\x41\x55\x41\x54\x45\x31\xe4\x55\x48"
		"\x89\xfd\x53") },
	{ "lua5.3 luaC_step", 1, 0x1, false, 0, true,
	  BYTES("\x41\x54\x55\x48\x89\xfd\x53\x4c\x8b\x67\x18\x31\xdb\x49\x8b\x74\x24\x18") },
	{ "lua5.3 luaD_throw", 2, 0x3, false, 0, true,
	  BYTES("\x53\x48\x83\xec\x10\x48\x8b\x47\x58\x48\x85\xc0\x74\x14\x89\xb0\xd0\x00\x00"
		"\x00\x48\x8d\x78\x08") },
	{ "lua5.3 close_state", 1, 0x1, false, 0, true,
	  BYTES("\x41\x54\x55\x53\x48\x8b\x77\x38\x48\x89\xfb\x4c\x8b\x67\x18\xe8\x2c\x98\xff"
		"\xff\x48\x89\xdf") },
	{ "lua5.4 lua_newstate", 2, 0x1, false, 0, true,
	  BYTES("\x41\x55\xb9\x58\x06\x00\x00\xba\x08\x00\x00\x00\x41\x54\x49\x89\xfc\x55\x48"
		"\x89\xf5\x31\xf6\x53") },
	{ "lua5.4 lua_close", 1, 0x1, false, 0, false,
	  BYTES("\x48\x8b\x47\x18\x48\x8b\xb8\x08\x01\x00\x00\xe9\x40\xf8\xff\xff\x48\x8b\x4f\x18") },
	{ "lua5.4 l_alloc", 4, 0xe, true, 6, true,
	  BYTES("\x48\x89\xf7\x48\x85\xc9\x74\x08\x48\x89\xce\xe9\x60\x80\xfe\xff\x48\x83\xec\x08") },
	{ "lua5.4 luaM_realloc_", 4, 0xf, false, 0, true,
	  BYTES("\x41\x56\x49\x89\xfe\x41\x55\x41\x54\x49\x89\xf4\x55\x48\x89\xd5\x53\x4c\x8b"
		"\x6f\x18\x48\x89\xcb") },
	{ "lua5.4 luaM_malloc_", 3, 0x7, false, 3, true,
	  BYTES("\x48\x85\xf6\x74\x43\x41\x55\x48\x89\xf1\x49\x89\xfd\x41\x54\x55\x48\x63\xea"
		"\x53\x48\x89\xea") },
	{ "lua5.4 luaM_free_", 3, 0x7, false, 0, true,
	  BYTES("\x55\x31\xc9\x48\x89\xd5\x53\x48\x83\xec\x08\x48\x8b\x5f\x18\x48\x8b\x7b\x08"
		"\xff\x13") },
	{ "lua5.4 luaC_step", 1, 0x1, false, 0, true,
	  BYTES("\x41\x56\x41\x55\x41\x54\x55\x53\x48\x83\xec\x10\x48\x8b\x5f\x18\x64\x48\x8b"
		"\x04\x25\x28\x00") },
	{ "lua5.4 luaD_throw", 2, 0x3, false, 0, true,
	  BYTES("\x55\x53\x48\x89\xfb\x48\x83\xec\x08\x48\x8b\x7f\x58\x48\x85\xff\x74\x14\x89"
		"\xb7\xd0\x00\x00\x00") },
	{ "lua5.4 close_state", 1, 0x1, false, 0, true,
	  BYTES("\x41\x54\x55\x53\x4c\x8b\x67\x18\x48\x89\xfb\x41\xf6\x44\x24\x58\x0f\x75\x14"
		"\x48\x8d\x47\x60") },
};

static void recorded_functions_get_their_cheap_site(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OF(recorded); i++) {
		struct place_want want = { recorded[i].args, recorded[i].needed,
					   recorded[i].wants_return, EMULATES_ALL };
		struct placed p;

		place(&p, recorded[i].bytes, recorded[i].len, &want);
		if (!p.ok || p.at.offset != recorded[i].offset ||
		    p.at.emulated != recorded[i].emulated)
			fail_msg("%s: +%u '%s', emulated %d", recorded[i].name, p.at.offset,
				 p.at.insn, p.at.emulated);
		for (unsigned int a = 0; a < recorded[i].args; a++)
			if (recorded[i].needed >> a & 1)
				assert_int_not_equal(p.at.reg[a], LMT_REG_LOST);
		if (recorded[i].wants_return)
			assert_int_equal(p.at.pushed, 0);
		assert_true(p.at.insn[0] != '\0');
		assert_true(p.at.emulated == !p.at.why);
		release(&p);
	}
}

static const struct place_want allocator = { 4, 0xe, true, EMULATES_ALL };

static void arguments_are_followed_into_other_registers(void **state)
{
	struct placed p;

	(void)state;
	/* l_alloc of 5.4: mov rdi, rsi; test rcx, rcx; je */
	place(&p, BYTES("\x48\x89\xf7\x48\x85\xc9\x74\x08\x48\x89\xce\xc3"), &allocator);
	assert_int_equal(p.at.reg[0], LMT_REG_LOST); /* ud was overwritten */
	assert_int_equal(p.at.reg[1], REG_SI);
	assert_int_equal(p.at.reg[2], REG_DX);
	assert_int_equal(p.at.reg[3], REG_CX);
	release(&p);
	/* mov r8, rsi; xor esi, esi; test rcx, rcx; je: ptr is in r8 only */
	place(&p, BYTES("\x49\x89\xf0\x31\xf6\x48\x85\xc9\x74\x01\xc3\xc3"), &allocator);
	assert_int_equal(p.at.offset, 8);
	assert_int_equal(p.at.reg[1], REG_8);
	release(&p);
	/* mov eax, esi copies half a pointer: no copy; then esi is lost */
	place(&p, BYTES("\x89\xf0\x31\xf6\x74\x01\xc3\xc3"), &allocator);
	assert_int_equal(p.at.offset, 0);
	assert_false(p.at.emulated);
	assert_string_equal(p.at.why, "its arguments are gone before a cheap instruction");
	release(&p);
}

static void a_lost_argument_that_nobody_needs_does_no_harm(void **state)
{
	const struct place_want entry = { 2, 1, false, EMULATES_ALL };
	struct placed p;

	(void)state;
	/* xor esi, esi; push rbp */
	place(&p, BYTES("\x31\xf6\x55\xc3"), &entry);
	assert_int_equal(p.at.offset, 2);
	assert_true(p.at.emulated);
	assert_int_equal(p.at.reg[0], REG_DI);
	assert_int_equal(p.at.reg[1], LMT_REG_LOST);
	release(&p);
}

static void the_site_is_behind_endbr64(void **state)
{
	struct placed p;

	(void)state;
	place(&p, BYTES("\xf3\x0f\x1e\xfa\x55\xc3"), &allocator);
	assert_int_equal(p.at.offset, 4);
	assert_true(p.at.emulated);
	release(&p);
}

static void a_branch_target_is_no_site(void **state)
{
	struct placed p;

	(void)state;
	/* test rcx, rcx; L: push rbp; …; jne L: the push runs once per round of a loop */
	place(&p, BYTES("\x48\x85\xc9\x55\x48\x85\xc9\x75\xfa\xc3"), &allocator);
	assert_int_equal(p.at.offset, 0);
	assert_false(p.at.emulated);
	release(&p);
	/* a loop to the very entry is a real entry: push rbp; …; jne entry */
	place(&p, BYTES("\x55\x48\x85\xc9\x75\xfa\xc3"), &allocator);
	assert_int_equal(p.at.offset, 0);
	assert_true(p.at.emulated);
	release(&p);
}

static void a_return_probe_needs_the_return_address_on_top(void **state)
{
	const struct place_want entry = { 4, 0xe, false, EMULATES_ALL };
	/* sub rsp, 8; test rcx, rcx; je */
	static const char code[] = "\x48\x83\xec\x08\x48\x85\xc9\x74\x01\xc3\xc3";
	struct placed p;

	(void)state;
	place(&p, code, sizeof(code) - 1, &allocator);
	assert_int_equal(p.at.offset, 0);
	assert_false(p.at.emulated);
	release(&p);
	place(&p, code, sizeof(code) - 1, &entry);
	assert_int_equal(p.at.offset, 7);
	assert_int_equal(p.at.pushed, 8);
	release(&p);
	/* and rsp, -16: nobody knows how far it moved */
	place(&p, BYTES("\x48\x83\xe4\xf0\x55\xc3"), &allocator);
	assert_int_equal(p.at.offset, 0);
	assert_false(p.at.emulated);
	release(&p);
}

static void nothing_behind_a_call_or_return_is_looked_at(void **state)
{
	struct placed p;

	(void)state;
	place(&p, BYTES("\x48\x85\xc9\xc3\x55\xc3"), &allocator); /* test; ret; push */
	assert_int_equal(p.at.offset, 0);
	assert_false(p.at.emulated);
	assert_string_equal(p.at.why, "no instruction near its entry is emulated by the kernel");
	release(&p);
	place(&p, BYTES("\x48\x85\xc9\xff\xe0\x55\xc3"), &allocator); /* test; jmp rax; push */
	assert_false(p.at.emulated);
	release(&p);
}

static void what_the_kernel_cannot_emulate_is_no_cheap_site(void **state)
{
	/* nopl 0(rax, rax): 5 bytes; push rbp */
	static const char code[] = "\x0f\x1f\x44\x00\x00\x55\xc3";
	struct place_want old = allocator;
	struct placed p;

	(void)state;
	place(&p, code, sizeof(code) - 1, &allocator);
	assert_int_equal(p.at.offset, 0);
	assert_true(p.at.emulated);
	release(&p);
	old.emulates = EMULATES_ALL & ~(1u << EMU_NOPL);
	place(&p, code, sizeof(code) - 1, &old);
	assert_int_equal(p.at.offset, 5);
	assert_true(p.at.emulated);
	release(&p);
	old.emulates = 0;
	place(&p, code, sizeof(code) - 1, &old);
	assert_int_equal(p.at.offset, 0);
	assert_false(p.at.emulated);
	release(&p);
	/* push with an operand-size prefix is stepped by every kernel: 66 55 */
	place(&p, BYTES("\x66\x55\xc3"), &allocator);
	assert_false(p.at.emulated);
	release(&p);
}

static void bytes_that_are_no_code_carry_no_probe(void **state)
{
	struct placed p;

	(void)state;
	place(&p, BYTES("\x06\x07"), &allocator); /* push es, pop es: gone in 64-bit mode */
	assert_false(p.ok);
	assert_string_equal(p.at.why, "its code could not be decoded");
	release(&p);
	/* cut in the middle of an instruction: what comes before still counts */
	place(&p, BYTES("\x48\x85\xc9\x74\x00\x48\x89"), &allocator);
	assert_true(p.ok);
	assert_int_equal(p.at.offset, 3);
	release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_functions_get_their_cheap_site),
		cmocka_unit_test(arguments_are_followed_into_other_registers),
		cmocka_unit_test(a_lost_argument_that_nobody_needs_does_no_harm),
		cmocka_unit_test(the_site_is_behind_endbr64),
		cmocka_unit_test(a_branch_target_is_no_site),
		cmocka_unit_test(a_return_probe_needs_the_return_address_on_top),
		cmocka_unit_test(nothing_behind_a_call_or_return_is_looked_at),
		cmocka_unit_test(what_the_kernel_cannot_emulate_is_no_cheap_site),
		cmocka_unit_test(bytes_that_are_no_code_carry_no_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
