/* SPDX-License-Identifier: MIT */
#include "series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void series_add(struct series_list *l, char *labels, double value, bool shown)
{
	struct series s = { .labels = labels, .value = value, .shown = shown };

	if (!labels || vec_push(&l->all, s)) {
		free(labels);
		l->failed = true;
	}
}

static int by_labels(const void *a, const void *b)
{
	return strcmp(((const struct series *)a)->labels, ((const struct series *)b)->labels);
}

static int by_value(const void *a, const void *b)
{
	const struct series *x = a, *y = b;

	return x->value < y->value ? 1 : x->value > y->value ? -1 : by_labels(a, b);
}

static void sort(struct series_list *l, int (*cmp)(const void *, const void *))
{
	if (l->all.n)
		qsort(l->all.v, l->all.n, sizeof(l->all.v[0]), cmp);
}

void series_fold(struct series_list *l, bool by_max)
{
	size_t n = 0;

	sort(l, by_labels);
	for (size_t i = 0; i < l->all.n; i++) {
		struct series *s = &l->all.v[i], *to = n ? &l->all.v[n - 1] : NULL;

		if (!to || strcmp(to->labels, s->labels)) {
			l->all.v[n++] = *s;
			continue;
		}
		to->value = by_max ? fmax(to->value, s->value) : to->value + s->value;
		to->shown |= s->shown;
		free(s->labels);
	}
	l->all.n = n;
}

static void write_line(const char *name, const char *labels, double value, FILE *out)
{
	fprintf(out, value == floor(value) ? "%s{%s} %.0f\n" : "%s{%s} %.3f\n", name, labels, value);
}

void series_write(struct series_list *l, const char *name, size_t max, FILE *out)
{
	double rest = 0;
	size_t n = 0;

	if (max && l->all.n > max)
		sort(l, by_value);
	vec_each(s, &l->all) {
		if (!s->shown)
			continue;
		if (!max || n < max)
			write_line(name, s->labels, s->value, out);
		else
			rest += s->value;
		n++;
	}
	if (max && n > max)
		write_line(name, "other=\"true\"", rest, out);
}

void series_deinit(struct series_list *l)
{
	vec_each(s, &l->all)
		free(s->labels);
	vec_deinit(&l->all);
}
