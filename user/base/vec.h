/* SPDX-License-Identifier: MIT */
/*
 * vec: the one growable array. `vec_of(T)` declares it, zero bytes are an empty one.
 * L0 base.
 */
#ifndef LMT_BASE_VEC_H
#define LMT_BASE_VEC_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define vec_of(T)           \
	struct {            \
		T *v;       \
		size_t n;   \
		size_t cap; \
	}

/* Makes room for one more item of the given size; 0 or -ENOMEM, the old array stays valid. */
static inline int vec_grow(void **v, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : size < 128 ? 16 : size < 1024 ? 4 : 1; /* many stay small */
	void *p;

	if (n < *cap)
		return 0;
	p = reallocarray(*v, want, size);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = want;
	return 0;
}

/* Appends by value; evaluates to 0 or -ENOMEM. */
#define vec_push(vec, ...)                                                              \
	(vec_grow((void **)&(vec)->v, (vec)->n, &(vec)->cap, sizeof(*(vec)->v)) ? -ENOMEM \
	 : ((vec)->v[(vec)->n++] = (__VA_ARGS__), 0))

/* Gives room back that is not used; may leave it as it is. */
#define vec_shrink(vec)                                                                   \
	do {                                                                              \
		void *vec_p = reallocarray((vec)->v, (vec)->n + 1, sizeof(*(vec)->v));    \
		if (vec_p) {                                                              \
			(vec)->v = vec_p;                                                 \
			(vec)->cap = (vec)->n + 1;                                        \
		}                                                                         \
	} while (0)

#define vec_deinit(vec)               \
	do {                          \
		free((vec)->v);       \
		(vec)->v = NULL;      \
		(vec)->n = 0;         \
		(vec)->cap = 0;       \
	} while (0)

#define vec_each(it, vec) \
	for (__typeof__((vec)->v[0]) *it = (vec)->v; it && it < (vec)->v + (vec)->n; it++)

#endif
