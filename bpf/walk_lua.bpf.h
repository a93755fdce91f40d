/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * walk_lua: CallInfos of PUC Lua 5.1 to 5.5, from the innermost outwards. BPF only.
 *
 *	L.ci ─► CallInfo ── func ─► stack slot ─► closure ── p ─► Proto
 *	           │ savedpc
 *	           ▼ previous (5.1: the array element before)
 *	        CallInfo …                    up to base_ci, the level of the host program
 */
#ifndef LMT_WALK_LUA_BPF_H
#define LMT_WALK_LUA_BPF_H

#include "read.bpf.h"
#include "thread.bpf.h"

#define CI_WORDS 10 /* the largest CallInfo, 5.2.0, is 80 bytes */
#define TAG_FUNCTION 6

/* The innermost Lua frame. */
struct top {
	__u64 pc;
	__u64 func;  /* PUC: stack slot of the function; LuaJIT: the function or its prototype */
	__u64 proto; /* known already; 0: read it through func when the site is new */
	__u32 flags; /* LMT_SITE_… */
	__u32 pad;
};

/* 5.1 tells Lua from C in the closure only: the function's stack slot → tag → isC. */
static __always_inline bool is_lua_51(const struct lmt_layout *lay, __u64 func)
{
	__u64 slot[2];
	__u8 is_c = 1;

	if (!read_user(slot, sizeof(slot), func) || (slot[1] & 0xf) != TAG_FUNCTION)
		return false;
	return read_user(&is_c, 1, slot[0] + (__u32)lay->CCL_isC.off) && !is_c;
}

static __always_inline bool puc_top(const struct lmt_layout *lay, const struct thread *t,
				    struct top *top)
{
	const struct lmt_hot *hot = &lay->hot;
	__u64 ci = word_at(t->words, THREAD_WORDS, hot->L_ci), ciw[CI_WORDS] = {}, base;
	__u32 size = hot->ci_bytes;

	base = hot->is_51 ? word_at(t->words, THREAD_WORDS, hot->L_base_ci) : t->L + hot->L_base_ci;
	if (size > sizeof(ciw))
		return false;
	for (int i = 0; i < LMT_TOP_FRAMES && ci && ci != base; i++) {
		if (!read_user(ciw, size, ci))
			return false;
		top->func = word_at(ciw, CI_WORDS, hot->ci_func);
		if (hot->is_51 ? is_lua_51(lay, top->func)
			       : (u32_at(ciw, CI_WORDS, hot->ci_status) & hot->lua_mask) ==
					 hot->lua_want) {
			top->pc = hot->is_51 && i == 0
				? word_at(t->words, THREAD_WORDS, hot->L_savedpc)
				: word_at(ciw, CI_WORDS, hot->ci_pc);
			top->flags = i ? LMT_SITE_BELOW : 0;
			return true;
		}
		ci = hot->is_51 ? ci - size : word_at(ciw, CI_WORDS, hot->ci_prev);
	}
	return false;
}

/* The prototype of the function in a stack slot; 0 when it cannot be read. */
static __always_inline __u64 puc_proto(const struct lmt_layout *lay, __u64 func)
{
	__u64 closure, proto = 0;

	if (read_user(&closure, 8, func))
		read_user(&proto, 8, closure + (__u32)lay->LCL_p.off);
	return proto;
}

#endif
