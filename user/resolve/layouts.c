/* SPDX-License-Identifier: MIT */
#include "layouts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/embed.h"
#include "base/vec.h"
#include "config.h"

#define MAX_COLUMNS 400
#define MAX_FILE (4u << 20)

EMBED(layouts_puc_tsv, "user/resolve/layouts/puc.tsv");
EMBED(layouts_luajit_tsv, "user/resolve/layouts/luajit.tsv");

static vec_of(struct layout) rows;

struct field {
	const char *name;
	size_t at; /* of the lmt_cell in struct layout */
	const char *column[2]; /* by family */
};

static const struct field fields[] = {
#define FIELD(f, puc, lj, doc) { #f, offsetof(struct layout, l.f), { puc, lj } },
	LMT_LAYOUT_FIELDS(FIELD)
#undef FIELD
#define FIELD(f, puc, lj) { #f, offsetof(struct layout, c.f), { puc, lj } },
	LAYOUT_CENSUS_FIELDS(FIELD)
#undef FIELD
};
#define N_FIELDS (sizeof(fields) / sizeof(fields[0]))

struct table {
	char *text; /* cut into cells in place; kept for the life of the program */
	const char *columns[MAX_COLUMNS];
	size_t n_columns;
};

static size_t split(char *line, char sep, const char **cells, size_t max)
{
	size_t n = 0;

	while (line && n < max) {
		char *end = strchr(line, sep);

		cells[n++] = line;
		if (end)
			*end++ = '\0';
		line = end;
	}
	return n;
}

static const char *cell(const struct table *t, const char **cells, size_t n, const char *column)
{
	for (size_t i = 0; i < t->n_columns && i < n; i++)
		if (!strcmp(t->columns[i], column))
			return strcmp(cells[i], "-") ? cells[i] : NULL;
	return NULL;
}

static const char *text_cell(const struct table *t, const char **cells, size_t n,
			     const char *column)
{
	const char *s = cell(t, cells, n, column);

	return s ? s : "";
}

/* "off:size", a plain number, or nothing. */
static bool parse_cell(const char *s, struct lmt_cell *ret)
{
	char *end;
	long off, size = 0;

	*ret = (struct lmt_cell){ LMT_OFF_NONE, 0 };
	if (!s)
		return true;
	off = strtol(s, &end, 10);
	if (end == s)
		return false;
	if (*end == ':') {
		s = end + 1;
		size = strtol(s, &end, 10);
	}
	if (end == s || *end || off < -65536 || off > 1 << 24 || size < 0 || size > 65536)
		return false;
	*ret = (struct lmt_cell){ (__s32)off, (__u32)size };
	return true;
}

static __u8 off8(struct lmt_cell c)
{
	return c.off > 0 && c.off < 256 ? (__u8)c.off : 0;
}

static __u16 off16(struct lmt_cell c)
{
	return c.off > 0 && c.off < 65536 ? (__u16)c.off : 0;
}

static unsigned int end_of(struct lmt_cell c, unsigned int so_far)
{
	unsigned int end = layout_has(c) ? (unsigned int)c.off + c.size : 0;

	return end > so_far ? end : so_far;
}

/* Which callstatus means Lua code: a bit that is set (5.2, 5.3) or one that is not (5.4+). */
static void set_status_test(struct lmt_layout *l)
{
	if (layout_has(l->K_CIST_LUA))
		l->hot.lua_mask = l->hot.lua_want = (__u32)l->K_CIST_LUA.off;
	else if (layout_has(l->K_CIST_C))
		l->hot.lua_mask = (__u32)l->K_CIST_C.off;
	else
		l->hot.is_51 = 1;
	l->hot.pc_lags = l->hot.lua_mask && !l->hot.lua_want;
}

/*
 * LuaJIT: its state, running thread and trace number lie in one block, with the main thread. Reading
 * a few hundred bytes at once costs less than two reads.
 */
static void set_block(struct lmt_layout *l)
{
	unsigned int end = end_of(l->G_vmstate, end_of(l->G_jit_base, end_of(l->G_cur_L, 0)));

	if (l->family != LMT_FAMILY_LUAJIT || !layout_has(l->G_cur_L) || l->block_L.off != 0 ||
	    !layout_has(l->GG_G) || (unsigned int)l->GG_G.off + end > LMT_GG_WORDS * 8)
		return;
	l->hot.gg_G = off16(l->GG_G);
	l->hot.gg_bytes = (__u16)((unsigned int)l->GG_G.off + end);
}

static void set_hot(struct lmt_layout *l)
{
	bool puc = l->family == LMT_FAMILY_PUC;
	unsigned int bytes = end_of(l->L_tag, 0);

	bytes = end_of(l->L_status, end_of(l->L_glob, bytes));
	if (puc && l->version == 501)
		bytes = end_of(l->L_base_ci, end_of(l->L_savedpc, bytes));
	bytes = puc ? end_of(l->L_ci, bytes) : end_of(l->L_cframe, end_of(l->L_stack, bytes));
	l->hot = (struct lmt_hot){
		.family = (__u8)l->family,
		.wide = l->L_glob.size == 8,
		.tag_thread = puc ? 8 : 6,
		.L_bytes = (__u8)bytes,
		.L_tag = off8(l->L_tag), .L_status = off8(l->L_status), .L_glob = off8(l->L_glob),
		.L_ci = off8(l->L_ci), .L_savedpc = off8(l->L_savedpc),
		.L_base_ci = off8(l->L_base_ci), .L_base = off8(l->L_base),
		.L_stack = off8(l->L_stack), .L_cframe = off8(l->L_cframe),
		.ci_bytes = off8(l->size_ci), .ci_func = off8(l->ci_func),
		.ci_prev = off8(l->ci_prev), .ci_pc = off8(l->ci_pc),
		.ci_status = off8(l->ci_status), .ci_status_bytes = (__u8)l->ci_status.size,
		.G_cur_L = off16(l->G_cur_L), .G_jit_base = off16(l->G_jit_base),
		.G_vmstate = off16(l->G_vmstate),
		.fn_bytes = (__u8)end_of(l->fn_pc, 0),
		.fn_gct = l->gc64.off == 1 ? 9 : 5,
		.fn_ffid = off8(l->fn_ffid), .fn_pc = off8(l->fn_pc),
		.size_proto = puc ? 0 : (__u32)l->size_proto.off,
	};
	if (puc)
		set_status_test(l);
	set_block(l);
}

static bool parse_row(const struct table *t, const char **cells, size_t n, struct layout *row)
{
	bool puc = cell(t, cells, n, "ver") != NULL;
	const char *version = cell(t, cells, n, puc ? "ver" : "version_num");

	*row = (struct layout){
		.id = text_cell(t, cells, n, "id"),
		.variant = text_cell(t, cells, n, "family"),
		.versions = text_cell(t, cells, n, puc ? "versions" : "releases"),
		.history = text_cell(t, cells, n, "upstream_history"),
		.packages = text_cell(t, cells, n, "packages"),
	};
	row->l.family = puc ? LMT_FAMILY_PUC : LMT_FAMILY_LUAJIT;
	row->l.version = version ? (__u32)atoi(version) : 0;
	for (size_t i = 0; i < N_FIELDS; i++) {
		const char *column = fields[i].column[puc ? 0 : 1];
		const char *s = *column ? cell(t, cells, n, column) : NULL;

		if (!parse_cell(s, (struct lmt_cell *)((char *)row + fields[i].at)))
			return false;
	}
	set_hot(&row->l);
	/* Without these no state can be told from noise. */
	return *row->id && layout_has(row->l.word_delta) && layout_has(row->l.L_glob) &&
	       layout_has(row->l.G_alloc) && layout_has(row->l.G_total) &&
	       layout_has(row->l.G_main) && row->l.size_L.off > 0 && row->l.size_G.off > 0;
}

/* Takes the rows from..to away again. */
static void drop_rows(size_t from, size_t to)
{
	memmove(&rows.v[from], &rows.v[to], (rows.n - to) * sizeof(*rows.v));
	rows.n -= to - from;
}

/*
 * Takes the text over, unless it fails: then no row of it stays. first: put the rows before those
 * there are.
 */
static int add_table(char *text, const char *name, bool first, struct errmsg *err)
{
	struct table t = { .text = text };
	const char *cells[MAX_COLUMNS];
	char *line, *save = NULL;
	size_t start = first ? 0 : rows.n, at = start, number = 1;

	line = strtok_r(text, "\n", &save);
	if (!line)
		return errmsg_set(err, -EINVAL, "'%s' is empty", name);
	t.n_columns = split(line, '\t', t.columns, MAX_COLUMNS);
	while ((line = strtok_r(NULL, "\n", &save))) {
		size_t n = split(line, '\t', cells, MAX_COLUMNS);
		struct layout row;

		number++;
		if (!parse_row(&t, cells, n, &row)) {
			drop_rows(start, at);
			return errmsg_set(err, -EINVAL,
					  "'%s' line %zu is no layout row; see docs/ADDING-A-RUNTIME.md",
					  name, number);
		}
		if (vec_push(&rows, row)) {
			drop_rows(start, at);
			return errmsg_set(err, -ENOMEM, "out of memory");
		}
		memmove(&rows.v[at + 1], &rows.v[at], (rows.n - 1 - at) * sizeof(row));
		rows.v[at++] = row;
	}
	if (at == start)
		return errmsg_set(err, -EINVAL, "'%s' has no layout row", name);
	return 0;
}

static void load_built_in(void)
{
	struct errmsg err;
	char *puc = strdup(layouts_puc_tsv), *lj = strdup(layouts_luajit_tsv);

	if (!puc || !lj || add_table(puc, "puc.tsv", false, &err) ||
	    add_table(lj, "luajit.tsv", false, &err))
		BUG(); /* the tables are part of the program, the tests read each row */
}

const struct layout *layouts_all(size_t *n_ret)
{
	if (!rows.n)
		load_built_in();
	*n_ret = rows.n;
	return rows.v;
}

int layouts_add_file(const char *path, struct errmsg *err)
{
	auto_fclose FILE *f = fopen(path, "re");
	char *text;
	size_t n;
	int rc;

	layouts_all(&n);
	if (!f)
		return errmsg_set(err, -errno, "cannot open '%s': %s", path, strerror(errno));
	text = malloc(MAX_FILE + 1);
	if (!text)
		return errmsg_set(err, -ENOMEM, "out of memory");
	n = fread(text, 1, MAX_FILE, f);
	text[n] = '\0';
	rc = add_table(text, path, true, err);
	if (rc)
		free(text);
	return rc;
}

const struct layout *layouts_find(const char *id)
{
	size_t n;
	const struct layout *all = layouts_all(&n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].id, id))
			return &all[i];
	return NULL;
}

size_t layouts_index(const struct layout *l)
{
	return (size_t)(l - rows.v);
}
