/* SPDX-License-Identifier: MIT */
/*
 * strpool: interned strings named by a 32-bit id; 0 is "none".
 * L0 base. Strings live as long as the pool, at a fixed address.
 */
#ifndef LMT_BASE_STRPOOL_H
#define LMT_BASE_STRPOOL_H

#include <stddef.h>
#include <stdint.h>

struct strpool;

struct strpool *strpool_new(void);
void strpool_free(struct strpool *p);

/* The id of the string; the same bytes give the same id. 0 when out of memory. */
uint32_t strpool_add(struct strpool *p, const char *s);

/* Borrowed; "" for id 0 or an unknown id. */
const char *strpool_get(const struct strpool *p, uint32_t id);

#endif
