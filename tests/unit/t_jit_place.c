/* SPDX-License-Identifier: MIT */
/*
 * jit_place on a trace made by hand: which bytecode lies between two snapshots; and on lies.
 * LuaJIT 2.1 GC64 (lj_bc.h, lj_jit.h, lj_obj.h at a32aeadc).
 */
#include "unit.h"

#include "collect/jit_place.h"

/* Everything lies in one buffer at BASE. */
enum {
	BASE = 0x400000, BYTES = 0x8000,
	AT_GG = BASE + 0x1000, AT_TRACES = BASE + 0x3000, AT_TRACE = BASE + 0x3100,
	AT_SNAPS = BASE + 0x3400, AT_MAP = BASE + 0x3600, AT_IR = BASE + 0x3800,
	AT_PROTO = BASE + 0x4000, AT_OTHER = BASE + 0x4400, AT_FN = BASE + 0x4800,
	AT_BLOCK = BASE + 0x5000, AT_MCODE = BASE + 0x6000, AT_MAKER = BASE + 0x7000,
	MCODE_BYTES = 0x400, FIRST_CONSTANT = 0x7ff0,
};

/* Bytecodes of 2.1 by number. */
enum { BC_ISLT, BC_MOV = 18, BC_CAT = 38, BC_TNEW = 52, BC_TSETV = 60, BC_CALL = 66, BC_RET = 74,
       BC_JMP = 88, BC_FUNCF = 89 };

struct fixture {
	uint8_t mem[BYTES];
	struct memread read;
	struct lj lj;
};

static size_t read_buffer(void *ctx, uint64_t uaddr, void *buf, size_t len)
{
	struct fixture *f = ctx;
	size_t n = uaddr >= BASE && uaddr < BASE + BYTES ? BASE + BYTES - uaddr : 0;

	n = n < len ? n : len;
	if (n)
		memcpy(buf, f->mem + (uaddr - BASE), n);
	return n;
}

static void store(struct fixture *f, uint64_t at, unsigned int size, uint64_t v)
{
	assert_true(at >= BASE && at + size <= BASE + BYTES);
	memcpy(f->mem + (at - BASE), &v, size);
}

static void set(struct fixture *f, uint64_t base, struct lmt_cell c, uint64_t v)
{
	assert_true(layout_has(c));
	store(f, base + (uint64_t)c.off, c.size, v);
}

static uint64_t pc_of(const struct fixture *f, unsigned int i)
{
	return AT_PROTO + (uint64_t)f->lj.l->size_proto.off + 4ull * i;
}

static void snap(struct fixture *f, unsigned int i, unsigned int mcofs, unsigned int bytecode)
{
	uint64_t at = AT_SNAPS + (uint64_t)f->lj.l->size_snap.off * i;

	set(f, at, f->lj.l->snap_mcofs, mcofs);
	set(f, at, f->lj.l->snap_mapofs, 4 * i);
	set(f, at, f->lj.l->snap_nent, 0);
	store(f, AT_MAP + 16ull * i, 8, pc_of(f, bytecode) << 8);
}

static void bytecodes(struct fixture *f, const uint8_t *ops, unsigned int n)
{
	set(f, AT_PROTO, f->lj.l->P_sizecode, n);
	for (unsigned int i = 0; i < n; i++)
		store(f, pc_of(f, i), 4, ops[i] | (ops[i] == BC_JMP ? 0x7ff00000u : 0));
}

/* A call of the function that makes blocks, which returns to an offset of the machine code. */
static void call_before(struct fixture *f, unsigned int mcofs)
{
	store(f, AT_MCODE + mcofs - 5, 1, 0xe8);
	store(f, AT_MCODE + mcofs - 4, 4, (uint32_t)(AT_MAKER - (AT_MCODE + mcofs)));
}

/* A Lua function that makes a string is among the constants of the trace. */
static void tie_to_a_maker(struct fixture *f)
{
	static const uint8_t ops[] = { BC_FUNCF, BC_CAT, BC_RET };
	const struct lmt_layout *l = f->lj.l;
	uint64_t code = AT_OTHER + (uint64_t)l->size_proto.off;

	set(f, AT_OTHER, l->P_sizecode, N_OF(ops));
	for (unsigned int i = 0; i < N_OF(ops); i++)
		store(f, code + 4 * i, 4, ops[i]);
	store(f, AT_FN + 9, 1, 8);
	set(f, AT_FN, l->fn_pc, code);
	store(f, AT_IR + 4, 1, 8); /* a function… */
	store(f, AT_IR + 8, 8, AT_FN); /* …this */
}

/* func; mov; tnew; mov; tsetv; cat; ret: with snapshots before tnew, tsetv, cat and ret */
static int setup(void **state)
{
	static const uint8_t ops[] = {
		BC_FUNCF, BC_MOV, BC_TNEW, BC_MOV, BC_TSETV, BC_CAT, BC_RET
	};
	struct fixture *f = calloc(1, sizeof(*f));
	const struct lmt_layout *l = &layouts_find("lj21-20210323-gc64")->l;
	uint64_t g = AT_GG + (uint64_t)l->GG_G.off, J = AT_GG + (uint64_t)l->GG_J.off;

	f->read = (struct memread){ .ctx = f, .read = read_buffer };
	f->lj = (struct lj){ .mem = &f->read, .l = l, .g = g, .ref = 8 };
	set(f, J, l->J_trace, AT_TRACES);
	set(f, J, l->J_sizetrace, 2);
	store(f, AT_TRACES + 8, 8, AT_TRACE);
	set(f, AT_TRACE, l->tr_mcode, AT_MCODE);
	set(f, AT_TRACE, l->tr_szmcode, MCODE_BYTES);
	set(f, AT_TRACE, l->tr_nsnap, 4);
	set(f, AT_TRACE, l->tr_snap, AT_SNAPS);
	set(f, AT_TRACE, l->tr_snapmap, AT_MAP);
	set(f, AT_TRACE, l->tr_ir, AT_IR - 8 * FIRST_CONSTANT);
	set(f, AT_TRACE, l->tr_nk, FIRST_CONSTANT);
	set(f, AT_TRACE, l->tr_startpt, AT_PROTO);
	bytecodes(f, ops, N_OF(ops));
	snap(f, 0, 0, 1);
	snap(f, 1, 0x100, 4);
	snap(f, 2, 0x200, 5);
	snap(f, 3, 0x300, 6);
	memset(f->mem + (AT_MCODE - BASE), 0x90, MCODE_BYTES); /* nop */
	call_before(f, 0x80);
	call_before(f, 0x180);
	call_before(f, 0x280);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

/* A block with the header of this type; 0: an array or the like. */
static uint64_t block(struct fixture *f, unsigned int gct)
{
	store(f, AT_BLOCK + 8, 1, 1); /* white */
	store(f, AT_BLOCK + 9, 1, gct);
	return AT_BLOCK;
}

static unsigned int bytecode_at(struct fixture *f, unsigned int mcofs, uint64_t blk, bool *certain)
{
	struct jit_place place;

	assert_true(jit_place(&f->lj, AT_MCODE + mcofs, blk, &place));
	assert_int_equal(place.proto, AT_PROTO);
	if (certain)
		*certain = place.certain;
	return (unsigned int)((place.pc - pc_of(f, 1)) / 4); /* pc is behind the instruction */
}

static void the_one_instruction_between_two_snapshots_is_certain(void **state)
{
	struct fixture *f = *state;
	bool certain;

	assert_int_equal(bytecode_at(f, 0x80, block(f, 11), &certain), 2); /* a table: tnew */
	assert_true(certain);
	assert_int_equal(bytecode_at(f, 0x280, block(f, 4), &certain), 5); /* a string: cat */
	assert_true(certain);
}

static void memory_of_an_object_is_placed_but_not_certain(void **state)
{
	struct fixture *f = *state;
	bool certain;

	assert_int_equal(bytecode_at(f, 0x180, block(f, 0), &certain), 4); /* tsetv grows */
	assert_false(certain);
	assert_int_equal(bytecode_at(f, 0x180, 0, &certain), 4);
	assert_false(certain);
}

static void two_alike_on_the_way_are_not_certain(void **state)
{
	static const uint8_t ops[] = {
		BC_FUNCF, BC_MOV, BC_TNEW, BC_TNEW, BC_TSETV, BC_CAT, BC_RET
	};
	struct fixture *f = *state;
	bool certain;

	bytecodes(f, ops, N_OF(ops));
	assert_int_equal(bytecode_at(f, 0x80, block(f, 11), &certain), 2);
	assert_false(certain);
}

/* As many calls as instructions: each has its own. */
static void of_two_alike_the_number_of_the_call_tells_which(void **state)
{
	static const uint8_t ops[] = {
		BC_FUNCF, BC_MOV, BC_TNEW, BC_TNEW, BC_TSETV, BC_CAT, BC_RET
	};
	struct fixture *f = *state;
	bool certain;

	bytecodes(f, ops, N_OF(ops));
	call_before(f, 0x40);
	assert_int_equal(bytecode_at(f, 0x40, block(f, 11), &certain), 2);
	assert_true(certain);
	assert_int_equal(bytecode_at(f, 0x80, block(f, 11), &certain), 3);
	assert_true(certain);
}

/* A table that is left out does not call: which one did? */
static void more_calls_or_fewer_than_instructions_are_not_certain(void **state)
{
	struct fixture *f = *state;
	bool certain;

	call_before(f, 0x40);
	assert_int_equal(bytecode_at(f, 0x80, block(f, 11), &certain), 2);
	assert_false(certain);
}

/* A call that ends the machine code of a snapshot returns to where the next begins. */
static void a_call_right_before_a_snapshot_is_not_behind_it(void **state)
{
	struct fixture *f = *state;
	bool certain;

	call_before(f, 0x300);
	assert_int_equal(bytecode_at(f, 0x300, block(f, 4), &certain), 5);
	assert_false(certain);
	store(f, AT_MCODE + 0x280 - 5, 4, 0x90909090);
	store(f, AT_MCODE + 0x280 - 1, 1, 0x90);
	assert_int_equal(bytecode_at(f, 0x300, block(f, 4), &certain), 5);
	assert_true(certain);
}

static void behind_a_branch_nothing_is_certain(void **state)
{
	static const uint8_t ops[] = {
		BC_FUNCF, BC_ISLT, BC_TNEW, BC_MOV, BC_TSETV, BC_CAT, BC_RET
	};
	struct fixture *f = *state;
	bool certain;

	bytecodes(f, ops, N_OF(ops));
	assert_int_equal(bytecode_at(f, 0x80, block(f, 11), &certain), 2);
	assert_false(certain);
}

static void what_a_built_in_makes_belongs_to_its_call(void **state)
{
	static const uint8_t ops[] = {
		BC_FUNCF, BC_MOV, BC_CALL, BC_MOV, BC_TSETV, BC_CAT, BC_RET
	};
	struct fixture *f = *state;
	bool certain;

	bytecodes(f, ops, N_OF(ops));
	assert_int_equal(bytecode_at(f, 0x80, block(f, 4), &certain), 2);
	assert_true(certain);
	/* Was it a function of the trace that makes strings? The line stays that of the call. */
	tie_to_a_maker(f);
	assert_int_equal(bytecode_at(f, 0x80, block(f, 4), &certain), 2);
	assert_false(certain);
}

static void the_way_ends_at_a_jump_back(void **state)
{
	static const uint8_t ops[] = {
		BC_FUNCF, BC_MOV, BC_JMP, BC_TNEW, BC_TSETV, BC_CAT, BC_RET
	};
	struct fixture *f = *state;
	bool certain;

	bytecodes(f, ops, N_OF(ops));
	/* The table cannot be made by the tnew behind the loop. */
	assert_int_equal(bytecode_at(f, 0x80, block(f, 11), &certain), 1);
	assert_false(certain);
}

/* Before 2021. */
static void without_offsets_the_first_maker_behind_the_start_is_taken(void **state)
{
	struct fixture *f = *state;
	struct lmt_layout l = *f->lj.l;
	bool certain;

	l.snap_mcofs.off = LMT_OFF_NONE;
	f->lj.l = &l;
	set(f, AT_TRACE, l.tr_startpc, pc_of(f, 0));
	assert_int_equal(bytecode_at(f, 0x80, block(f, 11), &certain), 2);
	assert_false(certain);
	assert_int_equal(bytecode_at(f, 0x80, block(f, 4), NULL), 5);
	assert_int_equal(bytecode_at(f, 0x80, 0, NULL), 0);
}

static void an_address_outside_any_trace_is_refused(void **state)
{
	struct fixture *f = *state;
	struct jit_place place;

	assert_false(jit_place(&f->lj, AT_MCODE, 0, &place)); /* behind no call */
	assert_false(jit_place(&f->lj, AT_MCODE + MCODE_BYTES + 1, 0, &place));
	assert_false(jit_place(&f->lj, 0, 0, &place));
	store(f, AT_TRACES + 8, 8, 0); /* flushed */
	assert_false(jit_place(&f->lj, AT_MCODE + 0x80, 0, &place));
}

/* Each word that the search goes by becomes absurd: any answer will do, as long as it ends. */
static void lies_in_memory_are_survived(void **state)
{
	static const uint64_t absurd[] = { 0, 1, 0xffff, 0xffffffff, BASE, BASE + BYTES - 1,
					   AT_TRACE, AT_PROTO, 0x7fffffffffffffff, UINT64_MAX };
	struct fixture *f = *state, good = *f;
	const struct lmt_layout *l = f->lj.l;
	uint64_t J = AT_GG + (uint64_t)l->GG_J.off;
	const struct { uint64_t base; struct lmt_cell cell; } words[] = {
		{ J, l->J_trace }, { J, l->J_sizetrace }, { AT_TRACE, l->tr_mcode },
		{ AT_TRACE, l->tr_szmcode }, { AT_TRACE, l->tr_nsnap }, { AT_TRACE, l->tr_snap },
		{ AT_TRACE, l->tr_snapmap }, { AT_TRACE, l->tr_ir }, { AT_TRACE, l->tr_startpt },
		{ AT_SNAPS, l->snap_mcofs }, { AT_SNAPS, l->snap_mapofs },
		{ AT_SNAPS, l->snap_nent }, { AT_PROTO, l->P_sizecode },
		{ AT_TRACES, { 8, 8 } }, { AT_MAP, { 0, 8 } }, { AT_MAP, { 16, 8 } },
	};

	for (size_t i = 0; i < N_OF(words); i++) {
		for (size_t k = 0; k < N_OF(absurd); k++) {
			struct jit_place place = { 0 };

			memcpy(f->mem, good.mem, sizeof(f->mem));
			set(f, words[i].base, words[i].cell, absurd[k]);
			jit_place(&f->lj, AT_MCODE + 0x80, AT_BLOCK, &place);
			jit_place(&f->lj, AT_MCODE + 0x380, UINT64_MAX, &place);
		}
	}
	memcpy(f->mem, good.mem, sizeof(f->mem));
	assert_int_equal(bytecode_at(f, 0x80, block(f, 11), NULL), 2);
}

#define PLACE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(the_one_instruction_between_two_snapshots_is_certain),
		PLACE_TEST(memory_of_an_object_is_placed_but_not_certain),
		PLACE_TEST(two_alike_on_the_way_are_not_certain),
		PLACE_TEST(of_two_alike_the_number_of_the_call_tells_which),
		PLACE_TEST(more_calls_or_fewer_than_instructions_are_not_certain),
		PLACE_TEST(a_call_right_before_a_snapshot_is_not_behind_it),
		PLACE_TEST(behind_a_branch_nothing_is_certain),
		PLACE_TEST(what_a_built_in_makes_belongs_to_its_call),
		PLACE_TEST(the_way_ends_at_a_jump_back),
		PLACE_TEST(without_offsets_the_first_maker_behind_the_start_is_taken),
		PLACE_TEST(an_address_outside_any_trace_is_refused),
		PLACE_TEST(lies_in_memory_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
