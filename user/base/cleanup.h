/* SPDX-License-Identifier: MIT */
/*
 * cleanup: scope guards, so that functions can return early without leaking.
 * L0 base.
 */
#ifndef LMT_BASE_CLEANUP_H
#define LMT_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(fn) __attribute__((cleanup(fn)))

/* Gives the pointer away: reads it and leaves NULL behind. */
#define steal_ptr(p)                          \
	({                                    \
		__typeof__(p) steal_tmp = (p); \
		(p) = NULL;                   \
		steal_tmp;                    \
	})

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define auto_free cleanup(cleanup_freep)
#define auto_close cleanup(cleanup_closep)
#define auto_fclose cleanup(cleanup_fclosep)

#endif
