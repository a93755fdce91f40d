/* SPDX-License-Identifier: MIT */
/*
 * census_twice: two mapped copies of one Lua library.
 *
 * usage: census_twice LIBRARY own|foreign N
 *   own      the second copy works on a state of its own, as it should
 *   foreign  the second copy makes N empty tables in the first one's state
 *
 * Prints "ready" and waits for a line on stdin; nothing is collected before it exits.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dlmopen */
#endif
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#ifdef __cplusplus
}
#endif

typedef lua_State *(*new_fn)(void);
typedef void (*table_fn)(lua_State *, int, int);

int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate(), *other;
	void *copy = argc > 3 ? dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW) : NULL;
	table_fn make;
	new_fn make_state;
	int n;

	if (!copy) {
		fprintf(stderr, "census_twice: %s\n", dlerror());
		return 2;
	}
	make = (table_fn)dlsym(copy, "lua_createtable");
	make_state = (new_fn)dlsym(copy, "luaL_newstate");
	luaL_openlibs(L);
	lua_gc(L, LUA_GCSTOP, 0);
	if (luaL_dostring(L, "list = {} for i = 1, 500 do list[i] = {} end"))
		abort();
	lua_getglobal(L, "list");
	other = make_state();
	n = atoi(argv[3]);
	for (int i = 1; i <= n; i++) {
		make(strcmp(argv[2], "foreign") ? other : L, 0, 0);
		if (!strcmp(argv[2], "foreign"))
			lua_rawseti(L, -2, i);
		else if (i % 10 == 0)
			lua_settop(other, 0);
	}
	puts("ready");
	fflush(stdout);
	getchar();
	_exit(0);
}
