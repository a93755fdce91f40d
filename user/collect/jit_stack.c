/* SPDX-License-Identifier: MIT */
#include "jit_stack.h"

#include "jit_trace.h"

static uint64_t lua_frame(uint64_t proto)
{
	return proto | (uint64_t)LMT_FRAME_LUA << 48;
}

/* fn 0: the trace is not tied to one closure, but the bytecode tells the prototype. */
static uint64_t frame_of(const struct lj *p, uint64_t fn, uint64_t pc)
{
	uint64_t proto = lj_proto_of(p, fn);

	if (proto || (!fn && jit_proto_at(p, pc, &proto)))
		return lua_frame(proto);
	return fn ? fn | (uint64_t)LMT_FRAME_BUILT_IN << 48 : 0;
}

size_t jit_stack(const struct lj *p, const struct jit_place *place, struct lmt_frame *frames,
		 size_t max, uint64_t *base_pc_ret)
{
	uint64_t pc = place->pc, at;
	struct jit_snap snap;
	size_t out = 0;

	*base_pc_ret = 0;
	if (!place->trace || !jit_snap_read(p, place->trace, place->snap, &snap) ||
	    place->level > snap.n)
		return 0;
	for (size_t i = place->level; i-- > 0 && out < max;) {
		if (jit_is_vararg(&snap.f[i]) && i) /* a copy of the frame below */
			continue;
		at = out ? frame_of(p, snap.f[i].fn, pc) : lua_frame(place->proto);
		if (at)
			frames[out++] = (struct lmt_frame){ at, pc };
		pc = jit_caller_pc(&snap.f[i]);
	}
	*base_pc_ret = out ? pc : 0;
	return out;
}
