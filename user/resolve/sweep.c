/* SPDX-License-Identifier: MIT */
#include "sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "insn.h"

#define MAX_SWEEP (64u << 20)  /* bytes of code; see code_new() */
#define MAX_STARTS (1u << 20)

struct starts {
	vec_of(uint64_t) v;
	struct elf_file *f;
	int rc;
};

static void add(struct starts *s, uint64_t vaddr)
{
	if (!s->rc && s->v.n < MAX_STARTS && elf_is_code(s->f, vaddr))
		s->rc = vec_push(&s->v, vaddr);
}

/* Calls, and addresses of code put into registers. Data between functions costs a few bytes. */
static void sweep_code(struct starts *s, const struct elf_segment *seg)
{
	for (uint64_t at = 0; at < seg->filesz && !s->rc;) {
		struct insn in;

		if (!insn_decode(seg->data + at, seg->filesz - at, seg->vaddr + at, &in)) {
			at++;
			continue;
		}
		if (in.op == INSN_CALL && in.target)
			add(s, in.target);
		else if (in.op == INSN_LEA && in.ref)
			add(s, in.ref);
		else if (in.op == INSN_MOV && in.n_ops > 1 && in.o[1].type == OPND_IMM)
			add(s, (uint64_t)in.o[1].value);
		at += in.len;
	}
}

/* Tables of functions. */
static void sweep_data(struct starts *s, const struct elf_segment *seg)
{
	for (uint64_t at = (seg->vaddr + 7) & ~7ull; at + 8 <= seg->vaddr + seg->filesz && !s->rc; at += 8)
		add(s, elf_pointer(s->f, at));
}

static int by_address(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static uint64_t segment_end(struct elf_file *f, uint64_t vaddr)
{
	const struct elf_segment *seg;

	for (size_t i = 0; (seg = elf_segment(f, i)); i++)
		if (vaddr >= seg->vaddr && vaddr - seg->vaddr < seg->filesz)
			return seg->vaddr + seg->filesz;
	return vaddr;
}

static long make_ranges(struct starts *s, struct elf_function **ret)
{
	struct elf_function *fn = calloc(s->v.n + 1, sizeof(*fn));
	long n = 0;

	if (!fn)
		return -ENOMEM;
	for (size_t i = 0; i < s->v.n; i++) {
		uint64_t start = s->v.v[i], end = segment_end(s->f, start);

		const struct elf_function *told = elf_function_at(s->f, start);

		if (i + 1 < s->v.n && s->v.v[i + 1] == start)
			continue;
		if (told && told->start == start)
			fn[n++] = *told; /* with what it says of exceptions */
		if (told)
			continue;
		if (i + 1 < s->v.n && s->v.v[i + 1] < end)
			end = s->v.v[i + 1];
		/* Without a table nothing can unwind through it. */
		if (end > start)
			fn[n++] = (struct elf_function){ start, end, false };
	}
	*ret = fn;
	return n;
}

long sweep_functions(struct elf_file *f, struct elf_function **ret)
{
	struct starts s = { .f = f };
	const struct elf_segment *seg;
	const struct elf_function *fn;
	uint64_t total = 0;
	size_t n_told;
	long n = 0;

	for (size_t i = 0; (seg = elf_segment(f, i)); i++)
		total += seg->filesz;
	if (total > MAX_SWEEP)
		return 0;
	for (size_t i = 0; (seg = elf_segment(f, i)) && !s.rc; i++) {
		if (!seg->data)
			continue;
		if (seg->executable)
			sweep_code(&s, seg);
		else
			sweep_data(&s, seg);
	}
	for (size_t i = 0; elf_symbol(f, i); i++)
		add(&s, elf_symbol(f, i));
	for (fn = elf_functions(f, &n_told); n_told && !s.rc; n_told--, fn++)
		add(&s, fn->start);
	if (s.v.n && !s.rc) {
		qsort(s.v.v, s.v.n, sizeof(*s.v.v), by_address);
		n = make_ranges(&s, ret);
	}
	vec_deinit(&s.v);
	return s.rc ? -ENOMEM : n;
}
