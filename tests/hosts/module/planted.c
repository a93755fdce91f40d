/* SPDX-License-Identifier: MIT */
/* A C library for Lua: its functions must appear between the Lua lines. See 0570-native.sh. */
#include <lauxlib.h>
#include <lua.h>

#define UDATA_BYTES 3000
#define BUFFER_BYTES 30000

int luaopen_planted(lua_State *L);

static int __attribute__((noinline, noclone)) planted_box(lua_State *L)
{
	char *p = lua_newuserdata(L, UDATA_BYTES);

	p[0] = 1;
	return 1;
}

/* What follows each call keeps the compiler from making a jump of it. */
static int planted_udata(lua_State *L)
{
	int n = planted_box(L);

	lua_settop(L, -1);
	return n;
}

static int planted_buffer(lua_State *L)
{
	static unsigned int n; /* a string that is there already would not be made again */
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	n++;
	luaL_addlstring(&b, (char *)&n, sizeof(n));
	for (int i = 0; i < BUFFER_BYTES; i++)
		luaL_addchar(&b, 'x');
	luaL_pushresult(&b);
	lua_settop(L, -1);
	return 1;
}

static int planted_back(lua_State *L)
{
	lua_pushvalue(L, 1);
	lua_call(L, 0, 1);
	lua_settop(L, -1);
	return 1;
}

int luaopen_planted(lua_State *L)
{
	static const struct {
		const char *name;
		lua_CFunction f;
	} all[] = { { "udata", planted_udata }, { "buffer", planted_buffer }, { "back", planted_back } };

	lua_newtable(L);
	for (unsigned int i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		lua_pushcfunction(L, all[i].f);
		lua_setfield(L, -2, all[i].name);
	}
	return 1;
}
