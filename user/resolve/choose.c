/* SPDX-License-Identifier: MIT */
#include "choose.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "identify.h"

#define MAX_ROWS 64
#define TAG_TABLE 5

/* True when the comma-separated list holds the word. */
static bool lists(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; len && (p = strstr(p, word)); p += len) {
		bool start = p == list || p[-1] == ',' || p[-1] == ' ' || p[-1] == 'v';
		bool end = !p[len] || p[len] == ',' || p[len] == ' ';

		if (start && end)
			return true;
	}
	return false;
}

/* Version number as the row has it: 504 of "5.4.9", 20100 of "2.1…"; 0 unknown. */
static unsigned int number_of(const struct layout *row, const char *version)
{
	if (row->l.family == LMT_FAMILY_PUC)
		return strncmp(version, "5.", 2) ? 0 : 500 + (unsigned int)atoi(version + 2);
	return strncmp(version, "2.", 2) ? 0 : 20000 + 100 * (unsigned int)atoi(version + 2);
}

static bool same_generation(const struct layout *row, const char *version)
{
	unsigned int want = number_of(row, version);

	if (row->l.family == LMT_FAMILY_PUC)
		return row->l.version == want;
	return row->l.version / 100 == want / 100;
}

/*
 * Do two rows agree in every member the tracer reads? Not in the width of a call's status: 5.3.4
 * made it two bytes, and the flags looked at are in the first.
 */
static bool same_members(const struct layout *a, const struct layout *b)
{
	struct lmt_layout x = a->l;

	x.ci_status.size = b->l.ci_status.size;
#define SAME(f, puc, lj, doc) && x.f.off == b->l.f.off && x.f.size == b->l.f.size
	return true LMT_LAYOUT_FIELDS(SAME);
#undef SAME
}

/* Of rows that agree, the one that reads least: what it reads is there in all of them. */
static const struct layout *narrowest(const struct layout *const *rows, size_t n)
{
	const struct layout *best = rows[0];

	for (size_t i = 1; i < n; i++)
		if (rows[i]->l.ci_status.size < best->l.ci_status.size)
			best = rows[i];
	return best;
}

static size_t keep(const struct layout **rows, size_t n, const char *version,
		   bool (*pass)(const struct layout *, const char *))
{
	const struct layout *kept[MAX_ROWS];
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (pass(rows[i], version))
			kept[k++] = rows[i];
	if (!k)
		return n; /* the text knows better than no row: leave them */
	memcpy(rows, kept, k * sizeof(kept[0]));
	return k;
}

static bool names_release(const struct layout *row, const char *version)
{
	return lists(row->versions, version) || lists(row->packages, version);
}

/* Are both constants passed, in this pair of registers? */
static bool passes(const struct code_function *fn, size_t at, unsigned int reg_tag, int64_t tag,
		   unsigned int reg_size, int64_t size)
{
	int64_t got;

	return code_const_arg(fn, at, reg_tag, 8, &got) && got == tag &&
	       code_const_arg(fn, at, reg_size, 8, &got) && got == size;
}

/*
 * Does the code ask for objects of this type and size? luaC_newobj(L, tag, size), or, where that
 * is inlined, luaM_realloc_(L, NULL, tag, size) and its like.
 */
static bool makes(const struct code *code, int64_t tag, int64_t size)
{
	for (size_t i = 0; i < code_count(code); i++) {
		const struct code_function *fn = code_get(code, i);

		for (size_t k = 0; k < fn->n; k++)
			if ((fn->insn[k].op == INSN_CALL || fn->insn[k].op == INSN_JMP) &&
			    (passes(fn, k, REG_SI, tag, REG_DX, size) ||
			     passes(fn, k, REG_DX, tag, REG_CX, size)))
				return true;
	}
	return false;
}

static bool makes_objects(const struct layout *row, const struct code *code)
{
	return makes(code, row->l.K_proto.off, row->l.size_proto.off) &&
	       makes(code, TAG_TABLE, row->l.size_tab.off);
}

/* A state that has run no Lua code yet shows no prototype; the code that will make one does. */
static size_t keep_by_code(const struct layout **rows, size_t n, const struct code *code)
{
	const struct layout *kept[MAX_ROWS];
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (rows[i]->l.family == LMT_FAMILY_PUC && makes_objects(rows[i], code))
			kept[k++] = rows[i];
	if (!k)
		return n;
	memcpy(rows, kept, k * sizeof(kept[0]));
	return k;
}

static bool all_same(const struct layout *const *rows, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (!same_members(rows[0], rows[i]))
			return false;
	return true;
}

/*
 * Rolling releases of LuaJIT are numbered by the time of their commit: 2.1.1737090214. The row's
 * history has ranges of days for each branch: "v2.1: 2024-04-19 f5affaa6 .. 2025-11-06 68354f44".
 */
static bool covers_commit(const struct layout *row, const char *version)
{
	char branch[8], day[16];
	const char *p = strrchr(version, '.');
	time_t t = p ? (time_t)strtoll(p + 1, NULL, 10) : 0;
	struct tm tm;

	if (row->l.family != LMT_FAMILY_LUAJIT || t < FIRST_COMMIT || !gmtime_r(&t, &tm))
		return false;
	snprintf(branch, sizeof(branch), "v%.3s:", version);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	for (p = row->history; (p = strstr(p, branch)); p++) {
		const char *from = p + strlen(branch) + 1, *to = strstr(from, " .. ");

		if (strncmp(from, day, 10) <= 0 &&
		    (!to || !strncmp(to + 4, "current", 7) || strncmp(day, to + 4, 10) <= 0))
			return true;
	}
	return false;
}

const struct layout *choose_layout(const struct layout *const *rows, size_t n, const char *version,
				   const struct code *code, const char **why)
{
	const struct layout *left[MAX_ROWS];

	if (!n || n > MAX_ROWS) {
		*why = "no known layout fits its memory";
		return NULL;
	}
	memcpy(left, rows, n * sizeof(left[0]));
	*why = "only one layout fits its memory";
	if (n > 1)
		*why = "layout by memory and release";
	if (*version)
		n = keep(left, n, version, same_generation);
	if (*version && n > 1)
		n = keep(left, n, version, names_release);
	if (*version && n > 1)
		n = keep(left, n, version, covers_commit);
	if (!all_same(left, n) && code)
		n = keep_by_code(left, n, code);
	if (!all_same(left, n)) {
		*why = "several layouts fit its memory and differ";
		return NULL;
	}
	return narrowest(left, n);
}

static bool is_stock(const struct layout *row)
{
	const char *stock = row->l.family == LMT_FAMILY_PUC ? "puc" : "luajit";

	return !strncmp(row->variant, stock, strlen(stock));
}

/* The rows of the family that a new state of so many bytes (0: unknown) may have. */
static size_t rows_of(unsigned int family, uint64_t block, const struct layout **ret)
{
	size_t n, k = 0;
	const struct layout *all = layouts_all(&n);

	for (size_t i = 0; i < n && k < MAX_ROWS; i++)
		if (all[i].l.family == family && layout_has(all[i].l.block_size) &&
		    (block ? (uint64_t)all[i].l.block_size.off == block : is_stock(&all[i])))
			ret[k++] = &all[i];
	return k;
}

const struct layout *choose_by_file(unsigned int family, const char *version, uint64_t block,
				    const struct code *code)
{
	const struct layout *left[MAX_ROWS];
	size_t n = rows_of(family, block, left), named;

	if (!n)
		return NULL;
	if (*version)
		n = keep(left, n, version, same_generation);
	named = *version ? keep(left, n, version, names_release) : n;
	if (!block && (named == n || !*version))
		return NULL; /* neither a size nor a release to go by */
	n = named;
	if (!all_same(left, n) && code)
		n = keep_by_code(left, n, code);
	return all_same(left, n) ? narrowest(left, n) : NULL;
}
