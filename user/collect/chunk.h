/* SPDX-License-Identifier: MIT */
/*
 * chunk: is a block that Lua's allocator got from malloc() still handed out, as malloc itself sees it?
 * What C code gives back by plain free() passes no allocator that we probe. L4 collect.
 */
#ifndef LMT_COLLECT_CHUNK_H
#define LMT_COLLECT_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolve/memread.h"

struct chunk_block {
	uint64_t uaddr, size;
};

/* How far behind what glibc's malloc() returned the blocks of a process begin. */
struct chunk_rule {
	bool known;
	uint32_t head;
};

/* MAYBE: in use and never written to, or free in a list of small chunks. */
enum chunk_fate { CHUNK_UNKNOWN, CHUNK_IN_USE, CHUNK_FREE, CHUNK_MAYBE };

/*
 * Learns the rule from blocks of which most are in use (`in_use`), or from any. Not known when
 * their memory is not, or not always, of glibc's malloc().
 */
struct chunk_rule chunk_learn(const struct memread *mem, const struct chunk_block *b, size_t n,
			      bool in_use);

enum chunk_fate chunk_fate(const struct memread *mem, const struct chunk_rule *rule,
			   const struct chunk_block *b);

#endif
