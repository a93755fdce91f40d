/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * read: checked reads of the target's memory, registers, and members by layout. BPF only.
 *
 * Only bpf_probe_read_user(): the other variants are refused at load under lockdown
 * (facts in docs/ARCHITECTURE.md). A failed read is counted, never silent.
 */
#ifndef LMT_READ_BPF_H
#define LMT_READ_BPF_H

#include "maps.bpf.h"

/*
 * What clang must not do between here and there; each is the same empty instruction.
 * NO_RANGE: drop a mask or a check of v that it knows to be needless and the verifier does not.
 * NO_BRANCH: turn arithmetic on v into a branch, whose ways the verifier would follow each.
 * NO_MERGE: compute v again later in another way, such as through a pointer it may not compute.
 */
#define NO_RANGE(v) asm volatile("" : "+r"(v))
#define NO_BRANCH(v) NO_RANGE(v)
#define NO_MERGE(v) NO_RANGE(v)

static __always_inline void count(__u32 stat)
{
	__u64 *n = bpf_map_lookup_elem(&stats, &stat);

	if (n)
		__sync_fetch_and_add(n, 1); /* of this CPU, but the thread may be preempted in between */
}

static __always_inline bool read_user(void *to, __u32 size, __u64 uaddr)
{
	if (!bpf_probe_read_user(to, size, (const void *)uaddr))
		return true;
	count(LMT_STAT_READ_FAULT);
	return false;
}

/* A read that may fail without loss. */
static __always_inline bool try_read(void *to, __u32 size, __u64 uaddr)
{
	return !bpf_probe_read_user(to, size, (const void *)uaddr);
}

static __always_inline bool try_word(__u64 *to, bool wide, __u64 uaddr)
{
	__u32 narrow;

	if (wide)
		return try_read(to, 8, uaddr);
	if (!try_read(&narrow, 4, uaddr))
		return false;
	*to = narrow;
	return true;
}

/* 1 if v is 0, without a branch: the verifier follows each outcome of each branch. */
static __always_inline __u32 is_zero(__u64 v)
{
	v |= -v;
	NO_BRANCH(v);
	return 1 - (__u32)(v >> 63);
}

/* A reference or number of 8 bytes, or of 4 when wide is false. */
static __always_inline bool read_word(__u64 *to, bool wide, __u64 uaddr)
{
	__u32 narrow;

	if (wide)
		return read_user(to, 8, uaddr);
	if (!read_user(&narrow, 4, uaddr))
		return false;
	*to = narrow;
	return true;
}

/*
 * The 8-byte word of a struct that was read into words[]; an offset beyond the buffer gives 0.
 * Members are aligned to their size, so each lies within one word.
 */
static __always_inline __u64 word_at(const __u64 *words, __u32 n_words, __u32 off)
{
	__u32 i = off >> 3;

	NO_MERGE(i); /* the verifier cannot bound off & ~7 */
	return i < n_words ? words[i] : 0;
}

static __always_inline __u8 byte_at(const __u64 *words, __u32 n_words, __u32 off)
{
	return (__u8)(word_at(words, n_words, off) >> (8 * (off & 7)));
}

static __always_inline __u32 u32_at(const __u64 *words, __u32 n_words, __u32 off)
{
	return (__u32)(word_at(words, n_words, off) >> (8 * (off & 7)));
}

/* A reference: 8 bytes, or 4 in LuaJIT's GC32 builds. */
static __always_inline __u64 ref_at(const __u64 *words, __u32 n_words, __u32 off, bool wide)
{
	return wide ? word_at(words, n_words, off) : u32_at(words, n_words, off);
}

/*
 * One register of the context. By assembly, since clang would merge the loads of a switch into
 * one load through a computed pointer, which the verifier does not allow into the context.
 */
#define CTX_LOAD(r, reg)                                                                        \
	({                                                                                      \
		__u64 ctx_v;                                                                    \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                                           \
			     : "=r"(ctx_v)                                                      \
			     : "r"(r), "i"(__builtin_offsetof(struct pt_regs, reg)));           \
		ctx_v;                                                                          \
	})

/* Register by number; the encoding's order. */
static __always_inline __u64 reg_get(const struct pt_regs *r, __u32 n)
{
	if (n == 7)
		return CTX_LOAD(r, di);
	if (n == 6)
		return CTX_LOAD(r, si);
	if (n == 2)
		return CTX_LOAD(r, dx);
	if (n == 1)
		return CTX_LOAD(r, cx);
	if (n == 0)
		return CTX_LOAD(r, ax);
	if (n == 3)
		return CTX_LOAD(r, bx);
	if (n == 5)
		return CTX_LOAD(r, bp);
	if (n == 8)
		return CTX_LOAD(r, r8);
	if (n == 9)
		return CTX_LOAD(r, r9);
	if (n == 10)
		return CTX_LOAD(r, r10);
	if (n == 11)
		return CTX_LOAD(r, r11);
	if (n == 12)
		return CTX_LOAD(r, r12);
	if (n == 13)
		return CTX_LOAD(r, r13);
	if (n == 14)
		return CTX_LOAD(r, r14);
	if (n == 15)
		return CTX_LOAD(r, r15);
	return 0;
}

#endif
