/* SPDX-License-Identifier: MIT */
#include "hashmap.h"

#include <stdlib.h>

void hashmap_deinit(struct hashmap *m)
{
	free(m->e);
	*m = (struct hashmap){ 0 };
}

static size_t slot_of(const struct hashmap *m, uint64_t key)
{
	size_t i = (size_t)((key * 0x9E3779B97F4A7C15ull) >> 32) & (m->cap - 1);

	while (m->e[i].key && m->e[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

uint64_t *hashmap_lookup(const struct hashmap *m, uint64_t key)
{
	size_t i;

	if (!m->cap)
		return NULL;
	i = slot_of(m, key);
	return m->e[i].key ? &m->e[i].value : NULL;
}

static bool grow(struct hashmap *m)
{
	struct hashmap bigger = { .cap = m->cap ? m->cap * 2 : 64, .n = m->n };

	bigger.e = calloc(bigger.cap, sizeof(*bigger.e));
	if (!bigger.e)
		return false;
	for (size_t i = 0; i < m->cap; i++)
		if (m->e[i].key)
			bigger.e[slot_of(&bigger, m->e[i].key)] = m->e[i];
	free(m->e);
	*m = bigger;
	return true;
}

uint64_t *hashmap_get_or_add(struct hashmap *m, uint64_t key)
{
	size_t i;

	if ((m->n + 1) * 4 > m->cap * 3 && !grow(m))
		return NULL;
	i = slot_of(m, key);
	if (!m->e[i].key) {
		m->e[i].key = key;
		m->n++;
	}
	return &m->e[i].value;
}
