/* SPDX-License-Identifier: MIT */
/*
 * hashmap: 64-bit keys (addresses, ids) to 64-bit values, open addressed. Key 0 is not allowed.
 * L0 base. Zero bytes are an empty map.
 */
#ifndef LMT_BASE_HASHMAP_H
#define LMT_BASE_HASHMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hashmap_entry {
	uint64_t key;
	uint64_t value;
};

struct hashmap {
	struct hashmap_entry *e;
	size_t n;
	size_t cap; /* power of two, or 0 */
};

void hashmap_deinit(struct hashmap *m);

/* The value of the key, or NULL. Borrowed until the next hashmap_get_or_add(). */
uint64_t *hashmap_lookup(const struct hashmap *m, uint64_t key);

/* As find, but adds the key with value 0. NULL only when out of memory. */
uint64_t *hashmap_get_or_add(struct hashmap *m, uint64_t key);

#endif
