/* SPDX-License-Identifier: MIT */
/*
 * The plugin of inc_twolua: a shared object that carries a copy of Lua 5.1 of its own.
 * build: -shared -fPIC -I/usr/include/lua5.1 -Wl,-Bsymbolic /usr/lib/x86_64-linux-gnu/liblua5.1.a -lm -ldl
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

/* Like a page fetched from somewhere: one large string, whose debt makes this copy's GC sweep. */
int plugin_gethtml(lua_State *L)
{
	static char page[76841];
	static int n;

	if (getenv("INC_FULLGC"))
		lua_gc(L, LUA_GCCOLLECT, 0);
	usleep(1000);
	memset(page, 'h', sizeof(page));
	snprintf(page, 16, "%d", ++n); /* else Lua finds it among its strings */
	lua_pushlstring(L, page, sizeof(page));
	return 1;
}
