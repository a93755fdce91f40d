/* SPDX-License-Identifier: MIT. build: -s -static -no-pie -I/usr/include/lua5.4 -l:liblua5.4.a -lm */
/*
 * static54: Lua 5.4 in a static, stripped executable: no symbol, no module but the program itself.
 * usage: static54 SCRIPT; gates as in dlopen.c
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate();

	if (argc != 2 || !L)
		return 2;
	luaL_openlibs(L);
	puts("ready");
	fflush(stdout);
	getchar();
	if (luaL_dofile(L, argv[1]))
		return 1;
	puts("end");
	fflush(stdout);
	getchar();
	return 0;
}
