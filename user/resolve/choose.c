/* SPDX-License-Identifier: MIT */
#include "choose.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 64

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

/* Do two rows agree in every member the tracer reads? */
static bool same_members(const struct layout *a, const struct layout *b)
{
#define SAME(f, puc, lj, doc) && a->l.f.off == b->l.f.off && a->l.f.size == b->l.f.size
	return true LMT_LAYOUT_FIELDS(SAME);
#undef SAME
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

const struct layout *choose_layout(const struct layout *const *rows, size_t n, const char *version,
				   const char **why)
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
	for (size_t i = 1; i < n; i++) {
		if (!same_members(left[0], left[i])) {
			*why = "several layouts fit its memory and differ";
			return NULL;
		}
	}
	return left[0];
}

const struct layout *choose_by_release(unsigned int family, const char *version)
{
	const struct layout *found = NULL;
	size_t n;
	const struct layout *all = layouts_all(&n);
	const char *stock = family == LMT_FAMILY_PUC ? "puc" : "luajit";

	for (size_t i = 0; i < n; i++) {
		if (all[i].l.family != family || strncmp(all[i].variant, stock, strlen(stock)) ||
		    !names_release(&all[i], version))
			continue;
		if (found)
			return NULL;
		found = &all[i];
	}
	return found;
}
