/* SPDX-License-Identifier: MIT */
#include "frames.h"

#include <stdio.h>
#include <string.h>

#define STRING_SHOWN 45 /* of a chunk that is a whole program: about what Lua shows */

/*
 * '@' a file and '=' a label stay as they are; anything else is source text, of which Lua shows
 * the first line in [string "…"] (luaO_chunkid, lobject.c). Lines begin at 1: 0 is that of a main
 * chunk as a whole, or of one whose lines were stripped.
 */
uint32_t frames_text(struct strpool *pool, const char *chunk, uint64_t line)
{
	char text[1200], behind[24] = "";
	size_t first = strcspn(chunk, "\r\n");
	bool cut = chunk[first] != '\0';

	if (line > INT32_MAX)
		return 0; /* a line is an int in every Lua: this was read from what is no prototype any more */
	if (line)
		snprintf(behind, sizeof(behind), ":%llu", (unsigned long long)line);
	if (*chunk == '@' || *chunk == '=') {
		snprintf(text, sizeof(text), "%s%s", chunk, behind);
		return strpool_add(pool, text);
	}
	if (first > STRING_SHOWN) {
		first = STRING_SHOWN;
		cut = true;
	}
	snprintf(text, sizeof(text), "[string \"%.*s%s\"]%s", (int)first, chunk, cut ? "..." : "",
		 behind);
	return strpool_add(pool, text);
}

bool frames_resolve(const struct memread *mem, const struct lmt_layout *l, uint64_t g, uint64_t block,
		    const struct lmt_site *site, struct strpool *pool, struct frame *ret)
{
	*ret = (struct frame){ 0 };
	if (site->flags & LMT_SITE_NO_LUA)
		return false;
	return l->family == LMT_FAMILY_PUC ? frames_puc(mem, l, site, pool, ret)
					   : frames_luajit(mem, l, g, block, site, pool, ret);
}
