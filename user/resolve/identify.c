/* SPDX-License-Identifier: MIT */
#include "identify.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "find.h"
#include "layout.h"

/* Texts only the core has (lmem.c/lj_errmsg.h, ldebug.c/lj_errmsg.h), all versions… */
static const char *const core_texts[] = { "not enough memory", "attempt to %s a %s value" };
/* …and our own files, which look for them. */
static const char our_mark[] = "luamemtrace looks for Lua and holds none";

static bool has_text(struct elf_file *elf, const char *text)
{
	return elf_find_bytes(elf, text, strlen(text), 0) != 0;
}

/* The word behind a prefix, as far as it looks like a version; the longest one found wins. */
static void version_after(struct elf_file *elf, const char *prefix, char *out, size_t size)
{
	size_t len = strlen(prefix);
	uint64_t at = 0;

	while ((at = elf_find_bytes(elf, prefix, len, at + 1))) {
		char word[32];
		size_t n = 0;

		for (const uint8_t *p; n < sizeof(word) - 1; n++) {
			p = elf_data(elf, at + len + n, 1);
			if (!p || !(isalnum(*p) || *p == '.' || *p == '-'))
				break;
			word[n] = (char)*p;
		}
		while (n && word[n - 1] == '.')
			n--;
		word[n] = '\0';
		if (n > strlen(out) && n < size && isdigit((unsigned char)word[0]))
			memcpy(out, word, n + 1);
	}
}

static bool is_luajit(struct elf_file *elf)
{
	return find_luajit_exit_handler(elf) || has_text(elf, "LuaJIT 2.");
}

void identify_file(struct elf_file *elf, struct identity *ret)
{
	bool exports = elf_find_sym(elf, "lua_newstate", NULL) != 0;
	bool core = !exports && has_text(elf, core_texts[0]) && has_text(elf, core_texts[1]) &&
		    !has_text(elf, our_mark);

	*ret = (struct identity){ .holds_lua = exports || core,
				  .evidence = exports ? "defines lua_newstate" : "holds the core's texts" };
	if (!ret->holds_lua)
		return;
	if (is_luajit(elf)) {
		ret->family = LMT_FAMILY_LUAJIT;
		version_after(elf, "LuaJIT ", ret->version, sizeof(ret->version));
		return;
	}
	ret->family = LMT_FAMILY_PUC;
	version_after(elf, "$LuaVersion: Lua ", ret->version, sizeof(ret->version));
	if (!*ret->version)
		version_after(elf, "$Lua: Lua ", ret->version, sizeof(ret->version));
	if (!*ret->version)
		version_after(elf, "Lua ", ret->version, sizeof(ret->version));
	if (ret->version[0] == '5' && ret->version[1] == '.' &&
	    isdigit((unsigned char)ret->version[2]))
		ret->number = 500u + (unsigned int)(ret->version[2] - '0');
}
