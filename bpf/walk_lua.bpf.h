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
#include "state.bpf.h"

#define CI_WORDS 10 /* the largest CallInfo, 5.2.0, is 80 bytes */

/* The innermost Lua frame; see struct lmt_site. */
struct top {
	__u64 proto;
	__u64 pc;
	__u32 trace;
	__u32 flags;
};

/* True when the closure of this value tag is Lua code. */
static __always_inline bool is_lua_closure(const struct lmt_layout *lay, __u64 tag, __u64 closure)
{
	__u8 is_c = 0;

	if (lay->CCL_isC.off != LMT_OFF_NONE)
		return bpf_probe_read_user(&is_c, 1,
					   (const void *)(closure + (__u32)lay->CCL_isC.off)) == 0 &&
		       !is_c;
	return (tag & 0x3f) == (__u32)lay->tag_lcl.off;
}

static __always_inline bool puc_top(const struct lmt_layout *lay, const struct thread *t,
				    struct top *top)
{
	__u64 ci = member(t->words, THREAD_WORDS, lay->L_ci), ciw[CI_WORDS] = {}, slot[2], base;
	bool is51 = lay->ci_prev.off == LMT_OFF_NONE;
	__u32 size = (__u32)lay->size_ci.off;

	base = is51 ? member(t->words, THREAD_WORDS, lay->L_base_ci)
		    : t->L + (__u32)lay->L_base_ci.off;
	if (size > sizeof(ciw))
		return false;
	for (int i = 0; i < LMT_TOP_FRAMES && ci && ci != base; i++) {
		if (!read_user(ciw, size, ci) ||
		    !read_user(slot, sizeof(slot), member(ciw, CI_WORDS, lay->ci_func)))
			return false;
		/* value, tag: any function but a light C function is a closure */
		if ((slot[1] & 0x3f) != (__u32)lay->tag_lcf.off && (slot[1] & 0xf) == 6 &&
		    is_lua_closure(lay, slot[1], slot[0])) {
			top->pc = is51 && i == 0 ? member(t->words, THREAD_WORDS, lay->L_savedpc)
						 : member(ciw, CI_WORDS, lay->ci_pc);
			top->flags = i ? LMT_SITE_BELOW : 0;
			return read_user(&top->proto, 8, slot[0] + (__u32)lay->LCL_p.off);
		}
		ci = is51 ? ci - size : member(ciw, CI_WORDS, lay->ci_prev);
	}
	return false;
}

#endif
