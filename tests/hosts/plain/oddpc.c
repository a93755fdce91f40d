/* SPDX-License-Identifier: MIT */
/*
 * A Lua 5.4 program whose calling frame holds a pc that is some bytes behind the first instruction of its
 * function, in the midst of one. usage: oddpc BYTES
 * build: -I/usr/include/lua5.4 -llua5.4
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <lua.h>
#include <lauxlib.h>
#include <lualib.h>
static long delta = 1;
static int evil(lua_State *L)
{
	char *ci = *(char **)((char *)L + 32), *prev = *(char **)(ci + 16);
	char *func = *(char **)prev, *cl = *(char **)func, *proto = *(char **)(cl + 24), *code = *(char **)(proto + 64);
	char **saved = (char **)(prev + 32), *was = *saved;
	*saved = code + delta;
	for (int i = 0; i < 5; i++) { lua_newtable(L); lua_pop(L, 1); }
	*saved = was;
	return 0;
}
int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate();
	if (argc > 1) delta = atol(argv[1]);
	luaL_openlibs(L);
	lua_register(L, "evil", evil);
	printf("ready %d\n", getpid()); fflush(stdout);
	for (long i = 0;; i++) {
		if (luaL_dostring(L, "local function a() evil() return 1 end local function b() a() return 2 end b()")) puts(lua_tostring(L, -1));
		lua_settop(L, 0);
		usleep(2000);
	}
}
