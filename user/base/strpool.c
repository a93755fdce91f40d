/* SPDX-License-Identifier: MIT */
#include "strpool.h"

#include <stdlib.h>
#include <string.h>

#include "hashmap.h"
#include "vec.h"

struct strpool {
	vec_of(char *) strings; /* id - 1 */
	struct hashmap by_hash; /* hash of the text → first id with it */
	vec_of(uint32_t) next;  /* id - 1 → next id with the same hash, 0 ends */
};

struct strpool *strpool_new(void)
{
	return calloc(1, sizeof(struct strpool));
}

void strpool_free(struct strpool *p)
{
	if (!p)
		return;
	vec_each(s, &p->strings)
		free(*s);
	vec_deinit(&p->strings);
	vec_deinit(&p->next);
	hashmap_deinit(&p->by_hash);
	free(p);
}

/* FNV-1a; never 0, which hashmap does not take as a key. */
static uint64_t hash_of(const char *s)
{
	uint64_t h = 0xcbf29ce484222325ull;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3ull;
	return h ? h : 1;
}

uint32_t strpool_add(struct strpool *p, const char *s)
{
	uint64_t *first = hashmap_get_or_add(&p->by_hash, hash_of(s));
	char *copy;

	if (!first)
		return 0;
	for (uint32_t id = (uint32_t)*first; id; id = p->next.v[id - 1])
		if (!strcmp(p->strings.v[id - 1], s))
			return id;
	copy = strdup(s);
	if (!copy)
		return 0;
	if (vec_push(&p->strings, copy)) {
		free(copy);
		return 0;
	}
	if (vec_push(&p->next, (uint32_t)*first)) {
		free(p->strings.v[--p->strings.n]);
		return 0;
	}
	*first = p->strings.n;
	return (uint32_t)p->strings.n;
}

const char *strpool_get(const struct strpool *p, uint32_t id)
{
	return id && id <= p->strings.n ? p->strings.v[id - 1] : "";
}
