/* SPDX-License-Identifier: MIT */
/*
 * A healthy program whose Lua memory comes from malloc(), so that what Lua frees is C's at once:
 * C works on memory that lay in a collected object a moment ago, and frees blocks it got from
 * the state's allocator by plain free(), after the state was closed.
 *
 * usage: inc_reuse [memory]   (memory: all goes through the allocator, so nothing escapes the tracer)
 * Prints "ready", waits for a line, runs, prints how often C got such memory, "done", waits.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define KEPT 20
#define SIZE 880 /* malloc() serves it with what a string of some 853 bytes lay in */

static void *plain(void *ud, void *ptr, size_t osize, size_t nsize)
{
	(void)ud;
	(void)osize;
	if (nsize)
		return realloc(ptr, nsize);
	free(ptr);
	return NULL;
}

static lua_Alloc volatile allocator = plain;
static char *kept[KEPT];
static int n_kept;
static uintptr_t of_lua[64];
static unsigned long reused;
static int devnull, all_seen;

/* Each string is garbage on the next turn; remember where some of them lay. */
static int note(lua_State *L)
{
	of_lua[lua_tointeger(L, 2) & 63] = (uintptr_t)lua_tostring(L, 1);
	return 0;
}

static int scribble(lua_State *L)
{
	char *buf[64];

	(void)L;
	for (int i = 0; i < 64; i++) {
		buf[i] = malloc(SIZE);
		memset(buf[i], i, SIZE);
		for (int k = 0; k < 64; k++) {
			uintptr_t off = of_lua[k] - (uintptr_t)buf[i];

			if (off >= SIZE)
				continue;
			reused++;
			(void)!write(devnull, buf[i] + off, SIZE - off);
		}
	}
	for (int i = 0; i < 64; i++)
		free(buf[i]);
	return 0;
}

static int keep(lua_State *L)
{
	void *ud;
	lua_Alloc f = lua_getallocf(L, &ud);

	for (n_kept = 0; n_kept < KEPT; n_kept++)
		kept[n_kept] = f(ud, NULL, 0, 88);
	return 0;
}

static lua_State *new_state(void)
{
#if LUA_VERSION_NUM >= 505
	return lua_newstate(allocator, NULL, 42);
#else
	return lua_newstate(allocator, NULL);
#endif
}

static void one_state(void)
{
	lua_State *L = new_state();

	luaL_openlibs(L);
	lua_register(L, "note", note);
	lua_register(L, "scribble", scribble);
	lua_register(L, "keep", all_seen ? note : keep);
	(void)!luaL_dostring(L, "keep('', 0) for k = 1, 20 do for i = 1, 64 do note(('x'):rep(850) .. i .. k, i) end "
				"collectgarbage() scribble() end");
	lua_close(L);
	while (n_kept)
		free(kept[--n_kept]);
}

int main(int argc, char **argv)
{
	(void)argv;
	all_seen = argc > 1;
	devnull = open("/dev/null", O_WRONLY);
	if (all_seen)
		new_state(); /* the allocator has its probe before the gate opens */
	puts("ready");
	fflush(stdout);
	getchar();
	for (int i = 0; i < 10; i++) {
		one_state();
		usleep(50000);
	}
	printf("{\"reused\": %lu}\ndone\n", reused);
	fflush(stdout);
	getchar();
	return 0;
}
