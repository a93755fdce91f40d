/* SPDX-License-Identifier: MIT */
/* Every built-in row parses and is plausible; --layout files are taken or refused as a whole. */
#include "unit.h"

#include <errno.h>

#include "config.h"
#include "resolve/layouts.h"

static size_t lines_of(const char *path)
{
	size_t len, n = 0;
	char *text = (char *)slurp(path, &len);

	for (char *p = strchr(text, '\n'); p; p = strchr(p + 1, '\n'))
		n++;
	free(text);
	return n;
}

static void every_line_of_the_tables_is_a_row(void **state)
{
	size_t n;

	(void)state;
	assert_non_null(layouts_all(&n));
	assert_int_equal(n, lines_of("user/resolve/layouts/puc.tsv") - 1 +
			    lines_of("user/resolve/layouts/luajit.tsv") - 1);
}

static void rows_are_found_by_their_id_and_no_id_occurs_twice(void **state)
{
	size_t n;
	const struct layout *all = layouts_all(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(layouts_find(all[i].id), &all[i]);
		assert_int_equal(layouts_index(&all[i]), i);
	}
	assert_null(layouts_find("lua-9.9"));
	assert_null(layouts_find(""));
}

/* A member lies inside its object and is as wide as what it holds. */
static void member(const struct layout *l, const char *name, struct lmt_cell c, int object_bytes,
		   unsigned int size)
{
	if (!layout_has(c))
		return;
	if (c.off < 0 || c.size != size || c.off + (int)c.size > object_bytes)
		fail_msg("%s: %s at %d:%u in an object of %d bytes", l->id, name, c.off, c.size,
			 object_bytes);
}

static void check_members(const struct layout *l)
{
	bool wide = l->l.family == LMT_FAMILY_PUC || l->l.gc64.off == 1;
	unsigned int ref = wide ? 8 : 4;

#define MEMBER(object, field, size) member(l, #field, l->l.field, l->l.object.off, size)
	MEMBER(size_L, L_glob, ref);
	MEMBER(size_L, L_status, 1);
	MEMBER(size_L, L_ci, 8);
	MEMBER(size_L, L_cframe, 8);
	MEMBER(size_L, L_stack, ref);
	MEMBER(size_G, G_alloc, 8);
	/* 5.5 keeps the main thread itself in global_State, with the space before it. */
	MEMBER(size_G, G_main, l->l.version == 505 ? 216 : ref);
	MEMBER(size_G, G_total, l->l.family == LMT_FAMILY_PUC ? 8 : ref);
	MEMBER(size_G, G_cur_L, ref);
	MEMBER(size_G, G_jit_base, ref);
	MEMBER(size_G, G_vmstate, 4);
	MEMBER(size_ci, ci_func, 8);
	MEMBER(size_ci, ci_prev, 8);
	MEMBER(size_ci, ci_pc, 8);
	MEMBER(size_proto, P_code, 8);
	MEMBER(size_proto, P_sizecode, 4);
#undef MEMBER
}

static void check_plausible(const struct layout *l)
{
	const struct lmt_layout *r = &l->l;

	if (!*l->id || !*l->variant)
		fail_msg("%s: a row without its texts", l->id);
	if (r->size_L.off < 64 || r->size_L.off > 512 || r->size_G.off < 200 ||
	    r->size_G.off > 8192)
		fail_msg("%s: lua_State %d bytes, global_State %d bytes", l->id, r->size_L.off,
			 r->size_G.off);
	if (r->word_delta.off == 0)
		fail_msg("%s: the scan would find every pointer to itself", l->id);
	if (r->family == LMT_FAMILY_PUC && (r->version < 501 || r->version > 505))
		fail_msg("%s: version %u", l->id, r->version);
	if (r->family == LMT_FAMILY_LUAJIT && (r->version < 20000 || r->version > 30000))
		fail_msg("%s: version %u", l->id, r->version);
	check_members(l);
}

static void values_are_plausible(void **state)
{
	size_t n;
	const struct layout *all = layouts_all(&n);

	(void)state;
	for (size_t i = 0; i < n; i++)
		check_plausible(&all[i]);
}

/* What BPF reads with one access each must hold every member that it looks at. */
static void the_hot_line_agrees_with_the_cells(void **state)
{
	size_t n;
	const struct layout *all = layouts_all(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		const struct lmt_layout *r = &all[i].l;
		const struct lmt_hot *h = &r->hot;
		unsigned int ref = h->wide ? 8 : 4;

		assert_int_equal(h->family, r->family);
		assert_int_equal(h->L_glob, r->L_glob.off);
		assert_true(h->L_bytes >= h->L_glob + ref);
		assert_true(h->L_bytes <= r->size_L.off);
		if (r->family == LMT_FAMILY_PUC) {
			assert_int_equal(h->L_ci, r->L_ci.off);
			assert_true(h->L_bytes >= h->L_ci + 8);
			assert_int_equal(h->ci_bytes, r->size_ci.off);
			assert_int_equal(h->ci_pc, r->ci_pc.off);
			assert_int_equal(h->is_51, r->version == 501);
			/* 5.2+: by callstatus; a C call must not look like Lua. */
			if (!h->is_51)
				assert_true(h->lua_mask != 0 && (h->lua_want & ~h->lua_mask) == 0);
		} else {
			assert_int_equal(h->wide, r->gc64.off == 1);
			assert_int_equal(h->fn_pc, r->fn_pc.off);
			assert_true(h->fn_bytes >= h->fn_pc + ref);
			assert_int_equal(h->size_proto, (uint32_t)r->size_proto.off);
			if (layout_has(r->G_cur_L))
				assert_int_equal(h->G_cur_L, r->G_cur_L.off);
		}
	}
}

/* Anchors, from the headers of these releases: a shifted column would move them all. */
static void known_offsets_are_known(void **state)
{
	const struct layout *l = layouts_find("lua-5.4.3..5.4.8");

	(void)state;
	assert_non_null(l);
	assert_int_equal(l->l.version, 504);
	assert_int_equal(l->l.L_glob.off, 24); /* lstate.h 5.4: CommonHeader, status, …, top, l_G */
	assert_int_equal(l->l.G_alloc.off, 0);
	assert_int_equal(l->l.G_ud.off, 8);
	assert_int_equal(l->l.G_total.off, 16);
	assert_int_equal(l->l.K_proto.off, 10);
}

static int add_text(const char *text, size_t len, struct errmsg *err)
{
	struct memfile f = memfile_of(text, len);
	int rc = layouts_add_file(f.path, err);

	memfile_close(&f);
	return rc;
}

/* The built-in table as text whose first row is under another id, and one cell another. */
static char *changed(const char *column, const char *value)
{
	size_t len, at = 0, i = 0;
	char *text = (char *)slurp("user/resolve/layouts/puc.tsv", &len), *out = malloc(len + 200);
	char *row = strchr(text, '\n') + 1, *header = strndup(text, (size_t)(row - text));
	char *cell, *names = header, *cells;

	*strchr(row, '\n') = '\0';
	cells = row;
	at = (size_t)sprintf(out, "%s", header);
	header[strlen(header) - 1] = '\0';
	while ((cell = strsep(&cells, "\t"))) {
		const char *name = strsep(&names, "\t");

		at += (size_t)sprintf(out + at, "%s%s", i++ ? "\t" : "",
				      !strcmp(name, column) ? value : cell);
	}
	sprintf(out + at, "\n");
	free(header);
	free(text);
	return out;
}

static void a_file_of_rows_comes_before_the_built_in_ones(void **state)
{
	char *text = changed("id", "my-lua");
	size_t before, after;
	struct errmsg err;

	(void)state;
	layouts_all(&before);
	assert_int_equal(add_text(text, strlen(text), &err), 0);
	free(text);
	assert_string_equal(layouts_all(&after)[0].id, "my-lua");
	assert_int_equal(after, before + 1);
	assert_non_null(layouts_find("lua-5.4.3..5.4.8"));
}

static void a_wrong_file_is_refused_with_its_line(void **state)
{
	static const struct { const char *column, *value; } rows[] = {
		{ "L.l_G", "x" }, { "L.l_G", "24:" }, { "L.l_G", "24:8x" }, { "L.l_G", "-" },
		{ "L.l_G", "99999999:8" }, { "L.l_G", "24:-8" }, { "L.l_G", "" },
		{ "L.l_G", "99999999999999999999:8" }, { "G.frealloc", "-" }, { "id", "-" },
		{ "word_delta", "-" }, { "sizeof.lua_State", "0" }, { "sizeof.lua_State", "-8" },
	};
	size_t before, after;
	struct errmsg err;

	(void)state;
	layouts_all(&before);
	for (size_t i = 0; i < N_OF(rows); i++) {
		char *text = changed(rows[i].column, rows[i].value);

		if (add_text(text, strlen(text), &err) != -EINVAL)
			fail_msg("%s = '%s' is taken", rows[i].column, rows[i].value);
		assert_non_null(strstr(err.text, "line 2 is no layout row"));
		free(text);
	}
	layouts_all(&after);
	assert_int_equal(after, before);
}

static void a_file_with_one_wrong_row_adds_none(void **state)
{
	char *good = changed("id", "half"), *both = malloc(2 * strlen(good) + 100);
	size_t before, after;
	struct errmsg err;
	const struct layout *all;

	(void)state;
	layouts_all(&before);
	sprintf(both, "%shalf\tbroken\n", good);
	assert_int_equal(add_text(both, strlen(both), &err), -EINVAL);
	assert_non_null(strstr(err.text, "line 3"));
	all = layouts_all(&after);
	assert_int_equal(after, before);
	for (size_t i = 0; i < after; i++)
		assert_string_not_equal(all[i].id, "half");
	free(good);
	free(both);
}

static void what_is_no_table_is_refused(void **state)
{
	static const char zeros[100], noise[] = "\x7f" "ELF\2\1\1\n\t\t\n\xff\xfe\n";
	struct errmsg err;

	(void)state;
	assert_int_equal(layouts_add_file("/nonexistent/x", &err), -ENOENT);
	assert_non_null(strstr(err.text, "'/nonexistent/x'"));
	assert_true(layouts_add_file("/", &err) < 0);
	assert_int_equal(add_text("", 0, &err), -EINVAL);
	assert_int_equal(add_text("\n\n", 2, &err), -EINVAL);
	assert_int_equal(add_text(zeros, sizeof(zeros), &err), -EINVAL);
	assert_int_equal(add_text(noise, sizeof(noise) - 1, &err), -EINVAL);
}

static void a_header_alone_adds_nothing(void **state)
{
	size_t before, after;
	struct errmsg err;

	(void)state;
	layouts_all(&before);
	assert_int_equal(add_text("id\tver\n", 7, &err), -EINVAL);
	layouts_all(&after);
	assert_int_equal(after, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_of_the_tables_is_a_row),
		cmocka_unit_test(rows_are_found_by_their_id_and_no_id_occurs_twice),
		cmocka_unit_test(values_are_plausible),
		cmocka_unit_test(the_hot_line_agrees_with_the_cells),
		cmocka_unit_test(known_offsets_are_known),
		cmocka_unit_test(a_wrong_file_is_refused_with_its_line),
		cmocka_unit_test(a_file_with_one_wrong_row_adds_none),
		cmocka_unit_test(what_is_no_table_is_refused),
		cmocka_unit_test(a_header_alone_adds_nothing),
		cmocka_unit_test(a_file_of_rows_comes_before_the_built_in_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
