/* SPDX-License-Identifier: MIT */
#include "native_stack.h"

#include "frames_stack.h"
#include "resolve/find_vm.h"
#include "symbols.h"

#define VM_CODE 2500 /* luaV_execute where nothing tells it is the first function bigger than this */

struct merge {
	const struct frames_source *src;
	const struct native_stack *native;
	const struct native_lua *lua;
	uint64_t vm_uaddr; /* PUC: luaV_execute; 0 unknown */
	struct stack_frame *out;
	size_t n, max;
};

void native_unwind(const struct target *t, struct files *files, const struct lmt_native *e,
		   bool gc64, struct native_stack *ret)
{
	ret->tid = e->e.tid;
	ret->site = e->e.arg0;
	ret->n = unwind(t, files, e, gc64, ret->frame, NATIVE_FRAMES, &ret->whole);
}

static void put(struct merge *m, const struct stack_frame *f)
{
	if (m->n < m->max)
		m->out[m->n++] = *f;
}

/* A function of Lua's core that was found in a stripped file. */
static const char *found_name(const struct merge *m, uint64_t start)
{
	vec_each(rt, &m->src->resolved->runtimes)
		for (int id = 0; start && id < FUNC_MAX; id++)
			if (rt->fn[id].vaddr && rt->fn[id].vaddr + rt->bias == start)
				return func_name((enum func_id)id);
	return start && start == m->vm_uaddr ? "luaV_execute" : NULL;
}

/* name: as Lua calls it, or 0. */
static void put_native(struct merge *m, const struct unwind_frame *f, uint32_t name)
{
	struct stack_frame out = { .kind = STACK_NATIVE, .name = name };
	struct symbol sym;

	if (!f->ip || !symbols_find(m->src->target, m->src->files, f->ip - 1, &sym))
		return;
	if (!sym.name)
		sym.name = found_name(m, f->start);
	out.native = sym.name ? strpool_add(m->src->pool, sym.name) : 0;
	out.module = strpool_add(m->src->pool, sym.module);
	out.offset = sym.offset;
	put(m, &out);
}

/* Does the frame run Lua code? */
static bool is_vm(const struct merge *m, const struct unwind_frame *f)
{
	if (!m->src->l || m->src->l->family != LMT_FAMILY_PUC)
		return f->interpreter;
	return m->vm_uaddr ? f->start == m->vm_uaddr : f->end - f->start > VM_CODE;
}

/* How many C frames from at to end run no Lua code, although they could: more than there are groups. */
static size_t count_bare(const struct merge *m, size_t lua, size_t lua_end, size_t at, size_t end)
{
	size_t groups = lua < lua_end, vms = 0;

	for (size_t i = lua + 1; i < lua_end; i++)
		groups += m->lua[i].enters;
	for (; at < end; at++)
		vms += is_vm(m, &m->native->frame[at]);
	return vms > groups ? vms - groups : 0;
}

/*
 * Lua frames between two C functions of Lua's stack, into the C frames there: each activation of
 * the interpreter gets its own.
 */
static void put_segment(struct merge *m, size_t lua, size_t lua_end, size_t at, size_t end)
{
	size_t bare = count_bare(m, lua, lua_end, at, end), vm = 0;

	for (size_t i = at; i < end; i++)
		vm += is_vm(m, &m->native->frame[i]);
	for (; at < end; at++) {
		const struct unwind_frame *f = &m->native->frame[at];
		bool skipped = bare && f->protects;

		bare -= skipped;
		vm -= is_vm(m, f);
		if (!is_vm(m, f) || skipped || lua == lua_end) {
			put_native(m, f, 0);
			continue;
		}
		do {
			put(m, &m->lua[lua++].f);
		} while (lua < lua_end && (!vm || !m->lua[lua].enters));
	}
	for (; lua < lua_end; lua++)
		put(m, &m->lua[lua].f);
}

/* The frame of a C function that Lua called, from `at` on; native->n when it has none. */
static size_t find_anchor(const struct merge *m, uint64_t c_function, size_t at)
{
	for (; c_function && at < m->native->n; at++) {
		const struct unwind_frame *f = &m->native->frame[at];

		if (c_function >= f->start && c_function < f->end && !is_vm(m, f))
			return at;
	}
	return m->native->n;
}

static uint64_t find_vm(const struct frames_source *src)
{
	const struct runtime *rt = src->runtime ? resolved_runtime(src->resolved, src->runtime) : NULL;
	uint64_t vaddr = rt && rt->family == LMT_FAMILY_PUC && rt->file ? find_puc_vm(rt->file, rt->fn) : 0;

	return vaddr ? vaddr + rt->bias : 0;
}

size_t native_merge(const struct frames_source *src, const struct native_stack *native,
		    const struct native_lua *lua, size_t n_lua, struct stack_frame *out, size_t max)
{
	struct merge m = { .src = src, .native = native, .lua = lua, .out = out, .max = max };
	size_t from = 0, at = 0;

	if (native)
		m.vm_uaddr = find_vm(src);
	for (size_t i = 0; native && i < n_lua; i++) {
		size_t anchor = find_anchor(&m, lua[i].c_function, at);

		if (anchor == native->n)
			continue;
		put_segment(&m, from, i, at, anchor);
		put_native(&m, &native->frame[anchor], lua[i].f.name);
		from = i + 1;
		at = anchor + 1;
	}
	if (native) {
		put_segment(&m, from, n_lua, at, native->n);
		return m.n;
	}
	for (size_t i = 0; i < n_lua; i++)
		put(&m, &lua[i].f);
	return m.n;
}
