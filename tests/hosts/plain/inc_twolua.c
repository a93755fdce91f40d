/* SPDX-License-Identifier: MIT */
/*
 * Two copies of Lua 5.1 in one process: the program's own and a plugin's. The plugin's collector
 * frees the static node of the program's empty tables.
 * build: -I/usr/include/lua5.1 /usr/lib/x86_64-linux-gnu/liblua5.1.a -lm -ldl
 *
 * usage: inc_twolua PLUGIN | inc_twolua -   ("-": the healthy twin, the same work without a plugin)
 * Prints "ready", waits for a line, runs, prints "done", waits for another line.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static int own_gethtml(lua_State *L)
{
	static char page[76841];
	static int n;

	usleep(1000);
	memset(page, 'h', sizeof(page));
	snprintf(page, 16, "%d", ++n); /* else Lua finds it among its strings */
	lua_pushlstring(L, page, sizeof(page));
	return 1;
}

static const char script[] =
	"local t = {}\n"
	"for i = 1, 20000 do t[i] = {} end\n"
	"t = nil\n"
	"for i = 1, 2000 do\n"
	"  local page = gethtml()\n"
	"end\n";

int main(int argc, char **argv)
{
	lua_CFunction gethtml = own_gethtml;
	lua_State *L = luaL_newstate();
	void *plugin = NULL;

	if (argc < 2 || !L)
		return 2;
	if (strcmp(argv[1], "-")) {
		plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
		if (!plugin) {
			fprintf(stderr, "inc_twolua: %s\n", dlerror());
			return 2;
		}
		gethtml = (lua_CFunction)dlsym(plugin, "plugin_gethtml");
	}
	luaL_openlibs(L);
	lua_register(L, "gethtml", gethtml);
	puts("ready");
	fflush(stdout);
	getchar();
	if (luaL_loadbuffer(L, script, sizeof(script) - 1, "@pages.lua") || lua_pcall(L, 0, 0, 0))
		fprintf(stderr, "inc_twolua: %s\n", lua_tostring(L, -1));
	puts("done");
	fflush(stdout);
	getchar();
	lua_close(L);
	return 0;
}
