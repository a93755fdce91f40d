/* SPDX-License-Identifier: MIT */
/*
 * cross-runtime: Lua code of one mapped copy works on a lua_State that another copy made. Seen at
 * the first call of the allocator from that code.
 */
#include "detect.h"

#include <stdio.h>

/*
 * Since 5.3.4 a table says itself that it has no nodes (upstream 7b1fba69), so foreign ones do no
 * harm.
 */
static bool survives_it(const char *version)
{
	int major = 0, minor = 0, release = 0;

	if (!version || sscanf(version, "%d.%d.%d", &major, &minor, &release) < 2)
		return false;
	return major > 5 || minor > 3 || (minor == 3 && release >= 4);
}

void detect_cross_runtime(struct findings *fs, const struct noticed *n)
{
	bool survives = survives_it(n->owner_version);
	struct finding *f;

	if (!n->owner_module || !n->foreign_module)
		return;
	f = finding_of_noticed(fs, FINDING_CROSS_RUNTIME, n);
	if (!f)
		return;
	f->severity = survives ? SEVERITY_WARNING : SEVERITY_ERROR;
	f->confidence = CONFIDENCE_CERTAIN;
	evidence_text(fs, f, "home_module", n->owner_module);
	evidence_text(fs, f, "foreign_module", n->foreign_module);
	evidence_text(fs, f, "function", n->caller.symbol);
	evidence_address(f, "offset", n->caller.offset);
	finding_say(fs, f, "two copies of Lua drive one lua_State: it was made by the copy in %s and is "
		    "worked on by the copy in %s", n->owner_module, n->foreign_module);
	finding_advise(fs, f, "let the process have one copy of Lua: build the plugin without its own "
		       "(unresolved lua_* symbols, program linked with -rdynamic or against the shared "
		       "library)%s", survives ? "" : "; with this version it will crash in free()");
}
