/* SPDX-License-Identifier: MIT */
/*
 * The C heap: malloc() and its kin, of whatever library or of the program itself, are probed in
 * the processes that run Lua, when c-leak is among the findings that were asked for by name.
 */
#include "session_find.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "resolve/c_alloc.h"

bool session_wants_c_heap(const struct session *s)
{
	return s->cfg.kinds >> FINDING_C_LEAK & 1 && s->cfg.mode != MODE_WATCH;
}

static void probe_function(struct session *s, struct session_target *t, struct file *file,
			  const struct c_alloc_function *fn, const struct layout *layout)
{
	struct plan_site site;
	struct errmsg why;
	int rc;

	rc = plan_extra(file, fn->vaddr, fn->name, LMT_PROBE_C_HEAP, fn->args, &s->features, &site,
			&why);
	site.layout = layout;
	site.probe.args = fn->what;
	if (!rc)
		rc = attach_site(s->attach, t->slot, t->target->pid, &site, &why);
	if (rc < 0)
		log_warn("%s of '%s' is not followed: %s", fn->name, file->path, why.text);
}

/* By name, or in a program without names by what Lua's own allocator there calls. */
static size_t find_functions(const struct session_target *t, const struct file *file,
			     struct c_alloc_function *fn, bool *by_name)
{
	size_t n = c_alloc_find(file->elf, fn, C_ALLOC_MAX);

	*by_name = n;
	vec_each(rt, &t->resolved->runtimes)
		if (!n && rt->file == file && rt->fn[FUNC_L_ALLOC].vaddr)
			n = c_alloc_by_callback(file->elf, rt->fn[FUNC_L_ALLOC].vaddr, fn);
	return n;
}

size_t session_look_for_c_heap(struct session *s, struct session_target *t, char *where,
			       size_t size)
{
	struct c_alloc_function fn[C_ALLOC_MAX];
	size_t n = 0, len = 0;

	*where = 0;
	vec_each(m, &t->target->modules) {
		struct file *file = files_get(&s->files, m);
		bool by_name = true;
		size_t found = file && file->elf ? find_functions(t, file, fn, &by_name) : 0;
		const char *unseen =
			file && file->elf ? c_alloc_unseen(file->elf, found, by_name) : NULL;

		n += found;
		if (found && len < size)
			len += (size_t)snprintf(where + len, size - len, "%s%s", len ? ", " : "", m->path);
		if (unseen)
			plan_add_blind_spot(t->plan, "c-leak, '%s': %s", m->path, unseen);
	}
	if (!n)
		plan_add_blind_spot(t->plan, "c-leak: not available here, no malloc() was found");
	return n;
}

static void follow_target(struct session *s, struct session_target *t, const struct layout *layout)
{
	struct c_alloc_function fn[C_ALLOC_MAX];
	char where[PATH_MAX];

	t->c_heap_done = true;
	vec_each(m, &t->target->modules) {
		struct file *file = files_get(&s->files, m);
		bool by_name;
		size_t n = file && file->elf ? find_functions(t, file, fn, &by_name) : 0;

		for (size_t i = 0; i < n; i++)
			probe_function(s, t, file, &fn[i], layout);
	}
	session_look_for_c_heap(s, t, where, sizeof(where));
	log_debug("malloc() and its kin are followed in process %d: %s", t->target->pid, where);
}

void session_follow_c_heap(struct session *s)
{
	if (!session_wants_c_heap(s))
		return;
	vec_each(t, &s->targets.all) {
		const struct layout *layout = NULL;

		if (t->c_heap_done || session_target_ended(t) || !t->slot || !t->plan)
			continue;
		vec_each(rt, &t->resolved->runtimes)
			layout = layout ? layout : rt->layout;
		if (layout)
			follow_target(s, t, layout);
	}
}

/* Called by the FFI there is no C function in between: machine code, or LuaJIT's own call. */
static void name_by_address(struct session *s, struct session_target *t, struct heap_site *site)
{
	struct named_address a;
	bool direct;

	if (!target_module_at(t->target, site->c_ip))
		target_refresh(t->target, NULL);
	a = session_name_caller(s, t, site->c_ip);
	direct = !a.module || (a.symbol && !strcmp(a.symbol, func_name(FUNC_LJ_VM_FFI_CALL)));
	site->c_function = strpool_add(s->names.strings, direct ? "malloc" : a.symbol ? a.symbol : a.module);
	site->c_module = direct ? 0 : strpool_add(s->names.strings, a.module);
}

/* The C function that Lua has called: its frame has the name that Lua calls it by. */
static void name_by_stack(struct session *s, struct heap_site *site)
{
	uint32_t frames[STACKDB_FRAMES];
	size_t n = stackdb_frames(&s->names.stacks, heap_stack_of(&s->heap, site->c_site), frames,
				  STACKDB_FRAMES);

	for (size_t i = 0; i < n; i++) {
		const struct stack_frame *f = &s->names.stacks.frames.v[frames[i]];

		if (f->kind != STACK_NATIVE)
			break;
		if (!f->name)
			continue;
		site->c_function = f->native ? f->native : f->name;
		site->c_module = f->module;
	}
}

void session_name_c_code(struct session *s)
{
	if (!session_wants_c_heap(s))
		return;
	vec_each(site, &s->heap.sites) {
		const struct heap_state *st = &s->heap.states.v[site->state];
		struct session_target *t;

		if (site->kind != KIND_C_HEAP || site->verdict != VERDICT_LEAK || site->c_function)
			continue;
		name_by_stack(s, site);
		t = site->c_function ? NULL : session_target_of_pid(s, st->pid);
		if (t)
			name_by_address(s, t, site);
	}
}
