/* SPDX-License-Identifier: MIT */
/*
 * glibc's malloc keeps a word before each block: the chunk's size, and in its lowest bit whether
 * the chunk *before* it is in use (malloc.c: struct malloc_chunk, PREV_INUSE; since 1996). So a chunk
 * that was merged or lies in a bin shows behind its end. One in a thread's cache (2.26) or a fast bin
 * looks as if it were in use; there its first word is a reference to the next chunk of the same
 * size, since 2.32 xor'ed with its own address / 4096 (PROTECT_PTR), and those two say so.
 */
#include "chunk.h"

#define SIZE_BITS 7u
#define PREV_IN_USE 1u
#define MAPPED 2u
#define CHUNK_MIN 32u
#define CHUNK_MAX (1ull << 40)
#define ROUND 64u       /* header, alignment, a rest too small to be a chunk of its own */
#define CACHE_TOLD 1040u /* larger ones share a bin with others that are not of their size */
#define PAGE 4096u
#define ENOUGH 8

/* What wrappers put before a block: nothing, a size, a size and something else, … */
static const uint32_t heads[] = { 0, 16, 8, 32, 24, 48, 64 };

static bool is_size(uint64_t head)
{
	uint64_t size = head & ~(uint64_t)SIZE_BITS;

	return !(size & 15) && size >= CHUNK_MIN && size < CHUNK_MAX;
}

/* Is there a chunk at the address (what malloc returned) that `need` bytes fit in tightly? */
static bool read_chunk(const struct memread *mem, uint64_t uaddr, uint64_t need, uint64_t *size,
		       uint64_t *flags)
{
	uint64_t head;

	if (uaddr & 15 || !memread_uint(mem, uaddr - 8, 8, &head) || !is_size(head))
		return false;
	*size = head & ~(uint64_t)SIZE_BITS;
	*flags = head & SIZE_BITS;
	if (*flags & MAPPED)
		return *size >= need + 16 && *size < need + 16 + 2 * PAGE;
	return *size >= need + 8 && *size < need + 8 + ROUND;
}

static bool is_chunk_of_size(const struct memread *mem, uint64_t uaddr, uint64_t size)
{
	uint64_t head;

	return !(uaddr & 15) && memread_uint(mem, uaddr - 8, 8, &head) &&
	       (head & ~(uint64_t)SIZE_BITS) == size;
}

/* Bins name chunks, caches name blocks. */
static bool is_link(const struct memread *mem, uint64_t word, uint64_t size)
{
	return is_chunk_of_size(mem, word, size) || is_chunk_of_size(mem, word + 16, size);
}

/* 2.29 to 2.31: the second word is the address of the thread's cache, itself a chunk. */
static bool is_cache(const struct memread *mem, uint64_t word)
{
	return is_chunk_of_size(mem, word, 0x290) || is_chunk_of_size(mem, word, 0x250);
}

/*
 * In a cache or a fast bin? An address of another block alone does not tell: a leaked list's elements
 * hold such. Nor does a hidden reference: a block that nobody wrote to since holds that of its last
 * stay in a bin. But what leaves a cache loses its second word, a random key (2.34) or is_cache().
 */
static enum chunk_fate fate_by_words(const struct memread *mem, uint64_t uaddr, uint64_t size)
{
	uint64_t hidden, word[2];

	if (size > CACHE_TOLD || !memread_exact(mem, uaddr, word, sizeof(word)))
		return CHUNK_IN_USE;
	if (is_cache(mem, word[1]))
		return CHUNK_FREE;
	hidden = word[0] ^ uaddr / PAGE;
	if (!hidden || is_link(mem, hidden, size))
		return word[1] >> 48 ? CHUNK_FREE : CHUNK_MAYBE;
	return is_chunk_of_size(mem, word[0] + 16, size) ? CHUNK_MAYBE : CHUNK_IN_USE;
}

static enum chunk_fate fate_at(const struct memread *mem, uint64_t uaddr, uint64_t need)
{
	uint64_t size, flags, behind, before;

	if (!read_chunk(mem, uaddr, need, &size, &flags))
		return CHUNK_FREE; /* merged, or in use by another with another size */
	if (flags & MAPPED)
		return CHUNK_IN_USE; /* it goes as a whole */
	if (!memread_uint(mem, uaddr - 8 + size, 8, &behind) || !(behind & PREV_IN_USE))
		return CHUNK_FREE;
	/* The chunk before it is free and says its size: a larger one has swallowed this. */
	if (!(flags & PREV_IN_USE) && (!memread_uint(mem, uaddr - 16, 8, &before) ||
				       !is_chunk_of_size(mem, uaddr - before, before)))
		return CHUNK_FREE;
	return fate_by_words(mem, uaddr, size);
}

/* Every kind of live block has to fit; of freed ones some were merged with what lay before them. */
static bool fits(const struct memread *mem, const struct chunk_block *b, size_t n, uint32_t head,
		 bool in_use)
{
	size_t good = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t uaddr = b[i].uaddr - head, need = b[i].size + head, size, flags;

		good += in_use ? fate_at(mem, uaddr, need) != CHUNK_FREE
			       : read_chunk(mem, uaddr, need, &size, &flags);
	}
	return in_use ? n >= ENOUGH && good * 8 >= n * 7 : good >= 2 && good * 4 >= n;
}

struct chunk_rule chunk_learn(const struct memread *mem, const struct chunk_block *b, size_t n,
			      bool in_use)
{
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (fits(mem, b, n, heads[i], in_use))
			return (struct chunk_rule){ true, heads[i] };
	return (struct chunk_rule){ 0 };
}

enum chunk_fate chunk_fate(const struct memread *mem, const struct chunk_rule *rule,
			   const struct chunk_block *b)
{
	if (!rule->known)
		return CHUNK_UNKNOWN;
	return fate_at(mem, b->uaddr - rule->head, b->size + rule->head);
}
