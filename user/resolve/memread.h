/* SPDX-License-Identifier: MIT */
/*
 * memread: one way to read a target's memory, whatever it is: a live process or a test's buffer.
 * L2 resolve. Must not know Lua. What is read is hostile: callers check every value.
 */
#ifndef LMT_RESOLVE_MEMREAD_H
#define LMT_RESOLVE_MEMREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct memread {
	void *ctx;
	/* Copies up to len bytes; returns how many from the start could be read. */
	size_t (*read)(void *ctx, uint64_t uaddr, void *buf, size_t len);
	/*
	 * The first run of resident or swapped pages in [start, end), so that a scan faults nothing
	 * in. False when there is none left. NULL: everything is resident.
	 */
	bool (*resident)(void *ctx, uint64_t start, uint64_t end, uint64_t *run_start,
			 uint64_t *run_end);
};

/* Reads a live process; needs ptrace access at the time of each read. Closed by the caller. */
int memread_open_process(pid_t pid, struct memread *ret);
void memread_close_process(struct memread *m);

/* May we read that process at all? 0, or -EPERM with the reason and what to do. */
int memread_check_process(pid_t pid, uint64_t uaddr, struct errmsg *err);

/* Pieces of memory copied earlier, before what can still be read. Borrows its parts. */
struct memread_copies {
	const struct memread *below; /* asked for what is not among the copies; NULL: nobody */
	struct {
		uint64_t uaddr, len;
		const void *data;
	} part[4];
};
void memread_open_copies(struct memread_copies *c, struct memread *ret);

#define MEMREAD_LINE 512u /* divides a page: reading all of it is as safe as reading a part */
#define MEMREAD_LINES 32u

/*
 * For many small reads at one moment: what lies beside the bytes asked for is read with them, and
 * seen as it was then. All zero but for `below` at the start.
 */
struct memread_cached {
	const struct memread *below;
	uint64_t line[MEMREAD_LINES]; /* address + 1 */
	uint8_t data[MEMREAD_LINES][MEMREAD_LINE];
};
void memread_open_cached(struct memread_cached *c, const struct memread *below, struct memread *ret);

/* The process ended: lets go of its descriptor; reads fail from now on. */
void memread_end_process(struct memread *m);

/* All of len bytes, or false. */
bool memread_exact(const struct memread *m, uint64_t uaddr, void *buf, size_t len);

/* A little-endian value of 1, 2, 4 or 8 bytes; false when it cannot be read. */
bool memread_uint(const struct memread *m, uint64_t uaddr, unsigned int size, uint64_t *ret);

bool memread_resident(const struct memread *m, uint64_t start, uint64_t end, uint64_t *run_start,
		      uint64_t *run_end);

/* A value of 1, 2, 4 or 8 bytes inside a buffer already read. */
uint64_t mem_uint(const void *p, unsigned int size);

#endif
