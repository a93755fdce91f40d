/* SPDX-License-Identifier: MIT */
/* Options → the engine's configuration: the only file that knows both. */
#include "options.h"

#define DEFAULT_TOP 10

size_t options_top(const struct options *o)
{
	return o->top_given ? o->top : o->json ? 0 : DEFAULT_TOP;
}

void options_trace_config(const struct options *o, struct trace_config *ret)
{
	*ret = (struct trace_config){
		.command_line = o->line,
		.pids = o->pids.v,
		.n_pids = o->pids.n,
		.children = o->children && !o->no_children,
		.skip_missing = o->skip_missing,
		.all = o->all,
		.name = o->name,
		.cgroup = o->cgroup,
		.command = o->command,
		.mode = (enum mode)o->mode,
		.max_overhead_pct = o->max_overhead,
		.max_blocks = o->max_blocks,
		.max_states = o->max_states,
		.sample_bytes = o->sample_bytes,
		.stack_depth = o->stack_depth,
		.native = o->native,
		.lua_only = o->lua_only,
		.each_call = o->each_call,
		.pause_budget_ms = o->pause_budget_ms,
		.watch_calls = o->watch_calls.v,
		.n_watch_calls = o->watch_calls.n,
		.interval_s = o->interval,
		.duration_s = o->duration,
		.count = o->count,
		.older_ms = o->older_ms,
		.min_size = o->min_size,
		.max_size = o->max_size,
		.only_state = o->only_state,
		.kinds = o->kinds,
		.suppressions = o->suppressions,
		.sort = (enum sort_key)o->sort,
		.top = options_top(o),
	};
}
