/* SPDX-License-Identifier: MIT */
/*
 * The C heap: malloc() and its kin, of whatever library or of the program itself, are probed in
 * the processes that run Lua, when c-leak is among the findings that were asked for by name.
 */
#include "session_find.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"

static const struct {
	const char *name;
	uint8_t what;
	unsigned int args; /* those needed, by bit */
} functions[] = {
	{ "malloc", LMT_C_MALLOC, 0x1 },
	{ "calloc", LMT_C_CALLOC, 0x3 },
	{ "realloc", LMT_C_REALLOC, 0x3 },
	{ "memalign", LMT_C_ALIGNED, 0x3 },
	{ "aligned_alloc", LMT_C_ALIGNED, 0x3 },
	{ "posix_memalign", LMT_C_POSIX_MEMALIGN, 0x7 },
	{ "free", LMT_C_FREE, 0x1 },
};
/* jemalloc, where it is linked in by name, and wrappers' own names of the same */
static const char *const prefixes[] = { "", "je_", "rpl_" };

bool session_wants_c_heap(const struct session *s)
{
	return s->opt->kinds >> FINDING_C_LEAK & 1 && s->opt->mode != MODE_WATCH;
}

static int probe_named(struct session *s, struct session_target *t, struct file *file, const char *prefix,
		       size_t i, const struct layout *layout)
{
	struct plan_site site;
	struct errmsg why;
	char name[64];
	uint64_t vaddr;
	int rc;

	snprintf(name, sizeof(name), "%s%s", prefix, functions[i].name);
	vaddr = elf_find_sym(file->elf, name, NULL);
	if (!vaddr || !elf_is_code(file->elf, vaddr))
		return 0;
	rc = plan_extra(file, vaddr, name, LMT_PROBE_C_HEAP, functions[i].args, &s->features, &site, &why);
	site.layout = layout;
	site.probe.args = functions[i].what;
	if (!rc)
		rc = attach_site(s->attach, t->slot, t->target->pid, &site, &why);
	if (rc < 0)
		log_warn("%s of '%s' is not followed: %s", name, file->path, why.text);
	return rc > 0;
}

static int probe_module(struct session *s, struct session_target *t, const struct module *m,
			const struct layout *layout)
{
	struct file *file = files_get(&s->files, m);
	const char *slash = strrchr(m->path, '/');
	int n = 0;

	/* The loader has an allocator of its own, for itself. */
	if (!file || !file->elf || !strncmp(slash ? slash + 1 : m->path, "ld-", 3))
		return 0;
	for (size_t p = 0; p < sizeof(prefixes) / sizeof(prefixes[0]); p++)
		for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
			n += probe_named(s, t, file, prefixes[p], i, layout);
	return n;
}

/* Frees first would do no harm, blocks without frees would: a module is probed as a whole. */
static void follow_target(struct session *s, struct session_target *t, const struct layout *layout)
{
	int n = 0;

	t->c_heap_done = true;
	vec_each(m, &t->target->modules)
		n += probe_module(s, t, m, layout);
	if (!n)
		plan_add_blind_spot(t->plan, "the C heap: no malloc() was found by name");
	log_debug("%d functions of the C heap are followed in process %d", n, t->target->pid);
}

void session_follow_c_heap(struct session *s)
{
	if (!session_wants_c_heap(s))
		return;
	vec_each(t, &s->targets) {
		const struct layout *layout = NULL;

		if (t->c_heap_done || t->ended || !t->slot || !t->plan)
			continue;
		vec_each(rt, &t->resolved->runtimes)
			layout = layout ? layout : rt->layout;
		if (layout)
			follow_target(s, t, layout);
	}
}

/* Called by the FFI there is no C function in between: machine code, or LuaJIT's own call. */
static const char *function_at(struct session *s, struct session_target *t, uint64_t ip)
{
	struct named_address a;

	if (!target_module_at(t->target, ip))
		target_refresh(t->target, NULL);
	a = session_name_caller(s, t, ip);
	if (!a.module || (a.symbol && !strcmp(a.symbol, func_name(FUNC_LJ_VM_FFI_CALL))))
		return "malloc";
	return a.symbol ? a.symbol : a.module;
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
		t = session_target_of_pid(s, st->pid);
		if (t)
			site->c_function = strpool_add(s->strings, function_at(s, t, site->c_ip));
	}
}
