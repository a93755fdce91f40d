/* SPDX-License-Identifier: MIT */
/*
 * A program whose C functions take memory from malloc() while Lua runs.
 *
 * usage: inc_cleak MODE
 *   udata  a userdata without __gc owns 1000 bytes, and is garbage at once
 *   bare   500 bytes that nobody keeps, by a helper of the C function
 *   grow   realloc() of a buffer that is then lost
 *   big    strdup(), by a C function with 16 KiB on its stack
 *   ffi    ffi.C.malloc(700), LuaJIT only
 *   good   the same calls, but all is freed: at once, later, by others, or kept up to a limit
 *
 * Prints "ready", waits for a line, calls the C function 100 times a second until it is killed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define RING 64
#define CACHE 300

static void *ring[RING], *cache[CACHE];
static unsigned int turn;
static void *(*volatile take)(size_t) = malloc;

static int udata(lua_State *L)
{
	void **p = lua_newuserdata(L, sizeof(*p));

	*p = take(1000);
	return 1;
}

static void *helper(size_t n)
{
	char *p = take(n);

	memset(p, 1, n);
	return p;
}

static int bare(lua_State *L)
{
	lua_pushboolean(L, helper(500) != NULL);
	return 1;
}

static int grow(lua_State *L)
{
	void *p = take(100);

	p = realloc(p, 3000);
	lua_pushboolean(L, p != NULL);
	return 1;
}

static int big(lua_State *L)
{
	char text[16384];

	memset(text, 'x', sizeof(text));
	text[899] = 0;
	lua_pushboolean(L, strdup(text) != NULL);
	return 1;
}

static int good(lua_State *L)
{
	void *p = NULL;

	free(helper(500));
	free(ring[turn % RING]);
	ring[turn % RING] = realloc(take(100), 2000);
	if (turn < CACHE)
		cache[turn] = calloc(10, 30);
	if (!posix_memalign(&p, 64, 700))
		lua_pushlightuserdata(L, p);
	else
		lua_pushnil(L);
	turn++;
	return 1;
}

/* Not called by the C function that took it. */
static int release(lua_State *L)
{
	free(lua_touserdata(L, 1));
	return 0;
}

static int rest(lua_State *L)
{
	(void)L;
	usleep(10000);
	return 0;
}

static const char script[] =
	"local f = work\n"
	"local i = 0\n"
	"while true do\n"
	"  local p = f()\n"
	"  if release then release(p) end\n"
	"  i = i + 1\n"
	"  if i % 20 == 0 then collectgarbage() end\n"
	"  rest()\n"
	"end\n";

int main(int argc, char **argv)
{
	static const luaL_Reg works[] = {
		{ "udata", udata }, { "bare", bare }, { "grow", grow }, { "big", big }, { "good", good }, { NULL, NULL },
	};
	lua_State *L = luaL_newstate();

	if (argc < 2 || !L)
		return 2;
	luaL_openlibs(L);
	for (const luaL_Reg *w = works; w->name; w++)
		if (!strcmp(w->name, argv[1]))
			lua_register(L, "work", w->func);
	if (!strcmp(argv[1], "ffi") &&
	    luaL_dostring(L, "local ffi = require('ffi') ffi.cdef('void *malloc(size_t)')\n"
			     "function work() return ffi.C.malloc(700) end"))
		return 3;
	if (!strcmp(argv[1], "good"))
		lua_register(L, "release", release);
	lua_register(L, "rest", rest);
	if (luaL_loadbuffer(L, script, sizeof(script) - 1, "@cwork.lua"))
		return 3;
	puts("ready");
	fflush(stdout);
	getchar();
	if (lua_pcall(L, 0, 0, 0))
		printf("# %s\n", lua_tostring(L, -1));
	return 0;
}
