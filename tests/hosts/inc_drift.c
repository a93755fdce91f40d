/* SPDX-License-Identifier: MIT */
/*
 * A state whose VM counts more than its allocator handed out: something adds to its total directly.
 *
 * usage: inc_drift L_GLOB TOTAL BYTES   (offsets of l_G in lua_State and of totalbytes or gc.total in
 *   global_State; BYTES 0: the healthy twin)
 * Prints "ready", waits for a line, works, prints "done", waits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static const char work[] =
	"local t = {} for i = 1, 20000 do t[i % 500] = {tostring(i)} end\n"
	"local s = {} for i = 1, 300 do s[i] = ('x'):rep(i) end\n"
	"table.concat(s)\n";

int main(int argc, char **argv)
{
	lua_State *L = luaL_newstate();
	char *g;

	if (argc < 4 || !L)
		return 2;
	luaL_openlibs(L);
	puts("ready");
	fflush(stdout);
	getchar();
	(void)!luaL_dostring(L, work);
	g = *(char **)((char *)L + atoi(argv[1]));
	*(long *)(g + atoi(argv[2])) += atol(argv[3]);
	sleep(3); /* nothing goes on: both totals are exact */
	puts("done");
	fflush(stdout);
	getchar();
	return 0;
}
