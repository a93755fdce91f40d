/* SPDX-License-Identifier: MIT */
/* What a block is: by the allocator's tag, by its header, by both. */
#include "unit.h"

#include "block.h"
#include "collect/kind.h"
#include "resolve/layouts.h"

static void tags_are_kinds_where_the_version_passes_them(void **state)
{
	const struct layout *l54 = layouts_find("lua-5.4.3..5.4.8"), *all;
	size_t n;

	(void)state;
	all = layouts_all(&n);
	for (size_t i = 0; i < n; i++)
		if (all[i].l.family == LMT_FAMILY_LUAJIT || all[i].l.version == 501)
			for (uint32_t tag = 0; tag < 12; tag++)
				assert_int_equal(kind_of_tag(&all[i].l, tag), KIND_UNKNOWN);
	assert_int_equal(kind_of_tag(NULL, 5), KIND_UNKNOWN);
	assert_int_equal(kind_of_tag(&l54->l, 0), KIND_BUFFER);
	assert_int_equal(kind_of_tag(&l54->l, 4), KIND_STRING);
	assert_int_equal(kind_of_tag(&l54->l, 5), KIND_TABLE);
	assert_int_equal(kind_of_tag(&l54->l, 6), KIND_FUNCTION);
	assert_int_equal(kind_of_tag(&l54->l, 7), KIND_USERDATA);
	assert_int_equal(kind_of_tag(&l54->l, 8), KIND_THREAD);
	assert_int_equal(kind_of_tag(&l54->l, 9), KIND_UPVALUE);
	assert_int_equal(kind_of_tag(&l54->l, 10), KIND_PROTO); /* LUA_TPROTO of 5.4 */
	assert_int_equal(kind_of_tag(&l54->l, 3), KIND_UNKNOWN);
	assert_int_equal(kind_of_tag(&l54->l, LMT_TAG_OTHER), KIND_UNKNOWN);
	assert_int_equal(kind_of_tag(&l54->l, UINT32_MAX), KIND_UNKNOWN);
	assert_string_equal(kind_name(KIND_TABLE), "table");
	assert_string_equal(kind_name(KIND_UNKNOWN), "unknown");
}

#define BLOCK 0x10000ull

static size_t read_buffer(void *ctx, uint64_t uaddr, void *buf, size_t len)
{
	size_t n = uaddr >= BLOCK && uaddr < BLOCK + 16 ? BLOCK + 16 - uaddr : 0;

	n = n < len ? n : len;
	if (n)
		memcpy(buf, (char *)ctx + (uaddr - BLOCK), n);
	return n;
}

struct header {
	uint64_t next;
	uint8_t b8, b9; /* behind an 8-byte reference */
};

static enum block_kind kind_at(const char *layout, const void *bytes, size_t len)
{
	uint8_t block[16] = { 0 };
	struct memread mem = { .ctx = block, .read = read_buffer };

	memcpy(block, bytes, len);
	return kind_of_block(&mem, &layouts_find(layout)->l, BLOCK);
}

static enum block_kind kind_of_51(uint64_t next, uint8_t tt, uint8_t marked)
{
	struct header h = { next, tt, marked };

	return kind_at("lua-5.1..5.1.5", &h, 10);
}

static enum block_kind kind_of_gc64(uint64_t next, uint8_t gct, uint8_t marked)
{
	struct header h = { next, marked, gct };

	return kind_at("lj21-20210323-gc64", &h, 10);
}

static enum block_kind kind_of_gc32(uint32_t next, uint8_t gct, uint8_t marked)
{
	uint8_t h[6] = { 0, 0, 0, 0, marked, gct };

	memcpy(h, &next, 4);
	return kind_at("lj21-20210323-gc32", h, sizeof(h));
}

static void objects_are_known_by_their_header(void **state)
{
	(void)state;
	assert_int_equal(kind_of_51(0x7f0000001230, 4, 1), KIND_STRING);
	assert_int_equal(kind_of_51(0, 5, 2), KIND_TABLE);
	assert_int_equal(kind_of_51(0, 9, 4), KIND_PROTO);
	assert_int_equal(kind_of_51(0, 10, 1), KIND_UPVALUE);
	assert_int_equal(kind_of_gc64(0x7f0000001230, 4, 1), KIND_STRING);
	assert_int_equal(kind_of_gc64(0, 6, 1), KIND_THREAD);
	assert_int_equal(kind_of_gc64(0, 10, 1), KIND_CDATA);
	assert_int_equal(kind_of_gc64(0, 11, 1), KIND_TABLE);
	assert_int_equal(kind_of_gc64(0, 12, 1), KIND_USERDATA);
	assert_int_equal(kind_of_gc32(0x40001230, 8, 2), KIND_FUNCTION);
	assert_int_equal(kind_of_gc32(0, 9, 2), KIND_TRACE);
}

static void what_has_no_header_is_a_buffer(void **state)
{
	(void)state;
	assert_int_equal(kind_of_51(0xffff800000000000, 5, 1), KIND_BUFFER); /* no address */
	assert_int_equal(kind_of_51(0x7f0000001231, 5, 1), KIND_BUFFER);     /* not aligned */
	assert_int_equal(kind_of_51(0, 3, 1), KIND_BUFFER);                  /* a number */
	assert_int_equal(kind_of_51(0, 11, 1), KIND_BUFFER);
	assert_int_equal(kind_of_51(0, 5, 0), KIND_BUFFER);                  /* no colour */
	assert_int_equal(kind_of_51(0, 5, 0x81), KIND_BUFFER);               /* no such mark */
	assert_int_equal(kind_of_gc64(0, 13, 1), KIND_BUFFER);
	assert_int_equal(kind_of_gc64(0, 255, 255), KIND_BUFFER);
}

static void an_array_that_begins_with_nil_is_part_of_a_table(void **state)
{
	const struct lmt_layout *l = &layouts_find("lj21-20210323-gc64")->l;
	uint64_t block[4] = { UINT64_MAX, 0x4045000000000000 };
	struct memread mem = { .ctx = block, .read = read_buffer };

	(void)state;
	assert_int_equal(kind_of_block(&mem, l, BLOCK), KIND_BUFFER);
	assert_int_equal(kind_with_parts(&mem, l, BLOCK), KIND_TABLE);
	block[0] = 0x2020202020202020; /* text */
	assert_int_equal(kind_with_parts(&mem, l, BLOCK), KIND_BUFFER);
	block[0] = UINT64_MAX;
	l = &layouts_find("lua-5.1..5.1.5")->l;
	assert_int_equal(kind_with_parts(&mem, l, BLOCK), KIND_BUFFER);
}

static void what_cannot_be_read_is_unknown(void **state)
{
	uint8_t block[16] = { 0 };
	struct memread mem = { .ctx = block, .read = read_buffer };
	const struct lmt_layout *l = &layouts_find("lua-5.1..5.1.5")->l;

	(void)state;
	assert_int_equal(kind_of_block(&mem, l, BLOCK + 7), KIND_UNKNOWN); /* ends too early */
	assert_int_equal(kind_of_block(&mem, l, BLOCK + 6), KIND_BUFFER);
	assert_int_equal(kind_of_block(&mem, l, 0), KIND_UNKNOWN);
	assert_int_equal(kind_of_block(&mem, l, UINT64_MAX), KIND_UNKNOWN);
}

static void an_object_names_the_place_not_its_parts(void **state)
{
	(void)state;
	assert_int_equal(kind_naming(KIND_UNKNOWN, KIND_BUFFER), KIND_BUFFER);
	assert_int_equal(kind_naming(KIND_BUFFER, KIND_TABLE), KIND_TABLE);
	assert_int_equal(kind_naming(KIND_TABLE, KIND_BUFFER), KIND_TABLE);
	assert_int_equal(kind_naming(KIND_UPVALUE, KIND_FUNCTION), KIND_FUNCTION);
	assert_int_equal(kind_naming(KIND_TABLE, KIND_CDATA), KIND_TABLE); /* the first stays */
	assert_int_equal(kind_naming(KIND_STRING, KIND_TABLE), KIND_TABLE);
	assert_int_equal(kind_naming(KIND_STRING, KIND_PROTO), KIND_PROTO); /* its constants */
	assert_int_equal(kind_naming(KIND_FUNCTION, KIND_PROTO), KIND_PROTO);
	assert_true(kind_is_final(KIND_TABLE));
	assert_false(kind_is_final(KIND_BUFFER));
	assert_true(kind_is_final(KIND_PROTO));
	assert_false(kind_is_final(KIND_UPVALUE));
	assert_false(kind_is_final(KIND_UNKNOWN));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_are_kinds_where_the_version_passes_them),
		cmocka_unit_test(objects_are_known_by_their_header),
		cmocka_unit_test(what_has_no_header_is_a_buffer),
		cmocka_unit_test(an_array_that_begins_with_nil_is_part_of_a_table),
		cmocka_unit_test(what_cannot_be_read_is_unknown),
		cmocka_unit_test(an_object_names_the_place_not_its_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
