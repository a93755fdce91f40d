/* SPDX-License-Identifier: MIT */
#include "known_bug.h"

#include <stdlib.h>
#include <string.h>

#include "identify.h"

enum says { SAYS_NOTHING, SAYS_YES, SAYS_NO };

struct copy {
	unsigned int family;
	const char *version;
	const struct code *code;
	const struct func_answer *fn;
};

#define REHASH_DROPPED 1724025600ll    /* 2024-08-19 */
#define RESIZE_CALLS 3                 /* lj_tab_resize reallocates array and hash, both ways */

static size_t calls_of(const struct code_function *fn, uint64_t target)
{
	size_t n = 0;

	for (size_t i = 0; i < fn->n; i++)
		n += insn_is_branch(&fn->insn[i]) && fn->insn[i].target == target;
	return n;
}

/* Does it lead to lj_tab_resize, which no other function on the way resembles? */
static bool leads_to_resize(const struct copy *c, const struct code_function *fn, int levels)
{
	if (calls_of(fn, c->fn[FUNC_LJ_MEM_REALLOC].vaddr) >= RESIZE_CALLS)
		return true;
	for (size_t i = 0; levels > 1 && i < fn->n; i++) {
		const struct insn *in = &fn->insn[i];
		const struct code_function *to = (in->op == INSN_CALL || in->op == INSN_JMP) && in->target
			? code_at(c->code, in->target) : NULL;

		if (to && to != fn && leads_to_resize(c, to, levels - 1))
			return true;
	}
	return false;
}

/*
 * gc_onestep resizes a table at the end of a cycle: lj_tab_rehash of the FFI's finalizers, by a
 * wrapper that only it calls. The way of a finalizer to a resize is longer.
 */
static enum says rehash_by_code(const struct copy *c)
{
	const struct code_function *one;

	if (!c->code || !c->fn[FUNC_GC_ONESTEP].vaddr || !c->fn[FUNC_LJ_MEM_REALLOC].vaddr)
		return SAYS_NOTHING;
	one = code_at(c->code, c->fn[FUNC_GC_ONESTEP].vaddr);
	if (!one)
		return SAYS_NOTHING;
	for (size_t i = 0; i < one->n; i++) {
		const struct insn *in = &one->insn[i];
		const struct code_function *to = in->op == INSN_CALL && in->target
			? code_at(c->code, in->target) : NULL;

		if (to && leads_to_resize(c, to, code_caller_count(c->code, to->start) == 1 ? 3 : 2))
			return SAYS_YES;
	}
	return SAYS_NO;
}

/* Rolling releases count the seconds of their commit; 2.0 has never got the fix. */
static enum says rehash_by_version(const char *version)
{
	const char *last = strrchr(version, '.');
	long long t = last ? strtoll(last + 1, NULL, 10) : 0;

	if (!strncmp(version, "2.0.", 4) || !strncmp(version, "2.1.0-beta", 10))
		return SAYS_YES;
	if (t < FIRST_COMMIT)
		return SAYS_NOTHING;
	return t < REHASH_DROPPED ? SAYS_YES : SAYS_NO;
}

/* Both, as the text is only a hint: a distribution may have taken the fix alone. */
static enum says has_rehash(const struct copy *c, bool *certain)
{
	enum says by_code, by_version;

	if (c->family != LMT_FAMILY_LUAJIT || !c->fn[FUNC_LJ_CDATA_FREE].vaddr)
		return SAYS_NO; /* without the FFI there are no finalizers to rehash */
	by_code = rehash_by_code(c);
	by_version = rehash_by_version(c->version);
	*certain = by_code == SAYS_YES && by_version == SAYS_YES;
	if (by_code == SAYS_NOTHING)
		return by_version;
	return by_code == SAYS_YES && by_version != SAYS_NO ? SAYS_YES : SAYS_NO;
}

static const struct {
	struct known_bug bug;
	enum says (*test)(const struct copy *c, bool *certain);
} bugs[] = {
	{ { "the table of FFI finalizers is rehashed at the end of a GC cycle; when memory is refused "
	    "then, on a trace or while leaving one, the process crashes",
	    "https://github.com/LuaJIT/LuaJIT/issues/1247", "LuaJIT 2.1 of 2024-08-19 (fb22d0f8)" },
	  has_rehash },
};

const struct known_bug *known_bug_of(unsigned int family, const char *version,
				     const struct code *code, const struct func_answer *fn, size_t i,
				     bool *certain_ret)
{
	const struct copy c = { family, version, code, fn };

	for (size_t k = 0; k < sizeof(bugs) / sizeof(bugs[0]); k++) {
		bool certain = false;

		if (bugs[k].test(&c, &certain) != SAYS_YES || i--)
			continue;
		*certain_ret = certain;
		return &bugs[k].bug;
	}
	return NULL;
}
