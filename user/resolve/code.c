/* SPDX-License-Identifier: MIT */
#include "code.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hashmap.h"
#include "base/vec.h"
#include "sweep.h"

#define MAX_CODE (64u << 20)
#define INSN_MAX 15 /* bytes */
#define FEW 100 /* functions; any Lua has several times as many */

struct code {
	struct elf_file *elf;
	struct code_function *fn;
	size_t n;
	struct insn *insn; /* of all functions, in order */
	size_t n_insns, cap_insns;
	vec_of(struct code_edge) edges; /* sorted by target, then call address */
};

void code_free(struct code *c)
{
	if (!c)
		return;
	free(c->fn);
	free(c->insn);
	vec_deinit(&c->edges);
	free(c);
}

static bool leaves(const struct code_function *fn, const struct insn *in)
{
	if (!in->target)
		return false;
	return in->op == INSN_CALL ||
	       (insn_is_branch(in) && (in->target < fn->start || in->target >= fn->end));
}

/* Appends the function's instructions; offsets, since the array moves while it grows. */
static int decode_one(struct code *c, struct code_function *fn, size_t *first)
{
	const uint8_t *bytes = elf_data(c->elf, fn->start, fn->end - fn->start);
	size_t len = fn->end - fn->start, at = 0;

	*first = c->n_insns;
	while (bytes && at < len) {
		struct insn in;

		if (vec_grow((void **)&c->insn, c->n_insns, &c->cap_insns, sizeof(*c->insn)))
			return -ENOMEM;
		if (!insn_decode(bytes + at, len - at, fn->start + at, &in))
			break; /* data in code: keep what came before */
		c->insn[c->n_insns++] = in;
		at += in.len;
	}
	fn->n = c->n_insns - *first;
	return 0;
}

static struct insn *decode_range(struct elf_file *f, uint64_t start, uint64_t end, bool has_lsda,
				 struct code_function *ret)
{
	struct code_function fn = { start, end, has_lsda, NULL, 0 };
	struct code c = { .elf = f };
	size_t first;

	if (decode_one(&c, &fn, &first) || !fn.n) {
		free(c.insn);
		return NULL;
	}
	fn.insn = c.insn;
	*ret = fn;
	return c.insn;
}

struct insn *code_decode_one(struct elf_file *f, uint64_t vaddr, struct code_function *ret)
{
	const struct elf_function *range = elf_function_at(f, vaddr);

	if (!range || range->start != vaddr)
		return NULL;
	return decode_range(f, range->start, range->end, range->has_lsda, ret);
}

struct insn *code_decode_entry(struct elf_file *f, uint64_t vaddr, struct code_function *ret)
{
	struct insn *insn = decode_range(f, vaddr, vaddr + INSN_MAX, false, ret);

	if (insn) {
		ret->n = 1;
		ret->end = vaddr + insn->len;
	}
	return insn;
}

/* A library calls its own exports through the PLT unless told otherwise: look through that. */
static uint64_t through_plt(struct code *c, struct hashmap *known, uint64_t target)
{
	uint64_t *answer = hashmap_lookup(known, target), own;
	const char *name;

	if (answer)
		return *answer;
	name = elf_import_at(c->elf, target);
	if (!name)
		return target;
	own = elf_find_sym(c->elf, name, NULL);
	answer = hashmap_get_or_add(known, target); /* thousands of calls of a few stubs */
	if (answer)
		*answer = own ? own : target;
	return own ? own : target;
}

static int add_edges(struct code *c, struct hashmap *plt, size_t index, struct insn *insn)
{
	const struct code_function *fn = &c->fn[index];

	for (size_t k = 0; k < fn->n; k++) {
		struct code_edge e = { .at = insn[k].addr, .function = (uint32_t)index,
				       .insn = (uint32_t)k };

		if (!leaves(fn, &insn[k]))
			continue;
		insn[k].target = e.target = through_plt(c, plt, insn[k].target);
		if (vec_push(&c->edges, e))
			return -ENOMEM;
	}
	return 0;
}

static int by_target(const void *a, const void *b)
{
	const struct code_edge *x = a, *y = b;

	if (x->target != y->target)
		return x->target < y->target ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static int decode_all(struct code *c, const struct elf_function *from)
{
	size_t *first = calloc(c->n + 1, sizeof(*first));
	struct hashmap plt = { 0 };
	int rc = first ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < c->n; i++) {
		c->fn[i] = (struct code_function){ from[i].start, from[i].end, from[i].has_lsda,
						   NULL, 0 };
		rc = decode_one(c, &c->fn[i], &first[i]);
	}
	for (size_t i = 0; !rc && i < c->n; i++) {
		c->fn[i].insn = c->insn + first[i];
		rc = add_edges(c, &plt, i, c->insn + first[i]);
	}
	free(first);
	hashmap_deinit(&plt);
	if (!rc && c->edges.n)
		qsort(c->edges.v, c->edges.n, sizeof(*c->edges.v), by_target);
	return rc;
}

int code_new(struct elf_file *f, struct code **ret, struct errmsg *err)
{
	auto_free struct elf_function *swept = NULL;
	const struct elf_function *from;
	struct code *c;
	uint64_t total = 0;
	size_t n;
	int rc;

	from = elf_functions(f, &n);
	if (n < FEW) { /* an executable's own start-up code may have tables where the rest has none */
		long found = sweep_functions(f, &swept);

		if (found > (long)n) {
			from = swept;
			n = (size_t)found;
		}
	}
	if (!n)
		return errmsg_set(err, -ENODATA, "no unwind table, and no calls to tell functions by");
	for (size_t i = 0; i < n; i++)
		total += from[i].end - from[i].start;
	if (total > MAX_CODE)
		return errmsg_set(err, -EFBIG, "more than 64 MiB of code");
	c = calloc(1, sizeof(*c));
	if (!c || !(c->fn = calloc(n, sizeof(*c->fn)))) {
		free(c);
		return errmsg_set(err, -ENOMEM, "out of memory");
	}
	c->elf = f;
	c->n = n;
	rc = decode_all(c, from);
	if (rc) {
		code_free(c);
		return errmsg_set(err, rc, "out of memory");
	}
	*ret = c;
	return 0;
}

struct elf_file *code_elf(const struct code *c)
{
	return c->elf;
}

size_t code_bytes(const struct code *c)
{
	return c->n * sizeof(*c->fn) + c->cap_insns * sizeof(*c->insn) + c->edges.cap * sizeof(*c->edges.v);
}

size_t code_count(const struct code *c)
{
	return c->n;
}

const struct code_function *code_get(const struct code *c, size_t i)
{
	return i < c->n ? &c->fn[i] : NULL;
}

size_t code_index(const struct code *c, const struct code_function *fn)
{
	return (size_t)(fn - c->fn);
}

const struct code_function *code_holding(const struct code *c, uint64_t vaddr)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->fn[mid].end <= vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->n && c->fn[lo].start <= vaddr ? &c->fn[lo] : NULL;
}

const struct code_function *code_at(const struct code *c, uint64_t vaddr)
{
	const struct code_function *fn = code_holding(c, vaddr);

	return fn && fn->start == vaddr ? fn : NULL;
}

const struct code_edge *code_callers(const struct code *c, uint64_t target, size_t *n_ret)
{
	size_t lo = 0, hi = c->edges.n, end;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->edges.v[mid].target < target)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (end = lo; end < c->edges.n && c->edges.v[end].target == target; end++)
		;
	*n_ret = end - lo;
	return end > lo ? &c->edges.v[lo] : NULL;
}

size_t code_caller_count(const struct code *c, uint64_t target)
{
	const struct code_function *self = code_at(c, target);
	size_t n, count = 0;
	const struct code_edge *e = code_callers(c, target, &n);

	for (size_t i = 0; i < n; i++) {
		bool first = i == 0 || e[i].function != e[i - 1].function;

		count += first && &c->fn[e[i].function] != self;
	}
	return count;
}

bool code_calls(const struct code *c, const struct code_function *fn, uint64_t target)
{
	size_t n, self = code_index(c, fn);
	const struct code_edge *e = code_callers(c, target, &n);

	for (size_t i = 0; i < n; i++)
		if (e[i].function == self)
			return true;
	return false;
}

bool code_const_arg(const struct code_function *fn, size_t at, unsigned int reg, size_t window,
		    int64_t *ret)
{
	for (size_t back = 1; back <= window && back <= at; back++) {
		const struct insn *in = &fn->insn[at - back];

		if (in->op == INSN_CALL || in->op == INSN_JMP || in->op == INSN_RET)
			return false;
		if (!(in->writes >> reg & 1))
			continue;
		if (in->op == INSN_MOV && in->o[1].type == OPND_IMM) {
			*ret = in->o[1].value;
			return true;
		}
		if (in->op == INSN_XOR && opnd_is_reg(&in->o[0], reg) &&
		    opnd_is_reg(&in->o[1], reg)) {
			*ret = 0;
			return true;
		}
		return false;
	}
	return false;
}
