/* SPDX-License-Identifier: MIT */
/*
 * Two copies of Lua on one state, while the allocators are not probed: a copy that has made no
 * state has nothing to allocate, so its own ways to the allocator are probed, at no cost to a
 * healthy process.
 */
#include "session_find.h"

#include "base/log.h"

/*
 * Of which the first argument is L; the others as luaM_realloc_(L, block, osize, nsize) has them.
 */
static const struct {
	enum func_id id;
	uint8_t args;
} ways[] = {
	{ FUNC_LUAM_REALLOC, 4 },
	{ FUNC_LUAM_FREE, 3 },
	{ FUNC_LUAM_MALLOC, 1 },
};

static bool has_state(struct session *s, const struct session_target *t, uint32_t runtime)
{
	uint32_t n;
	const struct lmt_state *table = live_states(s->live, &n);

	for (uint32_t i = 1; i < n; i++)
		if (table[i].slot == (uint32_t)t->slot && table[i].g &&
		    !(table[i].flags & LMT_STATE_DEAD) &&
		    (!table[i].runtime || table[i].runtime == runtime))
			return true; /* or one of which that is not known */
	return false;
}

static void probe_way(struct session *s, struct session_target *t, const struct runtime *rt,
		      size_t i)
{
	const char *name = func_name(ways[i].id);
	struct plan_site site;
	struct errmsg why;
	int rc;

	if (!rt->fn[ways[i].id].vaddr)
		return;
	rc = plan_extra(rt->file, rt->fn[ways[i].id].vaddr, name, LMT_PROBE_FOREIGN,
			(1u << ways[i].args) - 1, &s->features, &site, &why);
	site.layout = rt->layout;
	site.probe.args = ways[i].args;
	site.probe.runtime = (uint8_t)rt->id;
	if (!rc)
		rc = attach_site(s->attach, t->slot, t->target->pid, &site, &why);
	if (rc < 0 && plan_add_blind_spot(t->plan, "another copy of Lua at work on a state, between windows: %s of "
					  "%s has no probe (%s)", name, rt->module, why.text))
		log_debug("out of memory");
}

void session_watch_copies(struct session *s, struct session_target *t)
{
	size_t copies = 0;

	vec_each(rt, &t->resolved->runtimes)
		copies += rt->family == LMT_FAMILY_PUC;
	if (s->cfg.mode == MODE_EXACT || copies < 2)
		return;
	vec_each(rt, &t->resolved->runtimes)
		for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
			if (rt->family == LMT_FAMILY_PUC && rt->layout && !has_state(s, t, rt->id))
				probe_way(s, t, rt, i);
}
