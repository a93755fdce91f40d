/* SPDX-License-Identifier: MIT */
/* Who makes the states of a process: its places that call lua_newstate(), named while it lives. */
#include "session_find.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "collect/symbols.h"

/* Lua's own ways to a new state: who calls these is of interest. */
static bool is_of_lua(const char *name)
{
	return name && (!strcmp(name, "luaL_newstate") || !strcmp(name, "lua_newstate") ||
			!strcmp(name, "lua_open"));
}

static struct stack_frame name_frame(struct session *s, struct session_target *t, uint64_t ip,
				     const char **name_ret)
{
	struct stack_frame f = { .kind = STACK_NATIVE };
	struct symbol sym;

	*name_ret = NULL;
	/* Where a call goes on may be the next function already. */
	if (!ip || !symbols_find(t->target, &s->files, ip - 1, &sym))
		return f;
	*name_ret = sym.name;
	f.native = sym.name ? strpool_add(s->names.strings, sym.name) : 0;
	f.module = strpool_add(s->names.strings, sym.module);
	f.offset = sym.offset + 1;
	return f;
}

int session_on_creator(struct session *s, struct session_target *t, const struct lmt_native *e)
{
	auto_free struct native_stack *native = calloc(1, sizeof(*native));
	struct creator *k = creators_get(&s->heap.creators, t->target->pid, (uint32_t)e->e.arg0);
	struct stack_frame frames[NATIVE_FRAMES];
	size_t n = 0;

	if (!native || !k)
		return -ENOMEM;
	if (!target_module_at(t->target, e->ip))
		target_refresh(t->target, NULL);
	native_unwind(t->target, &s->files, e, false, native);
	for (size_t i = 0; i < native->n; i++) {
		const char *name;
		struct stack_frame f = name_frame(s, t, native->frame[i].ip, &name);

		if (!n && is_of_lua(name))
			continue;
		if (!n) {
			struct named_address a = session_name_caller(s, t, native->frame[i].ip);

			k->function = a.symbol ? strpool_add(s->names.strings, a.symbol) : 0;
			k->module = f.module;
		}
		frames[n++] = f;
	}
	k->stack = n ? stackdb_add(&s->names.stacks, frames, n) : 0;
	return 0;
}
