/* SPDX-License-Identifier: MIT */
/*
 * LuaJIT runs out of memory where it cannot unwind: at the end of a collection it rehashes the
 * table of FFI finalizers, and the allocator refuses new blocks of 16 KiB and more once armed.
 * build: -I/usr/include/luajit-2.1 -lluajit-5.1 -lm
 *
 * usage: inc_oomjit OBJECTS ARM   (OBJECTS divisible by 20: the collector's last step is called by
 *   a trace, e.g. 2000; else while a trace is left, e.g. 2010. ARM 0: the healthy twin; 1: armed;
 *   2: refuses an ordinary table instead, outside any trace)
 * Prints "ready", waits for a line, runs, prints "done", waits.
 */
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static int armed;
static unsigned long refused;

static void *quota(void *ud, void *ptr, size_t osize, size_t nsize)
{
	(void)ud;
	(void)osize;
	if (!nsize) {
		free(ptr);
		return NULL;
	}
	if (armed && !ptr && nsize >= 16384) {
		refused++;
		return NULL;
	}
	return realloc(ptr, nsize);
}

static int arm(lua_State *L)
{
	armed = lua_toboolean(L, 1);
	return 0;
}

static const char script[] =
	"local n, mode = ...\n"
	"local ffi = require 'ffi'\n"
	"if mode == 2 then\n"
	"  jit.off()\n"
	"  arm(true)\n"
	"  print(pcall(function() local t = {} for i = 1, 20000 do t['k' .. i] = i end end))\n"
	"  return\n"
	"end\n"
	"jit.opt.start('hotloop=2', 'hotexit=10000')\n"
	"local S = ffi.typeof('struct { int x; }')\n"
	"local function fin() end\n"
	"collectgarbage() collectgarbage() collectgarbage('stop')\n"
	"local live = {}\n"
	"for i = 1, 2000 do live[i] = ffi.gc(S(i), fin) end\n"
	"for i = 1, n do ffi.gc(S(i), fin) end\n"
	"collectgarbage('restart') collectgarbage('setpause', 100)\n"
	"local ring = {}\n"
	"for i = 0, 63 do ring[i] = S(i) end\n"
	"if mode == 1 then arm(true) end\n"
	"local band = bit.band\n"
	"print(pcall(function()\n"
	"  for i = 1, 3000000 do\n"
	"    ring[band(i, 63)] = S(i)\n"
	"  end\n"
	"end))\n";

int main(int argc, char **argv)
{
	lua_State *L = lua_newstate(quota, NULL);

	if (argc < 3 || !L)
		return 2;
	luaL_openlibs(L);
	lua_register(L, "arm", arm);
	puts("ready");
	fflush(stdout);
	getchar();
	if (luaL_loadbuffer(L, script, sizeof(script) - 1, "@trace.lua"))
		return 3;
	lua_pushinteger(L, atoi(argv[1]));
	lua_pushinteger(L, atoi(argv[2]));
	if (lua_pcall(L, 2, 0, 0))
		printf("# %s\n", lua_tostring(L, -1));
	printf("{\"refused\":%lu}\ndone\n", refused);
	fflush(stdout);
	getchar();
	lua_close(L);
	return 0;
}
