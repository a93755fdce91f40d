/* SPDX-License-Identifier: MIT */
/*
 * frames: turns a prototype and a program counter into "@file.lua:12" while the target lives.
 * L4 collect. Everything right of here sees strings only.
 */
#ifndef LMT_COLLECT_FRAMES_H
#define LMT_COLLECT_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strpool.h"
#include "block.h"
#include "resolve/layouts.h"
#include "resolve/memread.h"

struct frame {
	uint32_t where; /* "@app.lua:12"; 0: unknown */
	uint32_t name;  /* function, as far as it is known */
	bool approx;    /* the function is right, the line may be a neighbour */
	uint32_t line_defined; /* of the function; 0: a main chunk */
};

/*
 * The innermost Lua frame of a site. g: its state's global_State; block: the first one allocated
 * there, or 0. False when the target's memory does not (any more) hold what is needed.
 */
bool frames_resolve(const struct memread *mem, const struct lmt_layout *l, uint64_t g, uint64_t block,
		    const struct lmt_site *site, struct strpool *pool, struct frame *ret);

/* For the family files: the text of a chunk name and line, as Lua itself would show it. */
uint32_t frames_text(struct strpool *pool, const char *chunk, uint64_t line);

bool frames_puc(const struct memread *mem, const struct lmt_layout *l, const struct lmt_site *site,
		struct strpool *pool, struct frame *ret);
bool frames_luajit(const struct memread *mem, const struct lmt_layout *l, uint64_t g, uint64_t block,
		   const struct lmt_site *site, struct strpool *pool, struct frame *ret);

#endif
