/* SPDX-License-Identifier: MIT */
/*
 * alloc_calls: the places in Lua's code that call the allocator callback, and where the caller
 * keeps the state meanwhile. L2 resolve. Must not know probes.
 *
 * Every such call goes through g: call [B+d] with rdi = [B+d+8]. g is needed again behind the
 * call (to account the bytes), so B is a callee-saved register: the allocator's probe finds the
 * global_State there. The function's first argument is L, followed to where it is kept.
 */
#ifndef LMT_RESOLVE_ALLOC_CALLS_H
#define LMT_RESOLVE_ALLOC_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"
#include "code.h"

struct alloc_call {
	const struct code_function *fn;
	size_t at;         /* index of the call */
	unsigned int base; /* register B, which holds g */
	bool rsi_const, rdx_const, rcx_const;
	int64_t rsi, rdx, rcx;
};

struct alloc_calls {
	vec_of(struct alloc_call) v;
};

/* All calls through [B+disp]; disp: offset of the allocator in global_State. 0 or -ENOMEM. */
int alloc_calls_find(const struct code *c, int64_t disp, struct alloc_calls *ret);
void alloc_calls_deinit(struct alloc_calls *calls);

/* As the BPF side counts places: 0-5 rbx rbp r12-r15, from 6 on words of the caller's stack. */
#define ALLOC_PLACE_NONE 0xff

struct alloc_site {
	uint64_t vaddr; /* the return address */
	uint8_t g_place, L_place;
};

struct alloc_sites {
	vec_of(struct alloc_site) v;
};

/*
 * Every place in the file that calls the allocator, Lua's own and those that ask lua_getallocf()
 * for it (luaL_Buffer does). getallocf: its vaddr, or 0. 0 or -ENOMEM.
 */
int alloc_sites_find(const struct code *c, int64_t disp, uint64_t getallocf, struct alloc_sites *ret);

/*
 * Return addresses of all calls from which the allocator can be reached within so many levels of
 * direct calls: what may lie on the stack above it. At most `max`. 0 or -ENOMEM.
 */
struct vaddrs {
	vec_of(uint64_t) v;
};
int alloc_callers_find(const struct code *c, int64_t disp, int levels, size_t max,
		       struct vaddrs *ret);

/* Where g and L are while the call runs; ALLOC_PLACE_NONE where that is not known. */
struct alloc_site alloc_call_site(const struct alloc_call *call);

#endif
