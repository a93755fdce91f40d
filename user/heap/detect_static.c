/* SPDX-License-Identifier: MIT */
/*
 * static-free: the allocator is asked to free or move memory that belongs to a module's image. In
 * Lua before 5.3.4 that is what two copies of Lua in one process do to each other: an empty table
 * points at the static node of the copy that made it, and another copy, for which it is not the
 * static node, frees it. Seen at the allocator's entry, before it touches anything.
 */
#include "detect.h"

#include <stdio.h>
#include <string.h>

static void say(struct findings *fs, struct finding *f, const struct noticed *n)
{
	const char *symbol = n->ptr_is_dummy ? "dummynode_" : n->ptr.symbol;
	char what[256];

	if (symbol)
		snprintf(what, sizeof(what), "'%s' of %s", symbol, n->ptr.module);
	else
		snprintf(what, sizeof(what), "static memory (%s) of %s",
			 n->ptr.section ? n->ptr.section : "image", n->ptr.module);
	if (n->foreign_module)
		finding_say(fs, f, "two copies of Lua share one lua_State: %s, called by %s, %s %s, which "
			    "was never allocated", n->owner_module ? n->owner_module : "the state's allocator",
			    n->foreign_module, n->e->nsize ? "moves" : "frees", what);
	else
		finding_say(fs, f, "%s %s %s, which was never allocated",
			    n->caller.module ? n->caller.module : "code outside any module",
			    n->e->nsize ? "moves" : "frees", what);
	if (n->foreign_module || n->ptr_is_dummy)
		finding_advise(fs, f, "let the process have one copy of Lua: link the plugin or the program "
			       "against the shared library (or export Lua from the program), not a second "
			       "static one; Lua 5.3.4 and later survive this, older ones crash in free()");
	else
		finding_advise(fs, f, "look at who hands this address to Lua's allocator: the caller is "
			       "in %s", n->caller.module ? n->caller.module : "generated code");
}

void detect_static_free(struct findings *fs, const struct noticed *n)
{
	struct finding *f;

	/* An allocator may serve from an array of its own; that is where its blocks are. */
	if (!n->ptr.module || (n->ptr.writable && n->ptr_served))
		return;
	f = finding_of_noticed(fs, FINDING_STATIC_FREE, n);
	if (!f)
		return;
	f->severity = SEVERITY_FATAL;
	f->confidence = n->ptr.writable ? CONFIDENCE_LIKELY : CONFIDENCE_CERTAIN;
	evidence_address(f, "ptr", n->e->ptr);
	evidence_number(f, "osize", n->e->osize);
	if (n->e->nsize)
		evidence_number(f, "nsize", n->e->nsize);
	evidence_text(fs, f, "module", n->ptr.module);
	evidence_text(fs, f, "symbol", n->ptr_is_dummy ? "dummynode_" : n->ptr.symbol);
	evidence_text(fs, f, "section", n->ptr.section ? n->ptr.section
			      : !n->ptr.in_file ? ".bss" : n->ptr.writable ? ".data" : ".rodata");
	evidence_address(f, "offset", n->ptr.offset);
	evidence_text(fs, f, "caller_module", n->caller.module);
	evidence_text(fs, f, "caller_function", n->caller.symbol);
	evidence_text(fs, f, "home_module", n->owner_module);
	evidence_text(fs, f, "foreign_module", n->foreign_module);
	say(fs, f, n);
}
